/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway in somebody else's hands: stands beside a vrun in the place of vrun-gateway, and
 * answers as the policy's comment says, "behave: HOW". What each does is in the table below.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model/gateway.h"

static struct gateway_request r; /* the one to be answered */

static void tell_of(uint32_t id, enum gateway_kind kind, int error, int fd, size_t size)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct gateway_answer a = { .kind = (uint8_t)kind, .id = id, .error = error, .port = r.port, .n = 1, .addresses = { r.addr } };
	char bytes[sizeof a + 16] = { 0 };
	struct iovec iov = { bytes, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(bytes, &a, sizeof a);
	if (fd >= 0) {
		m.msg_control = ctl.buf;
		m.msg_controllen = sizeof ctl.buf;
		ctl.align = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	}
	if (sendmsg(GATEWAY_SOCK, &m, MSG_NOSIGNAL) < 0)
		exit(0);
	if (fd >= 0)
		close(fd);
}

static void tell(enum gateway_kind kind, int fd)
{
	tell_of(r.id, kind, 0, fd, sizeof(struct gateway_answer));
}

/* As a gateway would. */
static int connected(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(r.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&sa.sin_addr, r.addr.b + 12, 4);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		exit(1);
	return fd;
}

static void honest(void) { tell(GATEWAY_CONNECTED, connected()); }
static void silent(void) { }
static void late(void) { usleep(300000); honest(); }
static void twice(void) { honest(); honest(); tell(GATEWAY_FAILED, -1); honest(); }
static void end(void) { exit(0); }
static void none(void) { tell(GATEWAY_CONNECTED, -1); }
static void file(void) { tell(GATEWAY_CONNECTED, open("/", O_RDONLY | O_CLOEXEC)); }
static void datagrams(void) { tell(GATEWAY_CONNECTED, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }
static void family(void) { tell(GATEWAY_CONNECTING, socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
static void local(void) { tell(GATEWAY_CONNECTED, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
static void unconnected(void) { tell(GATEWAY_CONNECTED, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
static void resolved(void) { tell(GATEWAY_RESOLVED, -1); honest(); }
static void published(void) { tell(GATEWAY_PUBLISHED, -1); tell(GATEWAY_PUBLISHED, -1); honest(); }
static void arrived(void)
{
	size_t size = offsetof(struct gateway_answer, arrivals) + sizeof(struct gateway_arrival);

	for (int i = 0; i < 2; i++)
		tell_of(r.id, GATEWAY_ARRIVED, 0, connected(), size);
}

static void request(void) { tell(GATEWAY_CONNECT, -1); honest(); }
static void half(void) { tell_of(r.id, GATEWAY_FAILED, ECONNREFUSED, -1, sizeof(struct gateway_answer) / 2); honest(); }
static void more(void) { tell_of(r.id, GATEWAY_FAILED, ECONNREFUSED, -1, sizeof(struct gateway_answer) + 8); honest(); }
static void negative(void) { tell_of(r.id, GATEWAY_FAILED, -5, -1, sizeof(struct gateway_answer)); }
static void large(void) { tell_of(r.id, GATEWAY_FAILED, 1 << 16 | 1, -1, sizeof(struct gateway_answer)); }
static void refused(void) { tell_of(r.id, GATEWAY_FAILED, ECONNREFUSED, -1, sizeof(struct gateway_answer)); }
static void racing(void) { for (int i = 0; i < 50; i++) tell(GATEWAY_RACING, -1); honest(); }

static void others(void)
{
	static const uint32_t by[] = { 1, 2, 255, 256, 1000, UINT32_MAX };

	for (size_t i = 0; i < sizeof by / sizeof *by; i++)
		tell_of(r.id + by[i], GATEWAY_CONNECTED, 0, connected(), sizeof(struct gateway_answer));
	tell_of(0, GATEWAY_CONNECTED, 0, connected(), sizeof(struct gateway_answer));
	honest();
}

static void flood(void)
{
	for (uint32_t i = 0; i < 20000; i++)
		tell_of(r.id + 1 + i, GATEWAY_CONNECTED, 0, dup(GATEWAY_SOCK), sizeof(struct gateway_answer));
	honest();
}

/* Two descriptors with each, more than the supervisor may have. */
static void pairs(void)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(2 * sizeof(int))];
	} ctl = { .align = { CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	const int fds[2] = { GATEWAY_SOCK, GATEWAY_SOCK };
	struct gateway_answer a = { .kind = GATEWAY_FAILED, .id = r.id + 1 };
	struct iovec iov = { &a, sizeof a };
	const struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };

	memcpy(CMSG_DATA(&ctl.align), fds, sizeof fds);
	for (int i = 0; i < 5000; i++)
		if (sendmsg(GATEWAY_SOCK, &m, MSG_NOSIGNAL) < 0)
			exit(1);
	honest();
}

static const struct {
	const char *name;
	void (*answer)(void);
} ways[] = {
	{ "honest", honest }, { "silent", silent }, { "late", late }, { "twice", twice }, { "end", end },
	{ "none", none }, { "file", file }, { "datagrams", datagrams }, { "family", family }, { "local", local },
	{ "unconnected", unconnected }, { "resolved", resolved }, { "published", published }, { "arrived", arrived },
	{ "request", request }, { "half", half }, { "more", more }, { "negative", negative }, { "large", large },
	{ "refused", refused }, { "racing", racing }, { "others", others }, { "flood", flood },
	{ "pairs", pairs },
};

int main(void)
{
	static char policy[65536];
	size_t len = 0;
	ssize_t n;
	const char *how;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	while (len < sizeof policy - 1 && (n = read(GATEWAY_POLICY, policy + len, sizeof policy - 1 - len)) > 0)
		len += (size_t)n;
	how = strstr(policy, "behave: ");
	while (how && recv(GATEWAY_SOCK, &r, sizeof r, 0) == sizeof r)
		for (size_t i = 0; r.kind == GATEWAY_CONNECT && i < sizeof ways / sizeof *ways; i++)
			if (strncmp(how + 8, ways[i].name, strlen(ways[i].name)) == 0)
				ways[i].answer();
	return 0;
}
