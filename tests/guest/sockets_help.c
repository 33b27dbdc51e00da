/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int failed, count;

void check(int ok, const char *what, long got, long want)
{
	count++;
	if (ok)
		return;
	failed++;
	printf("FAILED %s: got %ld, want %ld\n", what, got, want);
}

socklen_t make(union sa *s, const char *ip, int port)
{
	memset(s, 0, sizeof *s);
	if (strchr(ip, ':')) {
		s->v6.sin6_family = AF_INET6;
		s->v6.sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, ip, &s->v6.sin6_addr);
		return sizeof s->v6;
	}
	s->v4.sin_family = AF_INET;
	s->v4.sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, ip, &s->v4.sin_addr);
	return sizeof s->v4;
}

int tcp(const char *ip, int flags)
{
	return socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | flags, 0);
}

long bind_to(int fd, const char *ip, int port)
{
	union sa s = { 0 };
	socklen_t n = make(&s, ip, port);

	return R(bind(fd, &s.sa, n));
}

long connect_to(int fd, const char *ip, int port)
{
	union sa s = { 0 };
	socklen_t n = make(&s, ip, port);

	return R(connect(fd, &s.sa, n));
}

const char *text_of(const union sa *s, char *buf, size_t size)
{
	char ip[64] = "?";

	inet_ntop(s->sa.sa_family, s->sa.sa_family == AF_INET6 ? (const void *)&s->v6.sin6_addr :
								 (const void *)&s->v4.sin_addr, ip, sizeof ip);
	snprintf(buf, size, "%s", ip);
	return buf;
}

int port_of(const union sa *s)
{
	return ntohs(s->v4.sin_port); /* the same place in both */
}

int port_at(int fd)
{
	union sa s = { 0 };
	socklen_t n = sizeof s;

	return getsockname(fd, &s.sa, &n) < 0 ? -1 : port_of(&s);
}

void exchange(int a, int b, const char *what)
{
	char buf[8] = "";

	IS(write(a, "ping", 4), 4, what);
	IS(read(b, buf, sizeof buf), 4, what);
	OK(memcmp(buf, "ping", 4) == 0, what);
	IS(write(b, "pong", 4), 4, what);
	IS(read(a, buf, sizeof buf), 4, what);
}

/* A listener at ip (port chosen), a client to `to`, names, data, end. */

void pass_fd(int sock, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof fd)];
	} ctl = { 0 };
	struct iovec iov = { (char[]){ 'x' }, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };

	ctl.align = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	IS(sendmsg(sock, &m, 0), 1, "a descriptor in a message");
}

int take_fd(int sock)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
	int fd = -1;

	if (recvmsg(sock, &m, 0) == 1 && m.msg_controllen >= CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(&ctl.align), sizeof fd);
	return fd;
}
