/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's side of the factory. */
#include "sup/factory.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "sup/factory_impl.h"

struct factory_job {
	TAILQ_ENTRY(factory_job) link;
	uint32_t serial;
	factory_done *done; /* NULL: nobody wants to know any more */
	void *ctx;
};

/* --- messages -------------------------------------------------------------------- */

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FACTORY_FDS_MAX * sizeof(int))];
};

int factory_send(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	union control ctl = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(n * sizeof *fds);
		ctl.align = (struct cmsghdr){ CMSG_LEN(n * sizeof *fds), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), fds, n * sizeof *fds);
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int factory_receive(int sock, void *data, size_t len, int *ret_fds, int flags)
{
	union control ctl;
	struct iovec iov = { data, len };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = ctl.buf,
			    .msg_controllen = sizeof ctl.buf };
	ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | flags);
	size_t count = 0;

	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret_fds, CMSG_DATA(h), count * sizeof(int));
	}
	if ((size_t)n == len && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return (int)count;
	while (count)
		(void)close(ret_fds[--count]);
	return -EPROTO;
}

/* --- answers ---------------------------------------------------------------------- */

static void end_job(struct factory *f, struct factory_job *j, struct factory_made *made,
		    const struct err *e)
{
	TAILQ_REMOVE(&f->jobs, j, link);
	if (j->done)
		j->done(j->ctx, made, e);
	fd_close(&made->resolver);
	fd_close(&made->packets);
	free(j);
}

static void gone(struct factory *f)
{
	struct err e;

	loop_remove(f->loop, f->fd, &f->watch);
	fd_close(&f->fd);
	(void)err_set(&e, EIO, "the supervisor's factory has ended");
	while (!TAILQ_EMPTY(&f->jobs)) {
		struct factory_made none = { .resolver = -1, .packets = -1 };

		end_job(f, TAILQ_FIRST(&f->jobs), &none, &e);
	}
}

static void answered(struct watch *w, uint32_t events)
{
	struct factory *f = (struct factory *)((char *)w - offsetof(struct factory, watch));
	struct factory_reply r;
	int fds[FACTORY_FDS_MAX] = { -1, -1 };
	int n = factory_receive(f->fd, &r, sizeof r, fds, MSG_DONTWAIT);
	struct factory_made made = { .resolver = fds[0], .packets = fds[1] };
	struct factory_job *j = TAILQ_FIRST(&f->jobs);

	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n < 0 || !j || r.serial != j->serial) {
		fd_close(&fds[0]);
		fd_close(&fds[1]);
		gone(f);
		return;
	}
	made.cookie = r.cookie;
	memcpy(made.mac, r.mac, sizeof made.mac);
	end_job(f, j, &made, r.error.num ? &r.error : NULL);
}

/* --- requests --------------------------------------------------------------------- */

static int refused(int num, struct err *e)
{
	return num == ETOOMANYREFS ? fd_send_refused(e) : err_num(e, num, "request to the factory");
}

static int request(struct factory *f, struct factory_request *r, const int *ns, factory_done *done,
		   void *ctx, struct err *e)
{
	struct factory_job *j;
	int rc;

	if (f->fd < 0)
		return err_set(e, EIO, "the supervisor's factory has ended");
	j = calloc(1, sizeof *j);
	if (!j)
		return err_num(e, ENOMEM, "request to the factory");
	r->serial = f->next++;
	*j = (struct factory_job){ .serial = r->serial, .done = done, .ctx = ctx };
	rc = factory_send(f->fd, r, sizeof *r, ns, ns ? 1 : 0);
	if (rc < 0) {
		free(j);
		return refused(-rc, e);
	}
	TAILQ_INSERT_TAIL(&f->jobs, j, link);
	return 0;
}

int factory_network(struct factory *f, const struct factory_network *want, int ns, factory_done *done,
		    void *ctx, struct err *e)
{
	struct factory_request r = { .what = FACTORY_NETWORK,
				     .number = want->number,
				     .udp = want->udp,
				     .n = (uint32_t)want->n };

	if (want->n > FACTORY_ADDRESSES_MAX)
		return err_set(e, E2BIG, "more than %d addresses", FACTORY_ADDRESSES_MAX);
	memcpy(r.addresses, want->addresses, want->n * sizeof *want->addresses);
	return request(f, &r, &ns, done, ctx, e);
}

