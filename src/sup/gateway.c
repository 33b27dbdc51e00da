/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/gateway.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"

#define BATCH 16 /* answers in one turn */

struct gateway_job {
	TAILQ_ENTRY(gateway_job) link;    /* those whose request has not been sent first */
	LIST_ENTRY(gateway_job) by_id;
	uint32_t id;
	uint8_t kind; /* of the request */
	bool v6;
	gateway_done *done; /* NULL: no answer comes, and its id is not its own */
	void *ctx;
	struct gateway_request *unsent; /* owned; NULL: it was sent */
};

static struct gateway_job *find(struct gateway *g, uint32_t id)
{
	struct gateway_job *j;

	LIST_FOREACH(j, &g->buckets[id % GATEWAY_BUCKETS], by_id)
		if (j->id == id)
			return j;
	return NULL;
}

static void job_free(struct gateway *g, struct gateway_job *j)
{
	TAILQ_REMOVE(j->unsent ? &g->unsent : &g->jobs, j, link);
	if (j->done)
		LIST_REMOVE(j, by_id);
	free(j->unsent);
	free(j);
}

/* --- to the gateway ------------------------------------------------------------------------- */

static void gone(struct gateway *g);

/* 1: it has it; 0: it is to be tried again when there is room; -1: the gateway is gone. */
static int transmit(const struct gateway *g, const struct gateway_request *r)
{
	ssize_t n = g->fd < 0 ? -1 : send(g->fd, r, sizeof *r, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n == sizeof *r)
		return 1;
	return g->fd >= 0 && n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) ? 0 : -1;
}

static void watch(struct gateway *g)
{
	if (g->fd >= 0)
		loop_change(&g->sup->loop, g->fd, TAILQ_EMPTY(&g->unsent) ? EPOLLIN : EPOLLIN | EPOLLOUT,
			    &g->watch);
}

static void send_rest(struct gateway *g)
{
	struct gateway_job *j;
	int rc = 1;

	while (rc > 0 && (j = TAILQ_FIRST(&g->unsent))) {
		rc = transmit(g, j->unsent);
		if (rc <= 0)
			break;
		if (!j->done) {
			job_free(g, j);
			continue;
		}
		TAILQ_REMOVE(&g->unsent, j, link);
		TAILQ_INSERT_TAIL(&g->jobs, j, link);
		mem_free(&j->unsent);
	}
	if (rc < 0)
		gone(g);
	else
		watch(g);
}

static bool put(struct gateway *g, const struct gateway_request *req, gateway_done *done, void *ctx)
{
	struct gateway_job *j = calloc(1, sizeof *j);
	struct gateway_request *copy = j ? malloc(sizeof *copy) : NULL;

	if (!copy) {
		free(j);
		return false;
	}
	*copy = *req;
	*j = (struct gateway_job){ .id = req->id, .kind = req->kind, .v6 = req->v6, .done = done, .ctx = ctx, .unsent = copy };
	if (done)
		LIST_INSERT_HEAD(&g->buckets[j->id % GATEWAY_BUCKETS], j, by_id);
	TAILQ_INSERT_TAIL(&g->unsent, j, link);
	if (g->fd < 0)
		loop_set_alarm(&g->sup->loop, &g->lost, 0);
	else if (TAILQ_FIRST(&g->unsent) == j)
		send_rest(g);
	return true;
}

uint32_t gateway_ask(struct gateway *g, struct gateway_request *req, gateway_done *done, void *ctx)
{
	do
		req->id = ++g->next;
	while (req->id == 0 || find(g, req->id));
	return put(g, req, done, ctx) ? req->id : 0;
}

bool gateway_note(struct gateway *g, const struct gateway_request *r)
{
	return put(g, r, NULL, NULL);
}

void gateway_cancel(struct gateway *g, uint32_t id)
{
	const struct gateway_request r = { .kind = GATEWAY_CANCEL, .id = id };
	struct gateway_job *j = find(g, id);
	bool sent = j && !j->unsent;
	int rc;

	if (!j)
		return;
	job_free(g, j);
	rc = sent ? transmit(g, &r) : 1;
	/* Its answers are nobody's, and what comes with them is closed; but a port would stay taken. */
	if (rc == 0)
		(void)gateway_note(g, &r);
	else if (rc < 0)
		gone(g);
}

/* --- from the gateway ------------------------------------------------------------------------- */

static bool more_comes(const struct gateway_answer *a)
{
	return a->kind == GATEWAY_RACING || a->kind == GATEWAY_PUBLISHED || a->kind == GATEWAY_ARRIVED;
}

