/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "sup/confine.h"
#include "sup/factory_impl.h"

void guard_init(struct guard *g)
{
	*g = (struct guard){ .sock = -1, .bell = -1 };
}

void guard_fini(struct guard *g)
{
	fd_close(&g->sock);
}

struct guard_request {
	socklen_t len; /* of the address; 0: listen */
	int backlog;
	bool begin; /* connect, but wait for nothing, whatever the socket's own mode is */
	struct sockaddr_storage sa;
};

/* --- the guard's own process ---------------------------------------------------------- */

static int get_int(int fd, int option)
{
	int v = -1;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) < 0 ? -1 : v;
}

/* Of F; or of no kind that an outside could be reached with. Datagrams of apps have namespaces that
 * lead nowhere, and a gateway keeps its own. */
static bool is_ours(int fd, uint64_t f_cookie)
{
	int domain = get_int(fd, SO_DOMAIN), type = get_int(fd, SO_TYPE);
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	if (domain == AF_UNIX || ((domain == AF_INET || domain == AF_INET6) && type == SOCK_DGRAM))
		return true;
	return domain == AF_INET6 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 && cookie == f_cookie;
}

/* Nothing is sent with it: what connects here has no cookie for that (tcp_fastopen in ip-sysctl). */
static int begin(int fd, const void *sa, socklen_t len)
{
	return (int)sendto(fd, "", 0, MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL, sa, len);
}

static int do_connect(int fd, const struct guard_request *r)
{
	return r->begin ? begin(fd, &r->sa, r->len) : connect(fd, (const struct sockaddr *)&r->sa, r->len);
}

static int carry_out(int fd, const struct guard_request *r, uint64_t f_cookie)
{
	int rc;

	if (!is_ours(fd, f_cookie) || r->len > sizeof r->sa)
		return EACCES;
	rc = r->len ? do_connect(fd, r) : listen(fd, r->backlog);
	return rc < 0 ? errno : 0;
}

_Noreturn static void guard_main(int sock, uint64_t f_cookie, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct err e;

	(void)prctl(PR_SET_NAME, "vrun-guard", 0, 0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent || null < 0 ||
	    dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || dup2(sock, 3) < 0 ||
	    sys_close_range(4, ~0U, 0) < 0 || confine_guard(&e) < 0)
		_exit(125);
	for (;;) {
		int fds[FACTORY_FDS_MAX], result = EPROTO, n;
		struct guard_request r;

		n = factory_receive(3, &r, sizeof r, fds, 0);
		if (n == -EINTR)
			continue;
		if (n < 0)
			_exit(0);
		if (n == 1)
			result = carry_out(fds[0], &r, f_cookie);
		while (n > 0)
			(void)close(fds[--n]);
		if (factory_send(3, &result, sizeof result, NULL, 0) < 0)
			_exit(0);
	}
}

/* --- the supervisor's side ----------------------------------------------------------------- */

int guard_start(struct guard *g, uint64_t f_cookie, struct err *e)
{
	pid_t pid, parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	pid = fork();
	if (pid == 0)
		guard_main(pair[1], f_cookie, parent);
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		return err_sys(e, "the guard's process");
	}
	g->sock = pair[0];
	g->f_cookie = f_cookie;
	return 0;
}

#define BELL_AT 1021 /* few apps have a socket of that number (epolls.c) */

/* Where the limit of descriptors is lower there is none. */
static int make_bell(const struct guard *g)
{
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && is_ours(fd, g->f_cookie) ? fcntl(fd, F_DUPFD_CLOEXEC, BELL_AT) : -1;
}

int guard_bell(const struct guard *g)
{
	return g->on ? g->bell : -1;
}

int guard_on(struct guard *g, struct err *e)
{
	int rc;

	if (g->on)
		return 0;
	if (g->sock < 0)
		return err_set(e, ENOTSUP, "its supervisor was started without a guard, and serves nobody who is let outside");
	g->bell = make_bell(g);
	rc = confine_guarded(g->bell, e);
	if (rc == 0)
		g->on = true;
	else
		fd_close(&g->bell);
	return rc;
}

static int ask(const struct guard *g, int fd, const struct guard_request *r)
{
	int result = EPIPE, fds[FACTORY_FDS_MAX], n = factory_send(g->sock, r, sizeof *r, &fd, 1);

	if (n == -ETOOMANYREFS)
		return -ENOBUFS; /* too many descriptors of this user's are under way (unix(7)) */
	if (n < 0)
		return -ENETUNREACH; /* it has gone, and with it the connections of our domains */
	do
		n = factory_receive(g->sock, &result, sizeof result, fds, 0);
	while (n == -EINTR);
	while (n > 0)
		(void)close(fds[--n]);
	return n < 0 ? -ENETUNREACH : -result;
}

int guard_connect(const struct guard *g, int fd, const void *sa, socklen_t len)
{
	struct guard_request r = { .len = len };

	if (!g->on || len < CONFINE_ADDRESS_MIN)
		return connect(fd, sa, len) < 0 ? -errno : 0;
	if (len > sizeof r.sa)
		return -EINVAL;
	memcpy(&r.sa, sa, len);
	return ask(g, fd, &r);
}

int guard_begin(const struct guard *g, int fd, const void *sa, socklen_t len)
{
	struct guard_request r = { .len = len, .begin = true };

	if (len > sizeof r.sa)
		return -EINVAL;
	if (!g->on)
		return begin(fd, sa, len) < 0 ? -errno : 0;
	memcpy(&r.sa, sa, len);
	return ask(g, fd, &r);
}

int guard_listen(const struct guard *g, int fd, int backlog)
{
	const struct guard_request r = { .backlog = backlog };

	if (!g->on)
		return listen(fd, backlog) < 0 ? -errno : 0;
	return ask(g, fd, &r);
}
