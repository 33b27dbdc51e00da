/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_UNIX sockets by path and by abstract name, in the current directory: says
 * "unix MODE UID", the file's, and "peer UID" as the server sees the client.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static socklen_t place(struct sockaddr_un *sa, const char *name, int abstract)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(sa->sun_path + abstract, sizeof sa->sun_path - 1, "%s", name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)abstract + strlen(name));
}

static void talk(const char *name, int abstract)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), a;
	struct sockaddr_un sa;
	socklen_t len = place(&sa, name, abstract), size;
	struct ucred who;
	char text[6];

	if (bind(s, (struct sockaddr *)&sa, len) < 0 || listen(s, 1) < 0)
		die("bind");
	if (connect(c, (struct sockaddr *)&sa, len) < 0)
		die("connect");
	a = accept(s, NULL, NULL);
	size = sizeof who;
	if (a < 0 || getsockopt(a, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		die("accept");
	if (write(c, "hello", 6) != 6 || read(a, text, 6) != 6 || strcmp(text, "hello") != 0)
		die("read");
	printf("peer %u\n", (unsigned)who.uid);
}

int main(void)
{
	struct stat st;

	(void)umask(027);
	talk("socket", 0);
	if (stat("socket", &st) < 0)
		die("stat");
	printf("unix %o %u\n", (unsigned)st.st_mode & 0777, (unsigned)st.st_uid);
	talk("name", 1);
	return unlink("socket") < 0;
}