#define ERROR_MAX 4095 /* what a call can return */

/*
 * A gateway has read what came from the outside, and may be in somebody else's hands: then its
 * own domain's connections are, but nothing of the supervisor's. What comes is checked as far as
 * whoever uses it relies on it.
 */
static bool is_good(const struct gateway_answer *a)
{
	uint32_t n_max = a->kind == GATEWAY_RECORDS ? GATEWAY_RECORDS_MAX :
			 a->kind == GATEWAY_ARRIVED ? GATEWAY_ARRIVALS_MAX :
						      GATEWAY_ADDRESSES_MAX;

	return a->kind >= GATEWAY_CONNECTING && a->kind <= GATEWAY_ARRIVED && a->error >= 0 && a->error <= ERROR_MAX &&
	       a->nonblock <= 1 && a->n <= n_max && (a->kind != GATEWAY_ARRIVED || a->n > 0);
}

/* The kinds that a request can be answered with. With others more would seem to come, or an end be missed. */
static bool belongs(const struct gateway_job *j, const struct gateway_answer *a)
{
	switch (a->kind) {
	case GATEWAY_FAILED:
	case GATEWAY_DENIED:
		return true;
	case GATEWAY_CONNECTING:
	case GATEWAY_RACING:
		return j->kind == GATEWAY_CONNECT;
	case GATEWAY_CONNECTED:
		return j->kind == GATEWAY_CONNECT || j->kind == GATEWAY_FLOW || j->kind == GATEWAY_BIND;
	case GATEWAY_RESOLVED:
		return j->kind == GATEWAY_RESOLVE;
	case GATEWAY_RECORDS:
		return j->kind == GATEWAY_QUERY;
	default:
		return j->kind == GATEWAY_PUBLISH;
	}
}

static int get_int(int fd, int option)
{
	int v = -1;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) < 0 ? -1 : v;
}

/* An app gets nothing but the TCP socket that it asked for: no directory, and nothing else that is a descriptor. */
static bool fd_belongs(const struct gateway_job *j, int fd)
{
	if (j->kind == GATEWAY_CONNECT)
		return get_int(fd, SO_PROTOCOL) == IPPROTO_TCP && get_int(fd, SO_DOMAIN) == (j->v6 ? AF_INET6 : AF_INET);
	if (j->kind == GATEWAY_FLOW || j->kind == GATEWAY_BIND)
		return get_int(fd, SO_DOMAIN) == AF_UNIX && get_int(fd, SO_TYPE) == SOCK_SEQPACKET;
	return j->kind == GATEWAY_PUBLISH && get_int(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

/* Takes fd. False: no gateway says that. */
static bool tell(struct gateway *g, const struct gateway_answer *a, int fd)
{
	struct gateway_job *j = find(g, a->id);
	gateway_done *done = j ? j->done : NULL;
	void *ctx = j ? j->ctx : NULL;

	if (!j || !belongs(j, a) || (fd >= 0 && !fd_belongs(j, fd))) {
		fd_close(&fd);
		return !j;
	}
	if (!more_comes(a))
		job_free(g, j);
	done(ctx, a, fd);
	return true;
}

/* All that waited hear that they wait in vain, and so does who asks from within. */
static void lost(struct loop_alarm *alarm)
{
	struct gateway *g = (struct gateway *)((char *)alarm - offsetof(struct gateway, lost));
	struct gateway_job *j;
	size_t n = 0;

	TAILQ_FOREACH(j, &g->jobs, link)
		n++;
	TAILQ_FOREACH(j, &g->unsent, link)
		n++;
	/* No more than there are: who hears it may ask again, and hears of that later. */
	while (n-- && ((j = TAILQ_FIRST(&g->jobs)) || (j = TAILQ_FIRST(&g->unsent)))) {
		const struct gateway_answer a = { .kind = GATEWAY_FAILED, .id = j->id, .error = ENETUNREACH };

		if (j->done)
			(void)tell(g, &a, -1);
		else
			job_free(g, j);
	}
}

/* Those who wait hear it from the loop. */
static void gone(struct gateway *g)
{
	if (g->fd >= 0)
		loop_remove(&g->sup->loop, g->fd, &g->watch);
	fd_close(&g->fd);
	loop_set_alarm(&g->sup->loop, &g->lost, 0);
}

struct message {
	struct gateway_answer a;
	/* cppcheck-suppress unusedStructMember ; it is the room */
	uint8_t more[GATEWAY_RECORDS_MAX];
};

#define FDS_MAX GATEWAY_ARRIVALS_MAX /* the kernel lets go what is beyond */
#define FDS_LEN CMSG_LEN(sizeof(int) * FDS_MAX)

struct control {
	_Alignas(struct cmsghdr) unsigned char room[FDS_LEN];
};

struct messages {
	struct mmsghdr heads[BATCH];
	struct iovec iov[BATCH];
	struct control control[BATCH];
	struct message m[BATCH];
	struct {
		int v[FDS_MAX]; /* -1: none */
	} fds[BATCH];
	bool armed;
	int used; /* heads that the kernel has written to */
};

static void take_fds(struct msghdr *h, int fds[static FDS_MAX])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);

	memset(fds, 0xff, sizeof *fds * FDS_MAX);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len <= FDS_LEN)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
}

