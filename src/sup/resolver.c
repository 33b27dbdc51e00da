/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/resolver.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"

#define PORT 53
#define PAUSE_MS 1000 /* between two starts, when the first did not last so long */
#define BATCH 16      /* questions in one turn */
#define BACKLOG 64
#define UNREAD_MAX 65536 /* bytes of answers that it has not read */

static void start(struct sup *s);
static void ended(struct sup *s);

/* --- what the resolver gets --------------------------------------------------------- */

struct resolver_message {
	STAILQ_ENTRY(resolver_message) link;
	struct lookup m;
	int fd; /* owned; -1: none goes with it */
};

static bool transmit(const struct resolver *r, const struct lookup *m, const uint8_t *data, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov[] = { { (void *)(uintptr_t)m, sizeof *m }, { (void *)(uintptr_t)data, m->size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = m->size ? 2 : 1 };

	if (fd >= 0) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof ctl.buf;
		ctl.align = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	}
	return sendmsg(r->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(sizeof *m + m->size);
}

static void drop_first(struct resolver *r)
{
	struct resolver_message *q = STAILQ_FIRST(&r->queue);

	STAILQ_REMOVE_HEAD(&r->queue, link);
	r->n_queue--;
	fd_close(&q->fd);
	free(q);
}

static bool no_room(void)
{
	return errno == EAGAIN || errno == ENOBUFS || errno == EINTR;
}

/* What has waited. False: it does not listen any more. */
static bool flush(struct sup *s)
{
	struct resolver *r = &s->resolver;
	bool ok = true;

	while (r->n_queue && (ok = transmit(r, &STAILQ_FIRST(&r->queue)->m, NULL, STAILQ_FIRST(&r->queue)->fd)))
		drop_first(r);
	if (!ok && !no_room())
		return false;
	loop_change(&s->loop, r->fd, r->n_queue ? EPOLLIN | EPOLLOUT : EPOLLIN, &r->watch);
	return true;
}

/*
 * What finds no room waits: many domains may ask at once, and one alone is not to be the end
 * of the others' resolver. False when that does not listen: it is ended, and another one is started.
 */
static bool tell(struct sup *s, const struct lookup *m, const uint8_t *data, const int *fd)
{
	struct resolver *r = &s->resolver;
	struct resolver_message *q;

	if (r->n_queue == 0 && transmit(r, m, data, fd ? *fd : -1))
		return true;
	if (r->n_queue == 0 && !no_room())
		return false;
	q = r->n_queue < RESOLVER_QUEUE_MAX ? malloc(sizeof *q) : NULL;
	if (!q)
		return false;
	q->m = *m;
	if (q->m.size) { /* a name server's message is not kept: it can be asked again */
		q->m.size = 0;
		q->m.result = LOOKUP_FAILED;
	}
	q->fd = fd ? fcntl(*fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd && q->fd < 0) {
		free(q);
		return false;
	}
	STAILQ_INSERT_TAIL(&r->queue, q, link);
	if (r->n_queue++ == 0)
		loop_change(&s->loop, r->fd, EPOLLIN | EPOLLOUT, &r->watch);
	return true;
}

static bool give(struct sup *s, const struct domain *d, int fd, bool stream)
{
	const struct lookup m = { .kind = LOOKUP_SERVE, .domain = d->serial, .stream = stream };

	return tell(s, &m, NULL, &fd);
}

/* --- questions while none is running -------------------------------------------------- */

static void asked(struct watch *w, uint32_t events)
{
	struct domain *d = (struct domain *)((char *)w - offsetof(struct domain, net.asked));

	(void)events;
	loop_remove(&d->sup->loop, d->net.resolver, w); /* the question waits in the socket */
	start(d->sup);
}

static void watch(struct domain *d)
{
	d->net.asked = (struct watch){ asked };
	if (d->net.resolver >= 0)
		(void)loop_add(&d->sup->loop, d->net.resolver, EPOLLIN, &d->net.asked);
}

void resolver_add(struct sup *s, struct domain *d)
{
	if (s->resolver.fd < 0)
		watch(d);
	else if (!give(s, d, d->net.resolver, false))
		ended(s);
}

void resolver_remove(struct sup *s, struct domain *d)
{
	struct resolver *r = &s->resolver;
	const struct lookup m = { .kind = LOOKUP_FORGET, .domain = d->serial };
	size_t kept = 0;

	for (size_t i = 0; i < r->n_streams; i++) {
		if (r->streams[i].domain == d)
			fd_close(&r->streams[i].fd);
		else
			r->streams[kept++] = r->streams[i];
	}
	r->n_streams = kept;
	if (d->net.resolver >= 0)
		loop_remove(&s->loop, d->net.resolver, &d->net.asked);
	fd_close(&d->net.resolver);
	if (r->fd >= 0 && !tell(s, &m, NULL, NULL))
		ended(s);
}

/* --- its life ----------------------------------------------------------------------------- */

static struct domain *find(struct sup *s, uint32_t serial)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link)
		if (d->serial == serial)
			return d;
	return NULL;
}

