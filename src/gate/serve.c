/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor asks for, and what it is told. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

/* --- jobs ----------------------------------------------------------------------------------- */

static struct gate_job *job_find(struct gate *g, uint32_t id)
{
	struct gate_job *j;

	LIST_FOREACH(j, &g->jobs[id % GATE_JOB_BUCKETS], by_id)
		if (j->id == id)
			return j;
	return NULL;
}

/* cppcheck-suppress constParameter ; it is compared with what is called */
struct gate_job *gate_job_find(struct gate *g, uint32_t id, void (*end)(struct gate *, struct gate_job *))
{
	struct gate_job *j = job_find(g, id);

	return j && j->end == end ? j : NULL;
}

bool gate_job_add(struct gate *g, struct gate_job *j, uint32_t id)
{
	if (job_find(g, id))
		g->over = true;
	if (g->over || g->n_jobs >= GATE_JOBS_MAX)
		return false;
	j->id = id;
	LIST_INSERT_HEAD(&g->jobs[id % GATE_JOB_BUCKETS], j, by_id);
	g->n_jobs++;
	return true;
}

void gate_job_remove(struct gate *g, struct gate_job *j)
{
	LIST_REMOVE(j, by_id);
	g->n_jobs--;
}

/* --- answers ---------------------------------------------------------------------------------- */

static ssize_t send_one(int sock, const struct gateway_answer *a, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * GATEWAY_ARRIVALS_MAX)];
	} ctl = { 0 };
	struct iovec iov = { (void *)(uintptr_t)a, gateway_answer_size(a) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof *fds * n_fds);
		ctl.align = (struct cmsghdr){ CMSG_LEN(sizeof *fds * n_fds), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), fds, sizeof *fds * n_fds);
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

void gate_tell(struct gate *g, struct gateway_answer *a, int fd)
{
	ssize_t n = g->over ? 0 : send_one(g->sock, a, &fd, fd >= 0);

	/* Too many descriptors of this user's are under way (unix(7)). */
	if (n < 0 && fd >= 0 && errno == ETOOMANYREFS) {
		struct gateway_answer failed = { .kind = GATEWAY_FAILED, .id = a->id, .error = ENOBUFS };

		n = send_one(g->sock, &failed, NULL, 0);
	}
	if (n < 0)
		g->over = true;
	fd_close(&fd);
}

bool gate_tell_arrived(struct gate *g, const struct gateway_answer *a, const int *fds, unsigned n)
{
	ssize_t sent = g->over ? 0 : send_one(g->sock, a, fds, n);
	bool with = sent > 0;

	if (sent < 0 && n && errno == ETOOMANYREFS)
		sent = send_one(g->sock, a, NULL, 0);
	if (sent < 0)
		g->over = true;
	return with;
}

void gate_tell_more(struct gate *g, const struct gateway_answer *a, const uint8_t *data, size_t len)
{
	struct iovec iov[] = { { (void *)(uintptr_t)a, sizeof *a }, { (void *)(uintptr_t)data, len } };
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = 0;

	while (!g->over && (n = sendmsg(g->sock, &msg, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	if (n < 0)
		g->over = true;
}

void gate_tell_failed(struct gate *g, uint32_t id, int error)
{
	struct gateway_answer a = { .kind = GATEWAY_FAILED, .id = id, .error = error };

	gate_tell(g, &a, -1);
}

/* --- requests ----------------------------------------------------------------------------------- */

static void cancel(struct gate *g, const struct gateway_request *r)
{
	struct gate_job *j = job_find(g, r->id);

	if (j)
		j->end(g, j);
}

static void request(struct gate *g, const struct gateway_request *r)
{
	switch (r->kind) {
	case GATEWAY_CONNECT:
		gate_connect(g, r);
		break;
	case GATEWAY_RESOLVE:
		gate_resolve(g, r);
		break;
	case GATEWAY_QUERY:
		gate_query(g, r);
		break;
	case GATEWAY_PUBLISH:
		gate_publish(g, r);
		break;
	case GATEWAY_BIND:
		gate_bind(g, r);
		break;
	case GATEWAY_FLOW:
		gate_flow(g, r);
		break;
	case GATEWAY_OPEN:
	case GATEWAY_SHUT:
		gate_publish_open(g, r);
		break;
	case GATEWAY_CANCEL:
		cancel(g, r);
		break;
	}
}

static void hear(struct gate *g, struct gate_watch *w, uint32_t events)
{
	/* A byte more than there may be: what is longer is seen to be. */
	static _Alignas(struct gateway_request) uint8_t message[sizeof(struct gateway_request) + 1];
	static struct gateway_request r;
	ssize_t n = recv(g->sock, message, sizeof message, MSG_DONTWAIT);

	(void)w;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !gateway_request_good(message, (size_t)n, &r))
		g->over = true;
	else
		request(g, &r);
}

int gate_serve(struct gate *g, struct err *e)
{
	int rc = 0;

	g->requests.ready = hear;
	while (rc == 0 && !g->over)
		rc = gate_turn(g);
	for (size_t i = 0; i < GATE_JOB_BUCKETS; i++)
		while (!LIST_EMPTY(&g->jobs[i])) {
			struct gate_job *j = LIST_FIRST(&g->jobs[i]);

			j->end(g, j);
		}
	gate_flows_fini(g);
	gate_bound_fini(g);
	return rc < 0 ? err_num(e, -rc, "epoll") : 0;
}
