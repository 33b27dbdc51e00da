/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "sup/confine.h"
#include "sup/factory.h"

#define SOCK 3
#define FILE_AT 4

static ssize_t write_fully(const char *v, size_t len)
{
	size_t n = 0;
	ssize_t got;

	while (n < len) {
		got = write(FILE_AT, v + n, len - n);
		if (got < 0 && errno != EINTR)
			return -errno;
		n += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

/* Descriptors that may have each other's numbers. */
static int place(const int fds[static SCRIBE_FDS])
{
	AUTO_FD int file = fcntl(fds[SCRIBE_FILE], F_DUPFD, FILE_AT + 1);

	if (file < 0 || dup2(fds[SCRIBE_SOCK], SOCK) < 0 || dup2(file, FILE_AT) < 0)
		return -errno;
	return sys_close_range(FILE_AT + 1, ~0U, 0) < 0 ? -errno : 0;
}

_Noreturn void scribe_main(const int fds[static SCRIBE_FDS])
{
	static char message[SCRIBE_MESSAGE_MAX];
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct scribe_said said = { 0 };
	struct err e;

	(void)prctl(PR_SET_NAME, "vrun-scribe", 0, 0, 0);
	(void)sigaction(SIGXFSZ, &ignore, NULL); /* EFBIG says the same */
	if (place(fds) < 0 || confine_scribe(&e) < 0)
		_exit(125);
	while (!said.error) {
		ssize_t n = recv(SOCK, message, sizeof message, 0), rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		rc = write_fully(message, (size_t)n);
		if (rc == 0)
			said.done += (size_t)n;
		else
			said.error = ftruncate(FILE_AT, (off_t)said.done) < 0 ? errno : (int32_t)-rc;
		if (send(SOCK, &said, sizeof said, MSG_NOSIGNAL) < 0 && errno != EPIPE)
			break; /* what is there is still written when nobody hears of it */
	}
	_exit(0);
}

int scribe_start(struct factory *f, int file, int *ret_sock, struct err *e)
{
	AUTO_FD int ours = -1;
	AUTO_FD int its = -1;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket of a scribe");
	ours = pair[0];
	its = pair[1];
	rc = factory_scribe(f, (const int[]){ [SCRIBE_SOCK] = its, [SCRIBE_FILE] = file }, e);
	if (rc == 0)
		*ret_sock = fd_take(&ours);
	return rc;
}