static void spoke(struct watch *w, uint32_t events)
{
	struct resolver *r = (struct resolver *)((char *)w - offsetof(struct resolver, watch));
	struct sup *s = (struct sup *)((char *)r - offsetof(struct sup, resolver));

	if ((events & EPOLLOUT) && !flush(s)) {
		ended(s);
		return;
	}
	for (int i = 0; i < BATCH; i++) {
		struct lookup m;
		ssize_t n = recvfrom(r->fd, &m, sizeof m, MSG_DONTWAIT, NULL, NULL);
		struct domain *d;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		m.name[sizeof m.name - 1] = '\0';
		d = n == sizeof m ? find(s, m.domain) : NULL;
		if (n != sizeof m) {
			ended(s);
			return;
		}
		/* Of a domain that is gone, it hears that next. */
		if (d && lookup_answer(s, d, &m))
			resolver_answer(s, r->generation, &m, NULL);
		if (r->fd < 0)
			return;
	}
}

void resolver_answer(struct sup *s, uint32_t generation, struct lookup *l, const uint8_t *data)
{
	struct resolver *r = &s->resolver;
	int unread = 0;

	l->kind = LOOKUP_ANSWER;
	if (!data)
		l->size = 0;
	/* Answers with much in them must not fill the socket. */
	if (l->size && r->fd >= 0 && (ioctl(r->fd, SIOCOUTQ, &unread) < 0 || unread > UNREAD_MAX)) {
		l->size = 0;
		l->result = LOOKUP_FAILED;
	}
	if (r->fd >= 0 && r->generation == generation && !tell(s, l, data, NULL))
		ended(s);
}

static void started(void *ctx, struct factory_made *made, const struct err *e)
{
	struct resolver *r = ctx;
	struct sup *s = (struct sup *)((char *)r - offsetof(struct sup, resolver));
	struct domain *d;
	bool ok;

	r->starting = false;
	r->started = loop_now();
	ok = !e;
	if (ok) {
		r->fd = fd_take(&made->resolver);
		r->generation++;
		ok = loop_add(&s->loop, r->fd, EPOLLIN, &r->watch) == 0;
	} else if (s->complain) {
		s->complain(e);
	}
	LIST_FOREACH(d, &s->domains, link) {
		if (!ok || d->net.resolver < 0)
			continue;
		loop_remove(&s->loop, d->net.resolver, &d->net.asked);
		ok = give(s, d, d->net.resolver, false);
	}
	for (size_t i = 0; i < r->n_streams; i++) {
		ok = ok && give(s, r->streams[i].domain, r->streams[i].fd, true);
		fd_close(&r->streams[i].fd);
	}
	r->n_streams = 0;
	if (!ok)
		ended(s);
}

static void start(struct sup *s)
{
	struct resolver *r = &s->resolver;
	struct err e;

	if (r->fd >= 0 || r->starting || r->again.due)
		return;
	r->starting = true;
	if (factory_resolver(&s->factory, started, r, &e) == 0)
		return;
	r->starting = false;
	r->started = loop_now();
	ended(s);
}

