/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/control.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define ANSWER_SECONDS 10

static socklen_t place(const char *name, struct sockaddr_un *ret)
{
	static const char prefix[] = "vrun-gateway-";

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path + 1, sizeof ret->sun_path - 1, "%s%s", prefix, name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + sizeof prefix - 1 + strlen(name));
}

int control_listen(char name[static CONTROL_NAME_SIZE], int *ret_fd, struct err *e)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	uint64_t r[2];
	socklen_t len;

	if (fd < 0 || getrandom(r, sizeof r, 0) != sizeof r)
		return err_sys(e, "the gateway's control socket");
	(void)snprintf(name, CONTROL_NAME_SIZE, "%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1]);
	len = place(name, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 8) < 0)
		return err_sys(e, "the gateway's control socket");
	*ret_fd = fd_take(&fd);
	return 0;
}

int control_accept(int fd, uid_t owner)
{
	AUTO_FD int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who;
	socklen_t len = sizeof who;

	if (got < 0)
		return -errno;
	if (getsockopt(got, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return -errno;
	return who.uid == owner || who.uid == 0 ? fd_take(&got) : -EPERM;
}

int control_connect(const char *name, int *ret_fd, struct err *e)
{
	const struct timeval most = { .tv_sec = ANSWER_SECONDS };
	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	struct ucred who;
	socklen_t len, who_len = sizeof who;

	if (fd < 0)
		return err_sys(e, "socket");
	if (strlen(name) >= CONTROL_NAME_SIZE)
		return err_set(e, EINVAL, "the record of the gateway's control socket is damaged");
	len = place(name, &sa);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		return err_sys(e, "the gateway");
	/* The launcher's that made it listen. Its name is no secret in the host's network namespace. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) < 0 || (who.uid != geteuid() && who.uid != 0))
		return err_set(e, EPERM, "somebody else has the name of the gateway's control socket");
	*ret_fd = fd_take(&fd);
	return 0;
}

int control_ask(int sock, char command, int fd, struct err *e)
{
	char answer[CONTROL_ANSWER_MAX], *hint;
	int rc = fd_send(sock, command, &fd, fd >= 0 ? 1 : 0);
	ssize_t n;

	if (rc < 0)
		return err_num(e, -rc, "asking the gateway");
	do
		n = recv(sock, answer, sizeof answer - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? err_sys(e, "the gateway's answer") : err_set(e, EPIPE, "the gateway has ended");
	answer[n] = '\0';
	if (strcmp(answer, "ok") == 0)
		return 0;
	hint = strchr(answer, '\n');
	if (hint)
		*hint++ = '\0';
	(void)err_set(e, EINVAL, "the gateway: %s", answer);
	return hint ? err_hint(e, "%s", hint) : -EINVAL;
}
