/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's servers: listens on sockets and reads from FIFOs, and says whom it
 * heard of. Prints "ready" when all of them can be reached, and "heard PLACE"
 * for each connection, datagram or FIFO that was opened. Ends after two minutes.
 *
 *   listen stream:PATH|dgram:PATH|seqpacket:PATH|fifo:PATH...   ("@NAME" for a PATH: abstract)
 */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PLACES_MAX 128

static int open_socket(int type, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || n >= sizeof a.sun_path)
		return -1;
	memcpy(a.sun_path, path, n);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	else
		n++;
	if (bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0 ||
	    (path[0] != '@' && chmod(path, 0666) < 0) || (type != SOCK_DGRAM && listen(fd, 64) < 0))
		return -1;
	return fd;
}

static int open_place(const char *place)
{
	const char *path = strchr(place, ':');

	if (!path++)
		return -1;
	if (strncmp(place, "stream:", 7) == 0)
		return open_socket(SOCK_STREAM, path);
	if (strncmp(place, "dgram:", 6) == 0)
		return open_socket(SOCK_DGRAM, path);
	if (strncmp(place, "seqpacket:", 10) == 0)
		return open_socket(SOCK_SEQPACKET, path);
	if (strncmp(place, "fifo:", 5) != 0 || mkfifo(path, 0666) < 0 || chmod(path, 0666) < 0)
		return -1;
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* Takes what has come, so that the next one is news. */
static void hear(int fd, const char *place)
{
	char buf[256];
	int peer = -1;

	if (strncmp(place, "stream:", 7) == 0 || strncmp(place, "seqpacket:", 10) == 0)
		peer = accept(fd, NULL, NULL);
	else
		(void)!read(fd, buf, sizeof buf);
	if (peer >= 0)
		(void)close(peer);
	(void)printf("heard %s\n", place);
}

int main(int argc, char **argv)
{
	struct pollfd p[PLACES_MAX] = { { .fd = -1 } };
	nfds_t n = (nfds_t)argc;

	if (argc > PLACES_MAX)
		return 2;
	(void)alarm(120);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		p[i] = (struct pollfd){ .fd = open_place(argv[i]), .events = POLLIN };
		if (p[i].fd < 0) {
			perror(argv[i]);
			return 1;
		}
	}
	(void)puts("ready");
	while (poll(p, n, -1) > 0) {
		for (nfds_t i = 1; i < n; i++) {
			if (p[i].revents)
				hear(p[i].fd, argv[i]);
			/* A FIFO whose writer has gone would be news for ever. */
			if (p[i].revents & POLLHUP) {
				(void)close(p[i].fd);
				p[i].fd = open(strchr(argv[i], ':') + 1, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
			}
		}
	}
	return 1;
}
