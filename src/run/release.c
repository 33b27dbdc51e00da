/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor of a created container: from the moment in which everything but
 * the exec is done, over "vrun start", to the exec.
 *
 * Whoever asks for the start sends SYNC_START over the socket in the
 * container's directory and waits for SYNC_START or SYNC_FAILED. One is heard
 * at a time. When the app runs the socket is closed; those who still wait at it
 * see that and look at the container's status.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/hooks.h"
#include "run/kept.h"
#include "run/monitor.h"
#include "run/sync.h"

int monitor_created(struct monitor *m, struct err *e)
{
	int rc = kept_listen(m->kept, &m->listener, e);

	if (rc < 0)
		return rc;
	/* Its end before this moment means that nobody knows of the container. */
	rc = fd_write_all(m->l->opt->started_fd, "s", 1);
	if (rc < 0)
		return err_num(e, -rc, "the caller is gone");
	m->created = true;
	streams_leave(&m->streams);
	return 0;
}

static void end_starter(struct monitor *m, const struct err *e)
{
	if (e)
		sync_fail(m->starter, e, EXIT_OWN);
	else
		(void)fd_send(m->starter, SYNC_START, NULL, 0);
	fd_close(&m->starter);
}

static void hear_starter(struct monitor *m)
{
	struct err e;
	char kind = 0;
	int n = fd_recv(m->starter, &kind, NULL, 0), rc;

	if (n == -EAGAIN || n == -EINTR)
		return;
	/* It has gone, perhaps after it had asked: a start that has begun goes on, and is not begun again. */
	if (n < 0 || kind != SYNC_START || m->listener < 0) {
		fd_close(&m->starter);
		return;
	}
	fd_close(&m->listener);
	rc = hooks_send_state(m, &e);
	if (rc == 0 && fd_send(m->sync, SYNC_GO, NULL, 0) < 0)
		rc = err_set(&e, EPIPE, "the container has ended");
	if (rc < 0)
		end_starter(m, &e);
}

void monitor_accept(struct monitor *m)
{
	if (m->starter >= 0)
		hear_starter(m);
	else
		m->starter = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
}

void monitor_answer(struct monitor *m, const struct err *e)
{
	if (m->starter >= 0)
		end_starter(m, e);
}

int monitor_give_terminal(const struct monitor *m, int terminal, struct err *e)
{
	static const char name[] = "/dev/ptmx";
	const char *path = m->l->opt->console_socket;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_FD int fd = terminal, sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { .align = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (char *)(uintptr_t)name, sizeof name - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };

	if (strlen(path) >= sizeof sa.sun_path)
		return err_num(e, ENAMETOOLONG, "console socket %s", path);
	memcpy(sa.sun_path, path, strlen(path));
	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	if (sock < 0 || connect(sock, (const struct sockaddr *)&sa, sizeof sa) < 0 || sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		return err_sys(e, "console socket %s", path);
	return 0;
}
