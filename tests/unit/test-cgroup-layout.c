/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/cgroup_layout.h"

#include <errno.h>
#include <stdlib.h>

#include "tap.h"

static void test_names(void)
{
	TAP_STR(cgroup_ctl_name(CGROUP_IO, false), "blkio", "v1 calls it blkio");
	TAP_STR(cgroup_ctl_name(CGROUP_IO, true), "io", "v2 calls it io");
	TAP_OK(!cgroup_ctl_name(CGROUP_NET_CLS, true), "v2 has no net_cls");
	TAP_INT(cgroup_ctl_parse("cpuset cpu io memory pids\n", ' ', true),
		CGROUP_BIT(CGROUP_CPUSET) | CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_IO) |
			CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_PIDS),
		"cgroup.controllers");
	TAP_INT(cgroup_ctl_parse("cpu,cpuacct", ',', false),
		CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_CPUACCT), "a v1 list");
	TAP_INT(cgroup_ctl_parse("cp", ',', false), 0, "no prefix matches");
	TAP_INT(cgroup_ctl_parse("", ' ', true), 0, "an empty list");
}

static void test_v2(void)
{
	struct cgroup_layout l;
	struct err e = { 0 };

	TAP_INT(cgroup_layout_parse(&l, "0::/user.slice/user-1000.slice/session-1.scope\n",
				    "24 1 0:22 / /sys rw - sysfs sysfs rw\n"
				    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "
				    "rw,nsdelegate,memory_recursiveprot\n",
				    &e),
		0, "a pure v2 system parses");
	TAP_INT(l.n, 1, "one hierarchy");
	TAP_INT(cgroup_layout_v1_controllers(&l), 0, "no v1 controllers");
	TAP_STR(cgroup_layout_v2(&l)->mount, "/sys/fs/cgroup", "its mount point");
	TAP_STR(cgroup_layout_v2(&l)->own, "/user.slice/user-1000.slice/session-1.scope", "own path");
	TAP_OK(!cgroup_layout_v1(&l, CGROUP_MEMORY), "no v1 memory");
	cgroup_layout_fini(&l);
}

static void test_hybrid(void)
{
	static const char self[] = "13:cpu,cpuacct:/user.slice\n"
				   "12:hugetlb:/\n"
				   "11:memory:/user.slice/user-0.slice/session-2.scope\n"
				   "1:name=systemd:/user.slice/user-0.slice/session-2.scope\n"
				   "0::/user.slice/user-0.slice/session-2.scope\n";
	static const char mounts[] =
		"31 23 0:28 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n"
		"32 31 0:29 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
		"33 31 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd\n"
		"34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct\n"
		"35 31 0:32 / /sys/fs/cgroup/memory rw shared:13 - cgroup cgroup rw,memory\n";
	struct cgroup_layout l;
	struct err e = { 0 };

	TAP_INT(cgroup_layout_parse(&l, self, mounts, &e), 0, "a hybrid system parses");
	TAP_STR(cgroup_layout_v1(&l, CGROUP_CPUACCT)->mount, "/sys/fs/cgroup/cpu,cpuacct",
		"controllers mounted together");
	TAP_STR(cgroup_layout_v1(&l, CGROUP_CPU)->own, "/user.slice", "each has a path of its own");
	TAP_STR(cgroup_layout_v2(&l)->mount, "/sys/fs/cgroup/unified", "v2 beside them");
	TAP_OK(!cgroup_layout_v1(&l, CGROUP_HUGETLB), "a hierarchy that is mounted nowhere");
	TAP_INT(cgroup_layout_v1_controllers(&l),
		CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_CPUACCT) | CGROUP_BIT(CGROUP_MEMORY),
		"the controllers that can be used");
	cgroup_layout_fini(&l);
}

static void test_part_mounts(void)
{
	struct cgroup_layout l;
	struct err e = { 0 };

	TAP_INT(cgroup_layout_parse(&l, "4:memory:/docker/abc/x\n3:pids:/docker/abcd\n2:cpu:/../y\n0::/\n",
				    "50 49 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup "
				    "rw,memory\n"
				    "51 49 0:31 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup "
				    "rw,pids\n"
				    "52 49 0:32 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
				    "53 49 0:33 / /mnt/with\\040space\\134 ro - cgroup2 none rw\n",
				    &e),
		0, "mounts of a part parse");
	TAP_STR(cgroup_layout_v1(&l, CGROUP_MEMORY)->own, "/x", "the path is cut at the mount's root");
	TAP_OK(!cgroup_layout_v1(&l, CGROUP_PIDS)->own, "a sibling with the same prefix is not below");
	TAP_OK(!cgroup_layout_v1(&l, CGROUP_CPU)->own, "what lies outside the namespace is not visible");
	TAP_STR(cgroup_layout_v2(&l)->mount, "/mnt/with space\\", "escapes are undone");
	cgroup_layout_fini(&l);

	TAP_INT(cgroup_layout_parse(&l, "4:memory:/a/b\n",
				    "50 49 0:30 /other /one ro - cgroup cgroup rw,memory\n"
				    "51 49 0:30 /a /two ro - cgroup cgroup rw,memory\n"
				    "52 49 0:30 / /three ro - cgroup cgroup rw,memory\n",
				    &e),
		0, "several mounts of one hierarchy parse");
	TAP_STR(cgroup_layout_v1(&l, CGROUP_MEMORY)->mount, "/two",
		"the first one that shows the caller is taken");
	TAP_STR(cgroup_layout_v1(&l, CGROUP_MEMORY)->own, "/b", "with its view of the path");
	cgroup_layout_fini(&l);
}

static void test_bad(void)
{
	struct cgroup_layout l = { .n = 77 };
	struct err e = { 0 };
	char many[4096] = "";

	TAP_INT(cgroup_layout_parse(&l, "nonsense\n", "", &e), -EINVAL, "a line without colons");
	TAP_INT(cgroup_layout_parse(&l, "1:memory:relative\n", "", &e), -EINVAL, "a relative path");
	TAP_INT(l.n, 77, "the output is untouched on failure");
	for (int i = 0; i < CGROUP_HIER_MAX + 1; i++)
		(void)snprintf(many + strlen(many), sizeof many - strlen(many), "%d:name=x%d:/\n", i, i);
	TAP_INT(cgroup_layout_parse(&l, many, "", &e), -E2BIG, "too many hierarchies");
	TAP_INT(cgroup_layout_parse(&l, "0::/\n",
				    "\n1 2\n1 2 3 / /x rw\n1 2 3 / /x rw -\n1 2 3 / /x rw - cgroup2\n"
				    "1 2 3 / /x rw - cgroup2 src\n1 2 3 / /y rw - cgroup memory memory\n",
				    &e),
		0, "cut mountinfo lines are passed over");
	TAP_OK(!cgroup_layout_v2(&l), "and name no mount");
	cgroup_layout_fini(&l);
	TAP_INT(cgroup_layout_parse(&l, "", "", &e), 0, "a kernel without cgroups");
	TAP_INT(l.n, 0, "has no hierarchy");
	cgroup_layout_fini(&l);
}

static void test_here(void)
{
	struct cgroup_layout l;
	struct err e = { 0 };

	TAP_INT(cgroup_layout_read(&l, NULL, &e), 0, "this machine's layout: %s", e.text);
	cgroup_layout_fini(&l);
	TAP_INT(cgroup_layout_read(&l, "/nonexistent", &e), -ENOENT, "no proc below that root");
}

int main(void)
{
	test_names();
	test_v2();
	test_hybrid();
	test_part_mounts();
	test_bad();
	test_here();
	return tap_done();
}
