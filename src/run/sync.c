/* SPDX-License-Identifier: Apache-2.0 */
#include "run/sync.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

int sync_expect(int sock, enum sync_kind kind, int *ret_fds, size_t max)
{
	int fds[FD_PASS_MAX];
	char got;
	int n = fd_recv(sock, &got, fds, max < FD_PASS_MAX ? max : FD_PASS_MAX);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (got == (char)kind)
			ret_fds[i] = fds[i];
		else
			fd_close(&fds[i]);
	}
	return got == (char)kind ? n : -EPROTO;
}

int sync_pass(int sock, enum sync_kind kind, const int *fds, size_t n, const char *gone, struct err *e)
{
	int rc = fd_send(sock, (char)kind, fds, n);

	if (rc == -ETOOMANYREFS)
		return fd_send_refused(e);
	return rc < 0 ? err_set(e, EPIPE, "%s", gone) : 0;
}

struct failure {
	struct err err;
	int exit_code;
};

void sync_fail(int sock, const struct err *e, int exit_code)
{
	struct failure f = { *e, exit_code };

	const char kind = SYNC_FAILED;

	/* Without a monitor SIGPIPE ends us here, as nothing else would be left to do. */
	if (write(sock, &kind, 1) == 1)
		(void)!write(sock, &f, sizeof f);
}

int sync_read_failure(int sock, int *ret_exit_code, struct err *e)
{
	struct failure f;
	int resets = 0;
	ssize_t n;

	/*
	 * Its process has ended meanwhile, perhaps without having read what we sent: see fd_recv(). And between its
	 * two messages may stand one of the process that has made it (SYNC_PID), which means nothing any more;
	 * descriptors that came with that are closed by the kernel.
	 */
	do
		n = recv(sock, &f, sizeof f, 0);
	while (n == 1 || (n < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0))));
	if (n != (ssize_t)sizeof f)
		return err_set(e, EPROTO, "the container's set-up ended without saying why");
	f.err.text[sizeof f.err.text - 1] = '\0';
	f.err.hint[sizeof f.err.hint - 1] = '\0';
	if (f.err.num <= 0)
		f.err.num = EPROTO;
	*ret_exit_code = f.exit_code;
	*e = f.err;
	return -f.err.num;
}

int sync_last_word(int sock, int *ret_exit_code, struct err *e)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int fds[FD_PASS_MAX], n = 0;
	char kind;

	while (poll(&p, 1, 0) > 0 && (n = fd_recv(sock, &kind, fds, FD_PASS_MAX)) >= 0) {
		for (int i = 0; i < n; i++)
			fd_close(&fds[i]);
		if (n == 0 && kind == SYNC_FAILED)
			return sync_read_failure(sock, ret_exit_code, e);
	}
	return 0;
}
