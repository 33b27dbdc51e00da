/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every socket and connection of apps is a `source`. A question becomes an
 * entry of the table of open ones, and is answered when the supervisor has said
 * what it knows. A domain that has asked as much as it may at once is not read before it has
 * answers: what it asks besides waits in the kernel, as on the way to any server. Nothing else
 * waits: an app that does not read its answers loses them.
 */
#include "resolve/serve.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "resolve/dns.h"

#define OPEN_MAX_ 512   /* questions at once */
#define OPEN_DOMAIN 128 /* of one domain */
#define STREAMS_DOMAIN 16
#define STREAM_SECONDS 10 /* that a connection may be silent */
#define BATCH 16          /* questions of a source in one turn */

struct source {
	LIST_ENTRY(source) link;
	uint32_t domain;
	bool stream, busy; /* busy: a stream with a question that is open */
	bool held;         /* not read: there is no room for its questions */
	int fd;            /* owned */
	time_t last;
	size_t len;        /* stream: bytes of the next question */
	uint8_t data[2 + DNS_MESSAGE_MAX];
};

struct open {
	struct source *source; /* NULL: free */
	uint16_t turn;         /* of the slot: a late answer to an earlier question is nobody's */
	struct sockaddr_in peer;
	struct dns_question q;
};

struct server {
	int sock, ep; /* borrowed */
	bool over;
	/* cppcheck-suppress unusedStructMember ; LIST_FOREACH does */
	LIST_HEAD(sources, source) sources;
	unsigned n_streams, n_held;
	struct open open[OPEN_MAX_];
};

static time_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* --- sources ------------------------------------------------------------------------ */

static void source_free(struct server *s, struct source *src)
{
	for (size_t i = 0; i < OPEN_MAX_; i++)
		if (s->open[i].source == src)
			s->open[i].source = NULL;
	(void)epoll_ctl(s->ep, EPOLL_CTL_DEL, src->fd, NULL);
	fd_close(&src->fd);
	if (src->stream)
		s->n_streams--;
	if (src->held)
		s->n_held--;
	LIST_REMOVE(src, link);
	free(src);
}

static void source_add(struct server *s, const struct lookup *m, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct source *src, *o;
	unsigned same = 0;

	LIST_FOREACH(o, &s->sources, link)
		if (o->stream && o->domain == m->domain)
			same++;
	src = m->stream && same >= STREAMS_DOMAIN ? NULL : calloc(1, sizeof *src);
	if (!src) {
		(void)close(fd);
		return;
	}
	src->domain = m->domain;
	src->stream = m->stream;
	src->fd = fd;
	src->last = now();
	ev.data.ptr = src;
	LIST_INSERT_HEAD(&s->sources, src, link);
	if (src->stream)
		s->n_streams++;
	if (epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		source_free(s, src);
}

/* --- questions ------------------------------------------------------------------------ */

/* NULL: there is none for it now. */
static struct open *find_slot(struct server *s, uint32_t domain)
{
	struct open *o = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < OPEN_MAX_; i++) {
		if (!s->open[i].source)
			o = o ? o : &s->open[i];
		else if (s->open[i].source->domain == domain)
			n++;
	}
	return n < OPEN_DOMAIN ? o : NULL;
}

/* Level-triggered: what is not read must not be waited for, or it would spin. */
static void watch(const struct server *s, struct source *src)
{
	struct epoll_event ev = { .events = src->busy || src->held ? 0 : EPOLLIN, .data.ptr = src };

	(void)epoll_ctl(s->ep, EPOLL_CTL_MOD, src->fd, &ev);
}

static void hold(struct server *s, struct source *src, bool held)
{
	if (src->held == held)
		return;
	src->held = held;
	s->n_held += held ? 1 : -1U;
	watch(s, src);
}

static void let_go(struct server *s)
{
	struct source *src;

	LIST_FOREACH(src, &s->sources, link)
		if (src->held && find_slot(s, src->domain))
			hold(s, src, false);
}

/* False when a connection has to end. */
static bool reply(const struct source *src, const struct sockaddr_in *peer, const struct dns_question *q,
		  enum dns_code code, const struct lookup *found, const uint8_t *data)
{
	static uint8_t out[2 + UINT16_MAX];
	size_t len = dns_write(q, code, found, data, src->stream ? UINT16_MAX : q->room, out + 2);

	if (len == 0)
		return false;
	if (!src->stream) {
		(void)sendto(src->fd, out + 2, len, MSG_DONTWAIT, (const struct sockaddr *)peer, sizeof *peer);
		return true;
	}
	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	return send(src->fd, out, len + 2, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len + 2;
}

/* In a free slot of the table. */
static bool question(struct server *s, struct open *o, struct source *src, const uint8_t *data, size_t len,
		     const struct sockaddr_in *peer)
{
	struct dns_question q;
	struct lookup l;
	enum dns_code code;

	switch (dns_read(data, len, &q, &code, &l)) {
	case DNS_DROP:
		return !src->stream;
	case DNS_REPLY:
		return reply(src, peer, &q, code, NULL, NULL);
	case DNS_LOOKUP:
		break;
	}
	*o = (struct open){ .source = src, .turn = (uint16_t)(o->turn + 1), .q = q };
	if (peer)
		o->peer = *peer;
	src->busy = src->stream;
	l.domain = src->domain;
	l.id = (uint32_t)o->turn << 16 | (uint32_t)(o - s->open);
	if (send(s->sock, &l, sizeof l, MSG_NOSIGNAL) == sizeof l)
		return true;
	o->source = NULL;
	s->over = true;
	return false;
}

static void read_datagrams(struct server *s, struct source *src)
{
	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_in peer;
		socklen_t peer_len = sizeof peer;
		struct open *o = find_slot(s, src->domain);
		ssize_t n;

		if (!o) {
			hold(s, src, true);
			return;
		}
		n = recvfrom(src->fd, src->data, sizeof src->data, MSG_DONTWAIT, (struct sockaddr *)&peer, &peer_len);
		if (n < 0)
			return;
		(void)question(s, o, src, src->data, (size_t)n, &peer);
	}
}

