/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An app's network beside its streams. It knows nothing of vrun.
 *
 *   datagrams interfaces     "NAME ADDRESS" for each address of an interface that is up, sorted
 *   datagrams stream         makes a TCP socket; exit code is the errno
 *   datagrams wait           says "ready" and waits for its end
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int interfaces(void)
{
	static char lines[64][128];
	struct ifaddrs *all;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return errno;
	for (struct ifaddrs *i = all; i && n < 64; i = i->ifa_next) {
		char ip[64];

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, ip, sizeof ip);
		else if (i->ifa_addr->sa_family == AF_INET6)
			inet_ntop(AF_INET6, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, ip, sizeof ip);
		else
			continue;
		snprintf(lines[n++], sizeof *lines, "%s %s\n", i->ifa_name, ip);
	}
	freeifaddrs(all);
	qsort(lines, n, sizeof *lines, by_text);
	for (size_t i = 0; i < n; i++)
		fputs(lines[i], stdout);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "interfaces") == 0)
		return interfaces();
	if (argc == 2 && strcmp(argv[1], "stream") == 0)
		return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
	if (argc == 2 && strcmp(argv[1], "wait") == 0) {
		puts("ready");
		fflush(stdout);
		pause();
	}
	return 2;
}