static void close_fds(int fds[static FDS_MAX])
{
	for (size_t i = 0; i < FDS_MAX; i++)
		fd_close(&fds[i]);
}

/* How many there are; 0: the gateway is gone. -errno. */
static int receive(const struct gateway *g, struct messages *all)
{
	int used = all->armed ? all->used : BATCH, n;

	for (int i = 0; i < used; i++) {
		all->iov[i] = (struct iovec){ &all->m[i], sizeof all->m[i] };
		all->heads[i].msg_hdr = (struct msghdr){ .msg_iov = &all->iov[i],
							 .msg_iovlen = 1,
							 .msg_control = &all->control[i],
							 .msg_controllen = FDS_LEN };
	}
	all->armed = true;
	n = recvmmsg(g->fd, all->heads, BATCH, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, NULL);
	all->used = n < 0 ? BATCH : n < BATCH ? n + 1 : n;
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		take_fds(&all->heads[i].msg_hdr, all->fds[i].v);
	return n;
}

static bool is_whole(const struct mmsghdr *h, const struct gateway_answer *a)
{
	return !(h->msg_hdr.msg_flags & MSG_TRUNC) && h->msg_len >= offsetof(struct gateway_answer, addresses) &&
	       is_good(a) && h->msg_len == gateway_answer_size(a);
}

/* Takes those of the descriptors that belong there. False: no gateway says that. */
static bool tell_all(struct gateway *g, const struct gateway_answer *a, int fds[static FDS_MAX])
{
	struct gateway_answer one = { .kind = a->kind, .nonblock = a->nonblock, .id = a->id, .n = 1 };

	if (a->kind != GATEWAY_ARRIVED)
		return tell(g, a, fd_take(&fds[0]));
	for (uint32_t i = 0; i < a->n && g->fd >= 0; i++) {
		one.arrivals[0] = a->arrivals[i];
		if (!tell(g, &one, fd_take(&fds[i])))
			return false;
	}
	return true;
}

/* What it says is said by the time that it is found to be none. */
static void hear(struct gateway *g)
{
	static struct messages all; /* too large for a stack, and there is one thread */
	int n = receive(g, &all);

	if (n == -EAGAIN || n == -EINTR)
		return;
	for (int i = 0; i < n; i++) {
		if (g->fd >= 0 && (!is_whole(&all.heads[i], &all.m[i].a) || !tell_all(g, &all.m[i].a, all.fds[i].v)))
			gone(g);
		close_fds(all.fds[i].v);
	}
	if (n <= 0 && g->fd >= 0)
		gone(g);
}

static void spoke(struct watch *w, uint32_t events)
{
	struct gateway *g = (struct gateway *)((char *)w - offsetof(struct gateway, watch));

	if (g->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		hear(g);
	if (g->fd >= 0 && (events & EPOLLOUT))
		send_rest(g);
}

/* --- its life ------------------------------------------------------------------------------------ */

int gateway_init(struct gateway *g, struct sup *s, int fd)
{
	int rc;

	*g = (struct gateway){ .watch = { spoke }, .lost = { .ring = lost }, .sup = s, .fd = -1 };
	TAILQ_INIT(&g->jobs);
	TAILQ_INIT(&g->unsent);
	if (fd < 0)
		return 0;
	rc = loop_add_direct(&s->loop, fd, &g->watch); /* its answers wake on the CPU where it is */
	if (rc == 0)
		g->fd = fd;
	else
		(void)close(fd);
	return rc;
}

void gateway_fini(struct gateway *g)
{
	struct gateway_job *j;

	if (!g->sup)
		return;
	if (g->fd >= 0)
		loop_remove(&g->sup->loop, g->fd, &g->watch);
	fd_close(&g->fd);
	loop_clear_alarm(&g->lost);
	while ((j = TAILQ_FIRST(&g->jobs)) || (j = TAILQ_FIRST(&g->unsent)))
		job_free(g, j);
}