static void watch_all(struct sup *s)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link)
		watch(d);
}

static void ring(struct loop_alarm *a)
{
	struct sup *s = (struct sup *)((char *)a - offsetof(struct sup, resolver.again));

	watch_all(s);
	if (s->resolver.n_streams) /* which came meanwhile */
		start(s);
}

/* Whatever it was asked is lost; apps ask again. A question that ends it may not end it all the time. */
static void ended(struct sup *s)
{
	struct resolver *r = &s->resolver;
	struct domain *d;
	struct err e;

	if (r->fd >= 0)
		loop_remove(&s->loop, r->fd, &r->watch);
	fd_close(&r->fd);
	while (r->n_queue)
		drop_first(r);
	LIST_FOREACH(d, &s->domains, link)
		if (d->net.resolver >= 0)
			loop_remove(&s->loop, d->net.resolver, &d->net.asked);
	if (loop_now() - r->started >= PAUSE_MS) {
		watch_all(s);
		return;
	}
	(void)err_set(&e, ECHILD, "vrun-resolver ended soon after its start: names are not resolved for a moment");
	if (s->complain)
		s->complain(&e);
	loop_set_alarm(&s->loop, &r->again, PAUSE_MS);
}

/* --- connections ------------------------------------------------------------------------------ */

void resolver_take(struct sup *s, struct domain *d, int *fd)
{
	struct resolver *r = &s->resolver;

	if (r->fd >= 0) {
		if (r->n_queue >= RESOLVER_STREAMS_QUEUE)
			return; /* it is closed: whoever comes with so many is no asker */
		if (!give(s, d, *fd, true))
			ended(s);
	} else if (r->n_streams < RESOLVER_STREAMS_MAX) {
		r->streams[r->n_streams++] = (struct resolver_stream){ d, fd_take(fd) };
		start(s);
	}
}

static void arrived(struct watch *w, uint32_t events)
{
	struct resolver *r = (struct resolver *)((char *)w - offsetof(struct resolver, arrivals));
	struct sup *s = (struct sup *)((char *)r - offsetof(struct sup, resolver));
	struct sockaddr_in6 peer;
	socklen_t len = sizeof peer;
	AUTO_FD int fd = accept4(r->listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	const struct faddr *from = fd >= 0 ? fabric_find(&s->fabric, &peer.sin6_addr) : NULL;

	(void)events;
	if (from && from->domain)
		resolver_take(s, from->domain, &fd);
}

struct faddr *resolver_place(struct sup *s, const struct addr *a, uint16_t port)
{
	const struct addr at = addr_v4(127, 0, 0, 53);

	return port == PORT && addr_equal(a, &at) ? &s->resolver.at : NULL;
}

int resolver_init(struct sup *s, struct err *e)
{
	struct resolver *r = &s->resolver;
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	*r = (struct resolver){ .watch = { spoke }, .arrivals = { arrived }, .again = { .ring = ring },
				.fd = -1, .listener = -1 };
	STAILQ_INIT(&r->queue);
	rc = fd < 0 ? -errno : fabric_serve(fd, PORT, &r->at);
	if (rc == 0)
		rc = listen(fd, BACKLOG) < 0 ? -errno : loop_add(&s->loop, fd, EPOLLIN, &r->arrivals);
	if (rc < 0)
		return err_num(e, -rc, "the resolver's listener");
	r->listener = fd_take(&fd);
	return 0;
}

void resolver_fini(struct sup *s)
{
	struct resolver *r = &s->resolver;

	loop_clear_alarm(&r->again);
	if (r->fd >= 0)
		loop_remove(&s->loop, r->fd, &r->watch);
	fd_close(&r->fd);
	while (r->n_queue)
		drop_first(r);
	if (r->listener >= 0)
		loop_remove(&s->loop, r->listener, &r->arrivals);
	fd_close(&r->listener);
}