int factory_resolver(struct factory *f, factory_done *done, void *ctx, struct err *e)
{
	struct factory_request r = { .what = FACTORY_RESOLVER };

	return request(f, &r, NULL, done, ctx, e);
}

int factory_port(struct factory *f, const struct porter_task *task, const int *fds, struct err *e)
{
	struct factory_request r = { .what = FACTORY_PORTER, .porter = *task };
	int rc;

	if (f->fd < 0)
		return err_set(e, EIO, "the supervisor's factory has ended");
	rc = factory_send(f->fd, &r, sizeof r, fds, PORTER_FDS);
	return rc < 0 ? refused(-rc, e) : 0;
}

int factory_scribe(struct factory *f, const int *fds, struct err *e)
{
	static const struct factory_request r = { .what = FACTORY_SCRIBE };
	int rc;

	if (f->fd < 0)
		return err_set(e, EIO, "the supervisor's factory has ended");
	rc = factory_send(f->fd, &r, sizeof r, fds, SCRIBE_FDS);
	return rc < 0 ? refused(-rc, e) : 0;
}

void factory_forget(struct factory *f, const void *ctx)
{
	struct factory_job *j;

	TAILQ_FOREACH(j, &f->jobs, link)
		if (j->ctx == ctx)
			j->done = NULL;
}

/* --- its life ----------------------------------------------------------------------- */

void factory_init(struct factory *f)
{
	*f = (struct factory){ .watch = { answered }, .fd = -1, .next = 1 };
	TAILQ_INIT(&f->jobs);
}

/* Nothing of the supervisor's stays open in it, above all not its streams: somebody may wait for their end. */
static _Noreturn void child(int sock, int resolver, int kept, bool foreign, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)prctl(PR_SET_NAME, "vrun-factory", 0, 0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent || null < 0 ||
	    dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(125);
	/* Out of the way first, so that none is overwritten. */
	sock = fcntl(sock, F_DUPFD_CLOEXEC, 6);
	resolver = fcntl(resolver, F_DUPFD_CLOEXEC, 6);
	kept = fcntl(kept, F_DUPFD_CLOEXEC, 6);
	if (dup2(sock, 3) < 0 || dup3(resolver, 4, O_CLOEXEC) < 0 || dup3(kept, 5, O_CLOEXEC) < 0 ||
	    sys_close_range(6, ~0U, 0) < 0)
		_exit(125);
	(void)fcntl(3, F_SETFD, FD_CLOEXEC);
	factory_main(3, 4, 5, foreign);
}

int factory_start(struct factory *f, struct loop *loop, int resolver, int *kept, bool foreign, struct err *e)
{
	AUTO_FD int ours = -1;
	AUTO_FD int its = -1;
	pid_t parent = getpid();
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket of the factory");
	ours = pair[0];
	its = pair[1];
	f->pid = fork();
	if (f->pid < 0) {
		f->pid = 0;
		return err_sys(e, "starting the factory");
	}
	if (f->pid == 0)
		child(its, resolver, *kept, foreign, parent);
	fd_close(kept);
	rc = loop_add(loop, ours, EPOLLIN, &f->watch);
	if (rc < 0)
		return err_num(e, -rc, "socket of the factory");
	f->loop = loop;
	f->fd = fd_take(&ours);
	return 0;
}

void factory_fini(struct factory *f)
{
	while (!TAILQ_EMPTY(&f->jobs)) {
		struct factory_job *j = TAILQ_FIRST(&f->jobs);

		TAILQ_REMOVE(&f->jobs, j, link);
		free(j);
	}
	if (f->fd >= 0)
		loop_remove(f->loop, f->fd, &f->watch);
	fd_close(&f->fd);
	if (f->pid > 0)
		while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
			;
	f->pid = 0;
}
