/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces of an app's network namespace, in one of our own. */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/netlink.h"
#include "tap.h"

/* Another interface has the index that vrun would take, as tunnels' own do. */
static void test_taken_index(int ns)
{
	const struct netlink_veth here[] = { { "h0", 100, { 2, 0, 0, 0, 0, 1 } },
					     { "h1", 101, { 2, 0, 0, 0, 0, 2 } },
					     { "h2", 102, { 2, 0, 0, 0, 0, 3 } } };
	struct netlink_veth there[] = { { "t0", 2, { 2, 0, 0, 0, 1, 1 } },
					{ "t1", 2, { 2, 0, 0, 0, 1, 2 } },
					{ "t2", 2, { 2, 0, 0, 0, 1, 3 } } };
	struct err e = { 0 };

	for (int i = 0; i < 3; i++) {
		TAP_INT(netlink_veth_make(&here[i], &there[i], ns, &e), 0, "pair %d: %s", i, e.text);
		TAP_INT(there[i].index, if_nametoindex(there[i].name), "its end has the index that is said");
		TAP_INT(if_nametoindex(here[i].name), here[i].index, "and ours the one that was wanted");
	}
	TAP_OK(there[1].index != there[0].index && there[2].index != there[1].index, "each its own");
}

int main(void)
{
	AUTO_FD int ns = -1;

	if (geteuid() == 0 ? unshare(CLONE_NEWNET) : unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		printf("1..0 # SKIP no network namespace can be made here\n");
		return 0;
	}
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	test_taken_index(ns);
	return tap_done();
}
