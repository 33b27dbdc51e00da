/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that are "in progress" until the supervisor says how it went: limbo for TCP, the plug for wires. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/kernel.h"
#include "sup/limbo.h"
#include "sup/plug.h"
#include "tap.h"

static struct fabric f;
static struct guard g;
static struct limbo l;
static struct sockdiag diag;

static int polled(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&p, 1, ms) > 0 ? p.revents : 0;
}

static int error_of(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

/* An app's, at a place of its own, in limbo. */
static int in_limbo(struct faddr *at, uint16_t *ret_port)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;
	struct sockaddr_in6 sa = { 0 };
	socklen_t len = sizeof sa;

	rc = fabric_serve(fd, 0, at);
	TAP_INT(rc == 0 ? limbo_enter(&l, fd) : rc, 0, "a socket enters limbo");
	TAP_INT(polled(fd, 20), 0, "it is in progress");
	TAP_OK(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EAGAIN, "and takes no bytes");
	TAP_INT(getsockname(fd, (struct sockaddr *)&sa, &len), 0, "its port");
	*ret_port = ntohs(sa.sin6_port);
	return fd;
}

static void test_joined(void)
{
	uint16_t port;
	struct faddr at;
	int fd = in_limbo(&at, &port), near = limbo_join(&l, &at.addr, port);
	char buf[8];

	TAP_OK(near >= 0, "it is joined");
	TAP_INT(polled(fd, 5000), POLLOUT, "and connected");
	TAP_INT(error_of(fd), 0, "without an error");
	TAP_INT(send(fd, "there", 5, 0), 5, "it sends");
	TAP_OK(polled(near, 5000) & POLLIN && recv(near, buf, sizeof buf, 0) == 5, "to the other end");
	TAP_OK(send(near, "back", 4, 0) == 4 && polled(fd, 5000) & POLLIN && recv(fd, buf, sizeof buf, 0) == 4, "and is answered");
	close(near);
	close(fd);
}

static void test_failed(void)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;
	uint16_t port;
	struct faddr at;
	int fd = in_limbo(&at, &port);

	TAP_INT(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0, "its cookie");
	limbo_fail(&l, &diag, &at.addr, port, cookie);
	TAP_OK(polled(fd, 5000) & (POLLERR | POLLHUP), "who polls it sees it fail");
	TAP_OK(error_of(fd) != 0, "with an error");
	limbo_leave(fd);
	TAP_INT(error_of(fd), 0, "that goes when it leaves");
	TAP_INT(limbo_enter(&l, fd), 0, "and it may enter again");
	TAP_INT(polled(fd, 20), 0, "in progress once more");
	limbo_leave(fd);
	TAP_OK(polled(fd, 0) & POLLHUP, "it leaves as it came: unconnected");
	close(fd);
}

static void test_plug(bool nonblock)
{
	int wire = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0), near;
	struct plug p = { .fd = -1 }, again = { .fd = -1 };
	char buf[16];

	TAP_INT(plug_enter(&p, &g, wire), 0, "a wire is plugged");
	TAP_INT(polled(wire, 20), 0, "it is in progress");
	TAP_OK(send(wire, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN, "and takes no bytes");
	TAP_INT(plug_enter(&again, &g, wire), -EMLINK, "it cannot be so twice");
	near = plug_open(&p);
	TAP_OK(near >= 0 && p.fd == -1, "it is opened");
	TAP_INT(polled(wire, 5000), POLLOUT, "and connected");
	TAP_INT(recv(near, buf, sizeof buf, MSG_DONTWAIT), -1, "nothing of what filled it is left");
	TAP_OK(send(wire, "there", 5, 0) == 5 && recv(near, buf, sizeof buf, 0) == 5 && memcmp(buf, "there", 5) == 0,
	       "what it sends comes first");
	close(near);
	TAP_OK(polled(wire, 5000) & POLLHUP, "it hangs up with the other end");
	close(wire);
}

static bool has_wires(void)
{
	int one[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, one) < 0)
		return false;
	rc = setsockopt(one[0], SOL_SOCKET, SO_PASSRIGHTS, &(int){ 0 }, sizeof(int));
	close(one[0]);
	close(one[1]);
	return rc == 0;
}

int main(void)
{
	struct err e;

	guard_init(&g);
	if (unshare(CLONE_NEWUSER) < 0 && geteuid() != 0) {
		printf("1..0 # SKIP no user namespaces here\n");
		return 0;
	}
	if (fabric_init(&f, &e) < 0 || sockdiag_init(&diag, &e) < 0) {
		printf("1..0 # SKIP no network namespaces here\n");
		return 0;
	}
	limbo_init(&l, &g);
	test_joined();
	test_failed();
	if (has_wires()) {
		test_plug(true);
		test_plug(false);
	}
	limbo_fini(&l);
	sockdiag_fini(&diag);
	return tap_done();
}