/* A length of two bytes, then the message. One question at a time: the next waits in the socket. */
static bool read_stream(struct server *s, struct source *src)
{
	size_t want = src->len < 2 ? 2 : 2 + (size_t)(src->data[0] << 8 | src->data[1]);
	struct open *o = find_slot(s, src->domain);
	ssize_t n;

	if (want > sizeof src->data)
		return false;
	if (!o) {
		hold(s, src, true);
		return true;
	}
	n = recv(src->fd, src->data + src->len, want - src->len, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	src->len += (size_t)n;
	src->last = now();
	if (src->len < want || want == 2)
		return true;
	src->len = 0;
	return question(s, o, src, src->data + 2, want - 2, NULL);
}

/* --- what the supervisor says --------------------------------------------------------- */

static void answer(struct server *s, const struct lookup *m, const uint8_t *data)
{
	struct open *o = &s->open[(m->id & 0xffff) % OPEN_MAX_];
	struct source *src = o->source;
	bool ok;

	if (!src || o->turn != m->id >> 16)
		return;
	o->source = NULL;
	src->busy = false;
	ok = reply(src, &o->peer, &o->q,
		   m->result == LOOKUP_FOUND   ? DNS_OK :
		   m->result == LOOKUP_UNKNOWN ? DNS_NXDOMAIN :
						 DNS_SERVFAIL,
		   m, data);
	if (src->stream && ok)
		watch(s, src);
	else if (src->stream)
		source_free(s, src);
}

static void forget(struct server *s, uint32_t domain)
{
	struct source *src = LIST_FIRST(&s->sources), *next;

	for (; src; src = next) {
		next = LIST_NEXT(src, link);
		if (src->domain == domain)
			source_free(s, src);
	}
}

/* One message; false: there is none. */
static bool hear(struct server *s)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	static struct {
		struct lookup m;
		uint8_t data[LOOKUP_DATA_MAX];
	} in;
	struct lookup *m = &in.m;
	struct iovec iov = { &in, sizeof in };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = ctl.buf,
			      .msg_controllen = sizeof ctl.buf };
	ssize_t n = recvmsg(s->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	int fd = -1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof fd);
	if (n < (ssize_t)sizeof *m || (size_t)n != sizeof *m + m->size)
		s->over = true;
	else if (m->kind == LOOKUP_SERVE && fd >= 0)
		source_add(s, m, fd_take(&fd));
	else if (m->kind == LOOKUP_FORGET)
		forget(s, m->domain);
	else if (m->kind == LOOKUP_ANSWER)
		answer(s, m, in.data);
	fd_close(&fd);
	return true;
}

/* All that has come: it is no more than was asked, and who asks most is not to keep it from the others. */
static void hear_all(struct server *s)
{
	for (int i = 0; i < OPEN_MAX_ && !s->over && hear(s); i++)
		;
}

/* --- the loop --------------------------------------------------------------------------- */

static void drop_silent(struct server *s)
{
	struct source *src = LIST_FIRST(&s->sources), *next;
	time_t t = now();

	for (; src; src = next) {
		next = LIST_NEXT(src, link);
		if (src->stream && !src->busy && !src->held && t - src->last > STREAM_SECONDS)
			source_free(s, src);
	}
}

/* One event at a time: what a later one of a batch means may have been freed by an earlier. */
static int turn(struct server *s)
{
	struct epoll_event ev;
	int n = epoll_wait(s->ep, &ev, 1, s->n_streams ? 1000 : -1);
	struct source *src = ev.data.ptr;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		drop_silent(s);
	else if (!src)
		hear_all(s);
	else if (!src->stream)
		read_datagrams(s, src);
	else if ((ev.events & (EPOLLHUP | EPOLLERR)) || !read_stream(s, src))
		source_free(s, src);
	else if (src->busy)
		watch(s, src);
	if (s->n_held)
		let_go(s);
	return 0;
}

int resolve_serve(int sock, int ep, struct err *e)
{
	static struct server s;
	struct epoll_event ev = { .events = EPOLLIN };
	int rc = 0;

	s.sock = sock;
	s.ep = ep;
	LIST_INIT(&s.sources);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, sock, &ev) < 0)
		return err_sys(e, "epoll");
	while (rc == 0 && !s.over)
		rc = turn(&s);
	while (!LIST_EMPTY(&s.sources))
		source_free(&s, LIST_FIRST(&s.sources));
	return rc < 0 ? err_num(e, -rc, "epoll") : 0;
}
