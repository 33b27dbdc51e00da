/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that lead outside, of a thread that has a table of descriptors of its own (unshare(2)). */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sockets.h"

struct copy {
	int fd;
	pthread_barrier_t there, go;
	const char *address; /* NULL: the other one connects */
	int port;
	int ok;
};

static int says_back(int fd, const char *what)
{
	char got[32] = "";
	size_t len = strlen(what), n = 0;
	ssize_t rc = write(fd, what, len);

	while (rc > 0 && n < len && (rc = read(fd, got + n, len - n)) > 0)
		n += (size_t)rc;
	return n == len && memcmp(got, what, len) == 0;
}

static void *have(void *arg)
{
	struct copy *c = arg;
	int rc = unshare(CLONE_FILES);

	(void)pthread_barrier_wait(&c->there);
	if (rc == 0 && c->address)
		rc = (int)connect_to(c->fd, c->address, c->port);
	(void)pthread_barrier_wait(&c->go);
	c->ok = rc == 0 && says_back(c->fd, "the thread");
	return NULL;
}

static void test_one(const char *address, int port, int by_thread)
{
	struct copy c = { .fd = tcp(address, 0), .address = by_thread ? address : NULL, .port = port };
	pthread_t thread;

	(void)pthread_barrier_init(&c.there, NULL, 2);
	(void)pthread_barrier_init(&c.go, NULL, 2);
	IS(pthread_create(&thread, NULL, have, &c), 0, "a thread");
	(void)pthread_barrier_wait(&c.there);
	if (!by_thread)
		IS(connect_to(c.fd, address, port), 0, "connect, with a copy in another table");
	(void)pthread_barrier_wait(&c.go);
	IS(pthread_join(thread, NULL), 0, "it ends");
	IS(c.ok, 1, by_thread ? "who connects speaks" : "the copy speaks");
	IS(says_back(c.fd, "the other"), 1, "and so does the other one");
	(void)pthread_barrier_destroy(&c.there);
	(void)pthread_barrier_destroy(&c.go);
	close(c.fd);
}

/* Before Linux 6.9 nobody can reach into such a table. */
static int is_reached(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 && major * 100 + minor >= 609;
}

void test_unshared(const char *address, int port)
{
	if (!is_reached())
		return;
	test_one(address, port, 0);
	test_one(address, port, 1);
}
