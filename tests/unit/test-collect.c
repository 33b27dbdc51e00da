/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of closed sockets go; those of connections to the outside that the kernel does not list yet stay. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sup/outgoing_impl.h"
#include "sup/sup.h"
#include "tap.h"

static struct sup sup;
static struct domain domain = { .number = 1, .sup = &sup };

/* A row whose socket, as far as the kernel's lists go, is closed. */
static uint64_t unlisted(uint64_t cookie)
{
	struct vsk *v = vsk_new(&sup.table, &domain, cookie, false);

	vsk_set_status(&sup.table, v, VSK_CONNECTING);
	return cookie;
}

/* The same, whose connection the gateway was asked for. */
static uint64_t leaving(uint64_t cookie)
{
	struct vsk *v = vsk_find(&sup.table, unlisted(cookie));
	struct outgoing *o = calloc(1, sizeof *o);

	if (!o || !sup_take_files(&domain, 2)) /* as outgoing_drop() gives back */
		_exit(99);
	*o = (struct outgoing){ .sup = &sup, .domain = &domain, .cookie = cookie, .request = 7, .near = -1, .far = -1,
				.plug = { .fd = -1 } };
	v->out = o;
	return cookie;
}

static bool is_there(uint64_t cookie)
{
	return vsk_find(&sup.table, cookie) != NULL;
}

/* Until the collector rests. */
static void collect_slowly(void)
{
	sup_collect_slowly(&sup);
	for (unsigned i = 0; i < 10000 && sup.collections; i++)
		survey_step(&sup.survey);
	TAP_INT(sup.collections, 0, "the collector rests");
}

static void test_leaving(void)
{
	uint64_t closed = unlisted(11), out = leaving(12);

	collect_slowly();
	TAP_OK(!is_there(closed), "the row of a closed socket goes");
	TAP_OK(is_there(out), "that of one for which the gateway still looks stays");
	closed = unlisted(13);
	sup_collect(&sup);
	TAP_OK(!is_there(closed), "at once, too");
	TAP_OK(is_there(out), "it stays then");
	vsk_find(&sup.table, out)->out->request = 0;
	collect_slowly();
	TAP_OK(!is_there(out), "it goes when the gateway has answered, and nobody has taken the answer");
}

static void test_untold(void)
{
	uint64_t failed = unlisted(21);

	vsk_find(&sup.table, failed)->error = ECONNREFUSED;
	collect_slowly();
	TAP_OK(is_there(failed), "an error that nobody has asked for keeps its row");
	for (unsigned i = 0; i < 5; i++)
		collect_slowly();
	TAP_OK(!is_there(failed), "but not for ever");
}

/* It is listed: a listener. */
static void test_listed(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	TAP_INT(fd < 0 || listen(fd, 1) < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0, 0, "a listener");
	(void)unlisted(cookie);
	collect_slowly();
	sup_collect(&sup);
	TAP_OK(is_there(cookie), "what the kernel lists stays");
	(void)close(fd);
	collect_slowly();
	TAP_OK(!is_there(cookie), "until it is closed");
}

#define MANY 1500

static atomic_bool enough;

/* Sockets come and go while the list is made. */
static void *turn_over(void *arg)
{
	int *fds = arg;

	for (unsigned i = 0; !enough; i = (i * 1103515245 + 12345) % MANY) {
		(void)close(fds[i]);
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	return NULL;
}

/* Rows of sockets that stay, among as many that do not. */
static void test_parts(void)
{
	static int stay[MANY], go[MANY];
	static uint64_t cookies[MANY];
	const struct rlimit files = { 2 * MANY + 100, 2 * MANY + 100 };
	unsigned lost = 0;
	pthread_t other;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
		printf("# no room for %d descriptors\n", 2 * MANY);
		return;
	}
	domain.policy.transport = POLICY_TRANSPORT_WIRE;
	for (unsigned i = 0; i < MANY; i++) {
		socklen_t len = sizeof cookies[i];

		go[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		stay[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (getsockopt(stay[i], SOL_SOCKET, SO_COOKIE, &cookies[i], &len) < 0 || !vsk_new(&sup.table, &domain, cookies[i], false))
			_exit(99);
	}
	if (pthread_create(&other, NULL, turn_over, go) != 0)
		_exit(99);
	for (unsigned i = 0; i < 1500; i++)
		sup_collect(&sup);
	enough = true;
	(void)pthread_join(other, NULL);
	for (unsigned i = 0; i < MANY; i++)
		lost += !is_there(cookies[i]);
	TAP_INT(lost, 0, "rows of open wires stay, whatever is closed while the kernel lists them");
	for (unsigned i = 0; i < MANY; i++) {
		(void)close(stay[i]);
		(void)close(go[i]);
	}
	sup_collect(&sup);
	lost = 0;
	for (unsigned i = 0; i < MANY; i++)
		lost += !is_there(cookies[i]);
	TAP_INT(lost, MANY, "those of closed ones go");
}

int main(void)
{
	struct err e;

	if (unshare(CLONE_NEWUSER) < 0 && geteuid() != 0) {
		printf("1..0 # SKIP no user namespaces here\n");
		return 0;
	}
	if (sup_init(&sup, &e) < 0) {
		printf("1..0 # SKIP %s\n", e.text);
		return 0;
	}
	LIST_INSERT_HEAD(&sup.domains, &domain, link);
	test_leaving();
	test_untold();
	test_listed();
	test_parts();
	LIST_REMOVE(&domain, link);
	sup_fini(&sup);
	return tap_done();
}
