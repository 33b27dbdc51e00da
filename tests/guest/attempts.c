/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries what the lines of standard input say and prints each with how it went:
 *
 *   connect tcp|udp ADDRESS PORT     with udp a datagram is sent: connecting alone sends nothing, and may be
 *                                    let pass for getaddrinfo(3), which sorts by it
 *   listen tcp|udp ADDRESS PORT
 *
 * and says how it went: "LINE EACCES", or "0".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t address(const char *text, int port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof *ret);
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		return sizeof *four;
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
		return 0;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)port);
	return sizeof *six;
}

static int attempt(const char *kind, const char *proto, const struct sockaddr_storage *sa, socklen_t len)
{
	int stream = strcmp(proto, "tcp") == 0, rc, on = 1;
	int fd = socket(sa->ss_family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	if (strcmp(kind, "connect") == 0 && !stream) {
		rc = sendto(fd, "x", 1, MSG_NOSIGNAL, (const struct sockaddr *)sa, len) < 0 ? -1 : 0;
	} else if (strcmp(kind, "connect") == 0) {
		rc = connect(fd, (const struct sockaddr *)sa, len);
	} else {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		rc = bind(fd, (const struct sockaddr *)sa, len);
		if (rc == 0 && stream)
			rc = listen(fd, 1);
	}
	rc = rc < 0 ? errno : 0;
	(void)close(fd);
	return rc;
}

int main(void)
{
	char kind[16], proto[8], host[64];
	struct sockaddr_storage sa;
	socklen_t len;
	int port, rc;

	while (scanf("%15s %7s %63s %d", kind, proto, host, &port) == 4) {
		len = address(host, port, &sa);
		if (!len)
			return 2;
		rc = attempt(kind, proto, &sa, len);
		(void)printf("%s %s %s %d %s\n", kind, proto, host, port, rc ? strerrorname_np(rc) : "0");
	}
	(void)printf("end\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
