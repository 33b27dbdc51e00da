/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups without a kernel's help: conversions, choices, and what is written
 * where, in a tree of plain files that stands for /proc and /sys/fs/cgroup.
 * test-cgroup-live has the kernel's side.
 */
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/cgroup.h"
#include "kern/cgroup_impl.h"
#include "tap.h"

/* --- a tree of files --- */

static char root[64];

static void make_parents(const char *path)
{
	char buf[4096];

	(void)snprintf(buf, sizeof buf, "%s", path);
	for (char *p = buf + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(buf, 0755);
		*p = '/';
	}
}

__attribute__((format(printf, 2, 3))) static void put(const char *path, const char *fmt, ...)
{
	char full[4096];
	va_list ap;
	FILE *f;

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	make_parents(full);
	f = fopen(full, "w");
	if (!f) {
		TAP_OK(false, "writing %s", full);
		return;
	}
	va_start(ap, fmt);
	(void)vfprintf(f, fmt, ap);
	va_end(ap);
	(void)fclose(f);
}

/* Empty files of these names (separated by spaces) in a directory. */
static void put_all(const char *dir, const char *names)
{
	char copy[4096], path[4200], *rest = copy, *name;

	(void)snprintf(copy, sizeof copy, "%s", names);
	while ((name = strsep(&rest, " "))) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, name);
		put(path, "%s", "");
	}
}

static const char *get(const char *path)
{
	static char text[4096];
	char full[4096];
	ssize_t n;
	AUTO_FD int fd = -1;

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

static bool there(const char *path)
{
	char full[4096];

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	return access(full, F_OK) == 0;
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tree_begin(void)
{
	(void)snprintf(root, sizeof root, "/tmp/test-cgroup.XXXXXX");
	if (!mkdtemp(root))
		TAP_OK(false, "mkdtemp");
}

static void tree_end(void)
{
	(void)nftw(root, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define V2_MOUNT "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V2_FILES                                                                                   \
	"cgroup.procs cgroup.events cgroup.freeze cgroup.kill cgroup.max.depth "                    \
	"cgroup.max.descendants cgroup.subtree_control cgroup.threads "                             \
	"memory.max memory.low memory.swap.max memory.high memory.events "                          \
	"cpu.max cpu.max.burst cpu.weight cpu.idle "                                                \
	"cpuset.cpus cpuset.mems pids.max io.max io.weight hugetlb.2MB.max hugetlb.2MB.rsvd.max "   \
	"rdma.max misc.max"

/* A v2 system with one cgroup /c/box that has all files, and the caller in /own. */
static void v2_tree(void)
{
	tree_begin();
	put("/proc/self/cgroup", "0::/own\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
	put("/sys/fs/cgroup/cgroup.subtree_control", "memory\n");
	put("/sys/fs/cgroup/c/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
	put("/sys/fs/cgroup/c/cgroup.subtree_control", "cpuset cpu io memory hugetlb pids rdma misc\n");
	put_all("/sys/fs/cgroup/c/box", V2_FILES);
	put("/sys/fs/cgroup/c/box/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
	put("/sys/fs/cgroup/own/cgroup.controllers", "memory pids\n");
	put("/sys/fs/cgroup/own/cgroup.subtree_control", "memory\n");
	put("/sys/fs/cgroup/own/cgroup.procs", "%d\n", getpid());
}

static struct cgroup_params box(const struct bundle_resources *r)
{
	return (struct cgroup_params){ .resources = r, .path = "/c/box", .id = "t1", .sysroot = root };
}

static int prepare_with(struct cgroup **cg, struct cgroup_params *p, const struct bundle_resources *r,
			struct err *e)
{
	p->resources = r;
	return cgroup_prepare(cg, p, e);
}

#define BOX "/sys/fs/cgroup/c/box/"

/* --- conversions --- */

static void test_conversions(void)
{
	struct bundle_resources r = { .has_mem_limit = true, .mem_limit = 100, .mem_swap = 300 };
	int64_t swap = 7;
	int wrong = 0;

	TAP_INT(cgroup_weight_of_shares(2), 1, "2 shares are weight 1");
	TAP_INT(cgroup_weight_of_shares(1024), 100, "1024 shares are weight 100");
	TAP_INT(cgroup_weight_of_shares(262144), 10000, "262144 shares are weight 10000");
	TAP_INT(cgroup_weight_of_shares(UINT64_MAX), 10000, "more is the most");
	for (uint64_t s = 3; s < 262144; s++) {
		double l = log2((double)s);
		double w = pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0);
		uint64_t got = cgroup_weight_of_shares(s);

		/* Next to a whole number either side of it is right. */
		if (got != (uint64_t)ceil(w - 2e-5) && got != (uint64_t)ceil(w + 2e-5)) {
			if (wrong++ < 5)
				printf("# %lu shares: got %lu, formula %f\n", (unsigned long)s,
				       (unsigned long)got, w);
		}
	}
	TAP_INT(wrong, 0, "every number of shares is on the formula's curve");
	TAP_INT(cgroup_weight_of_blkio(10), 1, "blkio weight 10");
	TAP_INT(cgroup_weight_of_blkio(1000), 10000, "blkio weight 1000");
	TAP_INT(cgroup_swap_of_total(&r, &swap), 0, "memory and swap");
	TAP_INT(swap, 200, "swap alone is the difference");
	r.mem_swap = 50;
	TAP_INT(cgroup_swap_of_total(&r, &swap), -EINVAL, "a total below the limit");
	r.mem_swap = 0;
	TAP_INT(cgroup_swap_of_total(&r, &swap), 0, "a total of nothing");
	TAP_INT(swap, 0, "is no swap");
	r.mem_swap = -1;
	TAP_INT(cgroup_swap_of_total(&r, &swap), 0, "unlimited");
	TAP_INT(swap, -1, "stays unlimited");
	r.has_mem_limit = false;
	r.mem_swap = 10;
	TAP_INT(cgroup_swap_of_total(&r, &swap), -EINVAL, "a total needs a limit");
	TAP_OK(cgroup_page_size_ok("2MB") && cgroup_page_size_ok("1GB") && cgroup_page_size_ok("64KB"),
	       "page sizes");
	TAP_OK(!cgroup_page_size_ok("../x") && !cgroup_page_size_ok("MB") && !cgroup_page_size_ok("2M") &&
		       !cgroup_page_size_ok("2MB/..") && !cgroup_page_size_ok(""),
	       "what is no page size");
}

static bool only_default(struct bundle_device_rule *v, size_t n)
{
	struct bundle_resources r = { .devices = v, .n_devices = n };

	return cgroup_devices_only_default(&r);
}

static void test_device_lists(void)
{
	struct bundle_device_rule deny = { false, 'a', -1, -1, "rwm" };
	struct bundle_device_rule null = { true, 'c', 1, 3, "rw" }, pts = { true, 'c', 136, 4, "rwm" };
	struct bundle_device_rule nodes = { true, 'b', -1, -1, "m" }, all = { true, 'a', -1, -1, "rwm" };
	struct bundle_device_rule disk = { true, 'b', 8, 0, "r" }, chars = { true, 'c', -1, -1, "rm" };
	struct bundle_device_rule no_null = { false, 'c', 1, 3, "r" }, read = { true, 'a', -1, -1, "r" };

	TAP_OK(only_default(&deny, 1), "deny all is the default devices");
	TAP_OK(only_default((struct bundle_device_rule[]){ deny, null, pts, nodes }, 4),
	       "so is deny all and what every container has");
	TAP_OK(only_default((struct bundle_device_rule[]){ disk, deny }, 2), "deny all ends what was before");
	TAP_OK(!only_default((struct bundle_device_rule[]){ deny, disk }, 2), "a disk is more");
	TAP_OK(!only_default((struct bundle_device_rule[]){ deny, chars }, 2), "all characters are more");
	TAP_OK(!only_default((struct bundle_device_rule[]){ deny, no_null }, 2), "a denial is another list");
	TAP_OK(!only_default((struct bundle_device_rule[]){ deny, all }, 2), "allow all");
	TAP_OK(!only_default(&read, 1), "reading all");
}

/* --- asking for nothing --- */

static void test_nothing(void)
{
	struct bundle_device_rule deny = { false, 'a', -1, -1, "rwm" };
	struct bundle_resources r = { .given = true };
	struct cgroup_params p = { .resources = &r, .id = "x", .sysroot = "/nonexistent" };
	struct cgroup *cg = (struct cgroup *)&r;
	struct err e = { 0 };
	pid_t *pids = NULL;
	size_t n = 9;
	json_t *j;

	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "no limit is no work");
	TAP_OK(!cg, "and no cgroup");
	r.devices = &deny;
	r.n_devices = 1;
	p.devices_closed = true;
	cg = (struct cgroup *)&r;
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "so is the default device list behind closed devices");
	TAP_OK(!cg, "and no cgroup");
	p.devices_closed = false;
	TAP_INT(cgroup_prepare(&cg, &p, &e), -ENOENT, "otherwise the list is a request");
	p.resources = NULL;
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "no resources at all");

	TAP_INT(cgroup_enter(NULL, 1, false, &e), 0, "nothing to enter");
	TAP_INT(cgroup_freeze(NULL, &e) + cgroup_thaw(NULL, &e) + cgroup_kill(NULL, &e), 0,
		"nothing to freeze, thaw or kill");
	TAP_INT(cgroup_destroy(NULL, 0, &e) + cgroup_update(NULL, &r, &e) + cgroup_delegate(NULL, 1, 1, &e),
		0, "nothing to destroy, update or delegate");
	TAP_INT(cgroup_pids(NULL, &pids, &n, &e), 0, "nobody to list");
	TAP_INT(n, 0, "nobody");
	free(pids);
	TAP_INT(cgroup_clone_fd(NULL), -1, "no directory");
	TAP_INT(cgroup_left_out(NULL)->n, 0, "nothing left out");
	j = cgroup_save(NULL);
	TAP_OK(json_is_null(j), "saved as null");
	json_decref(j);
	cg = NULL;
	cgroup_free(&cg);
}

/* --- v2 --- */

static void test_v2_memory(void)
{
	struct bundle_resources r = { .has_mem_limit = true, .mem_limit = 1 << 20,
				      .has_mem_swap = true, .mem_swap = 3 << 20,
				      .has_mem_reservation = true, .mem_reservation = 4096 };
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	v2_tree();
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "memory on v2: %s", e.text);
	TAP_STR(get(BOX "memory.max"), "1048576", "limit");
	TAP_STR(get(BOX "memory.swap.max"), "2097152", "swap alone");
	TAP_STR(get(BOX "memory.low"), "4096", "reservation");
	TAP_INT(cgroup_enter(cg, 4242, false, &e), 0, "entering");
	TAP_STR(get(BOX "cgroup.procs"), "4242", "writes the pid");
	put(BOX "cgroup.procs", "%s", "");
	TAP_INT(cgroup_enter(cg, 4242, true, &e), 0, "entering when born there");
	TAP_STR(get(BOX "cgroup.procs"), "", "writes nothing");
	TAP_OK(cgroup_clone_fd(cg) >= 0, "a directory to be born in");

	r = (struct bundle_resources){ .has_mem_limit = true, .mem_limit = -1 };
	put(BOX "memory.max", "%s", "");
	TAP_INT(cgroup_update(cg, &r, &e), 0, "lifting the limit");
	TAP_STR(get(BOX "memory.max"), "max", "-1 is max");
	r = (struct bundle_resources){ .has_mem_limit = true, .mem_limit = 4096, .check_before_update = true };
	put(BOX "memory.current", "8192\n");
	TAP_INT(cgroup_update(cg, &r, &e), -EBUSY, "a limit below what is in use, to be checked");
	TAP_HAS(e.text, "8192 bytes are in use", "says how much");
	TAP_INT(cgroup_destroy(cg, 0, &e), 0, "destroying");
	TAP_OK(there(BOX), "leaves a directory that was there before");
	cgroup_free(&cg);
	tree_end();
}

static void test_v2_others(void)
{
	struct bundle_throttle rate = { 8, 0, 1000 }, lift = { 8, 16, 0 };
	struct bundle_weight_device weight = { 8, 0, true, false, 1000, 0 };
	struct bundle_hugepage huge = { "2MB", 4 << 20 };
	struct bundle_rdma rdma = { "mlx5_1", true, true, 3, 10000 };
	struct key_value uni[] = { { "memory.high", "5000" }, { "misc.max", "a 1\n\nb 2\n" } };
	struct bundle_resources r = {
		.has_pids = true, .pids_limit = 0,
		.has_cpu_shares = true, .cpu_shares = 1024,
		.has_cpu_quota = true, .cpu_quota = 50000, .has_cpu_period = true, .cpu_period = 100000,
		.has_cpu_burst = true, .cpu_burst = 1000, .has_cpu_idle = true, .cpu_idle = 0,
		.cpus = "0-1", .mems = "0",
		.throttle[THROTTLE_READ_BPS] = &rate, .n_throttle[THROTTLE_READ_BPS] = 1,
		.blkio_weights = &weight, .n_blkio_weights = 1,
		.hugepages = &huge, .n_hugepages = 1,
		.rdma = &rdma, .n_rdma = 1,
		.unified = uni, .n_unified = 2,
	};
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	v2_tree();
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "the other groups on v2: %s", e.text);
	TAP_STR(get(BOX "pids.max"), "0", "0 processes is a limit");
	TAP_STR(get(BOX "cpu.weight"), "100", "shares as weight");
	TAP_STR(get(BOX "cpu.max"), "50000 100000", "quota and period");
	TAP_STR(get(BOX "cpu.max.burst"), "1000", "burst");
	TAP_STR(get(BOX "cpu.idle"), "0", "idle");
	TAP_STR(get(BOX "cpuset.cpus"), "0-1", "cpus");
	TAP_STR(get(BOX "cpuset.mems"), "0", "memory nodes");
	TAP_STR(get(BOX "io.max"), "8:0 rbps=1000", "throttle");
	TAP_STR(get(BOX "io.weight"), "8:0 10000", "weight of a device");
	TAP_STR(get(BOX "hugetlb.2MB.max"), "4194304", "huge pages");
	TAP_STR(get(BOX "hugetlb.2MB.rsvd.max"), "4194304", "huge page reservations");
	TAP_STR(get(BOX "rdma.max"), "mlx5_1 hca_handle=3 hca_object=10000", "rdma");
	TAP_STR(get(BOX "memory.high"), "5000", "unified");
	TAP_STR(get(BOX "misc.max"), "b 2", "unified, a line at a time");
	TAP_STR(get("/sys/fs/cgroup/cgroup.subtree_control"), "+cpu +cpuset +pids +io +hugetlb +rdma +misc ",
		"the directory above was told to hand down what it did not yet");

	r = (struct bundle_resources){ .has_cpu_period = true, .cpu_period = 200000,
				       .throttle[THROTTLE_WRITE_IOPS] = &lift,
				       .n_throttle[THROTTLE_WRITE_IOPS] = 1 };
	TAP_INT(cgroup_update(cg, &r, &e), 0, "an update");
	TAP_STR(get(BOX "cpu.max"), "50000 200000", "a period alone keeps the quota");
	TAP_STR(get(BOX "io.max"), "8:16 wiops=max", "a rate of 0 lifts the throttle");
	cgroup_free(&cg);
	tree_end();
}

static int prepare_error(const struct bundle_resources *r, struct err *e)
{
	struct cgroup_params p = box(r);
	struct cgroup *cg = NULL;
	int rc = cgroup_prepare(&cg, &p, e);

	TAP_OK(rc == 0 || !cg, "the output is untouched on failure");
	cgroup_free(&cg);
	return rc;
}

static void test_v2_refusals(void)
{
	struct key_value procs = { "cgroup.procs", "1" }, up = { "../c/x.y", "1" }, none = { "foo.max", "1" };
	struct bundle_hugepage huge = { "../2MB", 1 };
	struct bundle_resources r = { .has_swappiness = true, .swappiness = 10 };
	struct err e = { 0 };

	v2_tree();
	TAP_INT(prepare_error(&r, &e), -ENOTSUP, "swappiness");
	TAP_HAS(e.text, "memory.swappiness", "names the key");
	r = (struct bundle_resources){ .has_disable_oom = true };
	TAP_INT(prepare_error(&r, &e), 0, "disableOOMKiller false is what there is");
	r = (struct bundle_resources){ .has_net_class = true };
	TAP_INT(prepare_error(&r, &e), -ENOTSUP, "net_cls");
	TAP_HAS(e.text, "network.classID", "names the key");
	r = (struct bundle_resources){ .has_rt_runtime = true };
	TAP_INT(prepare_error(&r, &e), -ENOTSUP, "realtime");
	r = (struct bundle_resources){ .unified = &procs, .n_unified = 1 };
	TAP_INT(prepare_error(&r, &e), -EINVAL, "unified cannot move processes");
	r.unified = &up;
	TAP_INT(prepare_error(&r, &e), -EINVAL, "unified cannot leave the directory");
	r.unified = &none;
	TAP_INT(prepare_error(&r, &e), -ENOTSUP, "unified with an unknown controller");
	TAP_HAS(e.text, "foo", "names it");
	r = (struct bundle_resources){ .hugepages = &huge, .n_hugepages = 1 };
	TAP_INT(prepare_error(&r, &e), -EINVAL, "a page size that is a path");
	r = (struct bundle_resources){ .has_blkio_weight = true, .blkio_weight = 5 };
	TAP_INT(prepare_error(&r, &e), -EINVAL, "a weight that is too low");
	tree_end();
}

static void test_best_effort(void)
{
	struct bundle_resources r = { .has_swappiness = true, .has_net_class = true, .has_pids = true,
				      .pids_limit = 5, .has_rt_runtime = true };
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	p.best_effort = true;
	v2_tree();
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "best effort goes on: %s", e.text);
	TAP_INT(cgroup_left_out(cg)->n, 3, "and lists what was left out");
	TAP_HAS(cgroup_left_out(cg)->v[0], "memory.swappiness", "the first");
	TAP_HAS(cgroup_left_out(cg)->v[1], "cpu.realtimeRuntime", "the second");
	TAP_HAS(cgroup_left_out(cg)->v[2], "network.classID", "the third");
	TAP_OK(!cgroup_left_out(cg)->v[3], "and no more");
	TAP_STR(get(BOX "pids.max"), "5", "the rest is done");
	cgroup_free(&cg);

	put("/proc/self/mountinfo", "24 1 0:22 / /sys rw - sysfs sysfs rw\n");
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "best effort without any cgroup file system");
	TAP_INT(cgroup_left_out(cg)->n, 1, "is one line");
	TAP_INT(cgroup_enter(cg, 1, false, &e), 0, "and nothing to enter");
	cgroup_free(&cg);
	p.best_effort = false;
	TAP_INT(cgroup_prepare(&cg, &p, &e), -ENOTSUP, "which is an error otherwise");
	TAP_OK(e.hint[0], "with a remedy");
	tree_end();
}

static void test_paths(void)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 5 };
	static const char *const bad[] = { "/", "", "/a/../b", "..", "a/./b", "/a\nb" };
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct err e = { 0 };
	char link[128];

	v2_tree();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		p.path = bad[i];
		TAP_INT(prepare_with(&cg, &p, &r, &e), -EINVAL, "cgroupsPath %zu is no path", i);
	}
	p.path = NULL;
	p.id = "a/b";
	TAP_INT(prepare_with(&cg, &p, &r, &e), -EINVAL, "an id that is a path");
	p.id = "t1";
	r.has_cpu_shares = true;
	r.cpu_shares = 10;
	TAP_INT(prepare_with(&cg, &p, &r, &e), -ENOTSUP, "a controller that the own cgroup does not offer");
	TAP_HAS(e.text, "/sys/fs/cgroup/own", "names the cgroup");
	TAP_HAS(e.text, "cpu", "and the controller");
	TAP_HAS(e.hint, "Delegate=", "and how to get it");
	TAP_OK(!there("/sys/fs/cgroup/own/vrun-t1"), "nothing is left behind");

	/* Plain files do not appear in a new directory, so the first limit fails, after the making. */
	r.has_cpu_shares = false;
	put("/sys/fs/cgroup/own/cgroup.subtree_control", "%s", "");
	TAP_INT(prepare_with(&cg, &p, &r, &e), -ENOTSUP, "a kernel without pids.max");
	TAP_STR(get("/sys/fs/cgroup/own/cgroup.subtree_control"), "+pids ", "the own cgroup hands down");
	TAP_OK(!there("/sys/fs/cgroup/own/vrun-t1"), "a failed limit takes the directory along");
	p.path = "deep/er/new";
	put("/sys/fs/cgroup/own/deep/cgroup.subtree_control", "pids\n");
	put("/sys/fs/cgroup/own/deep/cgroup.controllers", "pids\n");
	put_all("/sys/fs/cgroup/own/deep/er", "cgroup.procs");
	put("/sys/fs/cgroup/own/deep/er/cgroup.subtree_control", "pids\n");
	put("/sys/fs/cgroup/own/deep/er/cgroup.controllers", "pids\n");
	TAP_INT(prepare_with(&cg, &p, &r, &e), -ENOTSUP, "a relative path, a new directory");
	TAP_OK(!there("/sys/fs/cgroup/own/deep/er/new"), "is removed");
	TAP_OK(there("/sys/fs/cgroup/own/deep/er"), "but not what was there before");
	p.path = "deep/er/box/";
	put_all("/sys/fs/cgroup/own/deep/er/box", V2_FILES);
	put("/sys/fs/cgroup/own/deep/er/box/cgroup.controllers", "pids\n");
	TAP_INT(prepare_with(&cg, &p, &r, &e), 0, "a relative path: %s", e.text);
	TAP_STR(get("/sys/fs/cgroup/own/deep/er/box/pids.max"), "5", "lies below the own cgroup");
	cgroup_free(&cg);

	put("/proc/self/cgroup", "0::/own/vrun.launcher\n");
	put_all("/sys/fs/cgroup/own/vrun-t1", V2_FILES);
	put("/sys/fs/cgroup/own/vrun-t1/cgroup.controllers", "pids\n");
	put("/sys/fs/cgroup/own/cgroup.subtree_control", "pids memory\n");
	p.path = NULL;
	TAP_INT(prepare_with(&cg, &p, &r, &e), 0, "from within a launcher leaf: %s", e.text);
	TAP_STR(get("/sys/fs/cgroup/own/vrun-t1/pids.max"), "5", "the parent is the base");
	cgroup_free(&cg);
	put("/sys/fs/cgroup/own/vrun-t1/cgroup.events", "populated 1\nfrozen 0\n");
	TAP_INT(prepare_with(&cg, &p, &r, &e), -EEXIST, "a container of that id lives");
	TAP_HAS(e.hint, "--id", "says what to do");
	put("/sys/fs/cgroup/c/box/cgroup.freeze", "1\n");
	p.path = "/c/box";
	TAP_INT(prepare_with(&cg, &p, &r, &e), -EBUSY, "a frozen cgroup");
	(void)snprintf(link, sizeof link, "%s/sys/fs/cgroup/c/link", root);
	if (symlink("/tmp", link) == 0) {
		p.path = "/c/link/box";
		TAP_OK(prepare_with(&cg, &p, &r, &e) < 0, "links are not followed: %s", e.text);
	}
	tree_end();
}

/* --- v1 --- */

#define V1_FILES "cgroup.procs tasks "

static void v1_tree(void)
{
	tree_begin();
	put("/proc/self/cgroup", "6:cpuset:/\n5:net_cls,net_prio:/\n4:blkio:/\n3:cpu,cpuacct:/\n"
				 "2:memory:/own\n1:devices:/\n0::/\n");
	put("/proc/self/mountinfo",
	    "1 9 0:1 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
	    "2 9 0:2 / /cg/net rw - cgroup cgroup rw,net_cls,net_prio\n"
	    "3 9 0:3 / /cg/blkio rw - cgroup cgroup rw,blkio\n"
	    "4 9 0:4 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	    "5 9 0:5 / /cg/memory rw - cgroup cgroup rw,memory\n"
	    "6 9 0:6 / /cg/devices rw - cgroup cgroup rw,devices\n"
	    "7 9 0:7 / /cg/unified rw - cgroup2 cgroup2 rw\n");
	put("/cg/cpuset/cpuset.cpus", "0-7\n");
	put("/cg/cpuset/cpuset.mems", "0-1\n");
	put("/cg/cpuset/c/cpuset.cpus", "\n");
	put("/cg/cpuset/c/cpuset.mems", "\n");
	put_all("/cg/cpuset/c/box", V1_FILES "cpuset.cpus cpuset.mems");
	put_all("/cg/net/c/box", V1_FILES "net_cls.classid net_prio.ifpriomap");
	put_all("/cg/blkio/c/box",
		V1_FILES "blkio.weight blkio.weight_device blkio.leaf_weight "
			 "blkio.throttle.read_bps_device blkio.throttle.write_iops_device");
	put_all("/cg/cpu/c/box", V1_FILES "cpu.shares cpu.cfs_quota_us cpu.cfs_period_us "
					  "cpu.cfs_burst_us cpu.rt_runtime_us cpu.rt_period_us");
	put_all("/cg/memory/c/box",
		V1_FILES "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes "
			 "memory.swappiness memory.oom_control");
	put_all("/cg/unified/c/box", V2_FILES);
	put("/cg/unified/cgroup.controllers", "hugetlb\n");
	put("/cg/unified/cgroup.subtree_control", "\n");
	put("/cg/unified/c/cgroup.controllers", "hugetlb\n");
	put("/cg/unified/c/cgroup.subtree_control", "hugetlb\n");
	put("/cg/unified/c/box/cgroup.controllers", "hugetlb\n");
}

static void test_v1(void)
{
	struct bundle_throttle read = { 8, 0, 1000 }, write = { 8, 16, 20 };
	struct bundle_hugepage huge = { "2MB", 4 << 20 };
	struct key_value prio = { "eth0", "5" };
	struct bundle_resources r = {
		.has_mem_limit = true, .mem_limit = 1000, .has_mem_swap = true, .mem_swap = 3000,
		.has_mem_reservation = true, .mem_reservation = 500,
		.has_swappiness = true, .swappiness = 60, .has_disable_oom = true, .disable_oom = true,
		.has_mem_kernel = true, .mem_kernel = -1,
		.has_cpu_shares = true, .cpu_shares = 512, .has_cpu_quota = true, .cpu_quota = -1,
		.has_cpu_period = true, .cpu_period = 100000, .has_rt_runtime = true, .rt_runtime = 950,
		.has_rt_period = true, .rt_period = 1000, .cpus = "2-3",
		.has_net_class = true, .net_class = 0x100001, .net_prios = &prio, .n_net_prios = 1,
		.has_blkio_weight = true, .blkio_weight = 500, .has_blkio_leaf = true,
		.blkio_leaf_weight = 300,
		.throttle[THROTTLE_READ_BPS] = &read, .n_throttle[THROTTLE_READ_BPS] = 1,
		.throttle[THROTTLE_WRITE_IOPS] = &write, .n_throttle[THROTTLE_WRITE_IOPS] = 1,
		.hugepages = &huge, .n_hugepages = 1,
	};
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	v1_tree();
	TAP_INT(prepare_with(&cg, &p, &r, &e), 0, "v1 beside v2: %s", e.text);
	TAP_STR(get("/cg/memory/c/box/memory.limit_in_bytes"), "1000", "limit");
	TAP_STR(get("/cg/memory/c/box/memory.memsw.limit_in_bytes"), "3000", "memory and swap together");
	TAP_STR(get("/cg/memory/c/box/memory.soft_limit_in_bytes"), "500", "reservation");
	TAP_STR(get("/cg/memory/c/box/memory.swappiness"), "60", "swappiness");
	TAP_STR(get("/cg/memory/c/box/memory.oom_control"), "1", "disableOOMKiller");
	TAP_STR(get("/cg/cpu/c/box/cpu.shares"), "512", "shares");
	TAP_STR(get("/cg/cpu/c/box/cpu.cfs_quota_us"), "-1", "quota");
	TAP_STR(get("/cg/cpu/c/box/cpu.cfs_period_us"), "100000", "period");
	TAP_STR(get("/cg/cpu/c/box/cpu.rt_runtime_us"), "950", "realtime");
	TAP_STR(get("/cg/cpuset/c/cpuset.cpus"), "0-7\n", "a cpuset above is filled in");
	TAP_STR(get("/cg/cpuset/c/box/cpuset.cpus"), "2-3\n", "the own one is set");
	TAP_STR(get("/cg/cpuset/c/box/cpuset.mems"), "0-1\n", "and filled in where nothing was said");
	TAP_STR(get("/cg/net/c/box/net_cls.classid"), "1048577", "classid");
	TAP_STR(get("/cg/net/c/box/net_prio.ifpriomap"), "eth0 5", "priorities");
	TAP_STR(get("/cg/blkio/c/box/blkio.weight"), "500", "blkio weight");
	TAP_STR(get("/cg/blkio/c/box/blkio.leaf_weight"), "300", "leaf weight");
	TAP_STR(get("/cg/blkio/c/box/blkio.throttle.read_bps_device"), "8:0 1000", "read throttle");
	TAP_STR(get("/cg/blkio/c/box/blkio.throttle.write_iops_device"), "8:16 20", "write throttle");
	TAP_STR(get("/cg/unified/c/box/hugetlb.2MB.max"), "4194304", "what only v2 has is set there");
	TAP_STR(get("/cg/unified/cgroup.subtree_control"), "+hugetlb ", "handed down");
	TAP_INT(cgroup_enter(cg, 77, false, &e), 0, "entering all");
	TAP_STR(get("/cg/memory/c/box/cgroup.procs"), "77", "memory");
	TAP_STR(get("/cg/net/c/box/cgroup.procs"), "77", "net");
	TAP_STR(get("/cg/unified/c/box/cgroup.procs"), "77", "v2");
	TAP_OK(!there("/cg/devices/c"), "controllers without a limit are not joined");
	cgroup_free(&cg);

	r = (struct bundle_resources){ .has_pids = true };
	TAP_INT(prepare_with(&cg, &p, &r, &e), -ENOTSUP, "a controller that nobody has");
	r = (struct bundle_resources){ .has_mem_limit = true, .mem_limit = 5 };
	p.path = NULL;
	put_all("/cg/memory/own/vrun-t1", V1_FILES "memory.limit_in_bytes");
	put_all("/cg/unified/vrun-t1", V2_FILES);
	TAP_INT(prepare_with(&cg, &p, &r, &e), 0, "a default path on v1: %s", e.text);
	TAP_STR(get("/cg/memory/own/vrun-t1/memory.limit_in_bytes"), "5", "lies below the own cgroup");
	cgroup_free(&cg);
	tree_end();
}

static void test_v1_devices(void)
{
	struct bundle_device_rule list[] = { { false, 'a', -1, -1, "rwm" },
					     { true, 'c', 10, -1, "rw" },
					     { false, 'c', 10, 229, "r" } };
	struct bundle_resources r = { .devices = list, .n_devices = 3 };
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	v1_tree();
	put_all("/cg/devices/c/box", V1_FILES "devices.allow devices.deny");
	TAP_INT(prepare_with(&cg, &p, &r, &e), -ENOTSUP, "a hole in a wildcard");
	TAP_HAS(e.text, "wildcards", "says why");
	r.n_devices = 2;
	TAP_INT(prepare_with(&cg, &p, &r, &e), 0, "a wildcard: %s", e.text);
	TAP_STR(get("/cg/devices/c/box/devices.deny"), "a", "starts from nothing");
	TAP_STR(get("/cg/devices/c/box/devices.allow"),
		"c 10:* rwc *:* mb *:* mc 1:3 rwmc 1:5 rwmc 1:7 rwmc 1:8 rwmc 1:9 rwmc 5:0 rwmc 5:1 rwmc 5:2 rwm"
		"c 136:* rwm",
		"adds the list's, then the default devices");
	cgroup_free(&cg);
	tree_end();

	/* cppcheck-suppress unreadVariable ; it is, through r */
	list[2] = (struct bundle_device_rule){ false, 'c', 1, 9, "w" };
	r.n_devices = 3;
	v1_tree();
	put_all("/cg/devices/c/box", V1_FILES "devices.allow devices.deny");
	TAP_INT(prepare_with(&cg, &p, &r, &e), 0, "a default device: %s", e.text);
	TAP_STR(get("/cg/devices/c/box/devices.allow"),
		"c *:* mb *:* mc 1:3 rwmc 1:5 rwmc 1:7 rwmc 1:8 rwmc 1:9 rwmc 5:0 rwmc 5:1 rwmc 5:2 rwm"
		"c 136:* rwmc 10:* rw",
		"is there before it is taken away");
	TAP_STR(get("/cg/devices/c/box/devices.deny"), "ac 1:9 w", "taken away");
	cgroup_free(&cg);
	tree_end();
}

/* --- freezing, saving --- */

static void test_state(void)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 5 };
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL, *back = NULL;
	struct json_doc doc;
	struct err e = { 0 };
	bool frozen = false;
	pid_t *pids = NULL;
	size_t n = 0;
	struct jat at;
	char *text;
	json_t *j;

	v2_tree();
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "prepared");
	put(BOX "cgroup.events", "populated 1\nfrozen 1\n");
	put(BOX "cgroup.procs", "12\n0\n13\n");
	put(BOX "nested/cgroup.procs", "14\n");
	TAP_INT(cgroup_freeze(cg, &e), 0, "freezing");
	TAP_STR(get(BOX "cgroup.freeze"), "1", "asks for it");
	TAP_INT(cgroup_frozen(cg, &frozen, &e), 0, "asking");
	TAP_OK(frozen, "it is frozen");
	TAP_INT(cgroup_pids(cg, &pids, &n, &e), 0, "listing");
	TAP_INT(n, 3, "three processes, nested ones too");
	free(pids);
	TAP_INT(cgroup_kill(cg, &e), 0, "killing");
	TAP_STR(get(BOX "cgroup.kill"), "1", "asks for it");
	j = cgroup_save(cg);
	text = json_dumps(j, JSON_SORT_KEYS);
	json_decref(j);
	cgroup_free(&cg);

	TAP_INT(json_doc_parse(&doc, "state", text, strlen(text), &e), 0, "saved: %s", text);
	free(text);
	at = json_root(&doc);
	TAP_INT(cgroup_restore(&back, &at, root, &e), 0, "restored: %s", e.text);
	TAP_INT(cgroup_frozen(back, &frozen, &e), 0, "works on: %s", e.text);
	TAP_OK(cgroup_clone_fd(back) >= 0, "has its directory");
	cgroup_free(&back);
	tree_end();
	TAP_INT(cgroup_restore(&back, &at, root, &e), 0, "restored when all is gone: %s", e.text);
	TAP_INT(cgroup_clone_fd(back), -1, "has no directory");
	TAP_INT(cgroup_destroy(back, 0, &e), 0, "and nothing to remove");
	cgroup_free(&back);
	json_doc_fini(&doc);
}

static void test_bad_state(void)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"dirs\": 1}",
		"{\"dirs\": [1]}",
		"{\"dirs\": [{}]}",
		"{\"dirs\": [{\"path\": \"relative\", \"inode\": \"1\"}]}",
		"{\"dirs\": [{\"path\": \"/a/../b\", \"inode\": \"1\"}]}",
		"{\"dirs\": [{\"path\": \"/a/..\", \"inode\": \"1\"}]}",
		"{\"dirs\": [{\"path\": \"/a\", \"inode\": 1}]}",
		"{\"dirs\": [{\"path\": \"/a\", \"inode\": \"x\"}]}",
		"{\"dirs\": [{\"path\": \"/a\", \"inode\": \"1\", \"above\": -1}]}",
		"{\"dirs\": [{\"path\": \"/a\", \"inode\": \"1\", \"made\": 1}]}",
	};
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct json_doc doc;
		struct jat at;

		if (json_doc_parse(&doc, "state", bad[i], strlen(bad[i]), &e) < 0) {
			TAP_OK(false, "%s parses", bad[i]);
			continue;
		}
		at = json_root(&doc);
		TAP_INT(cgroup_restore(&cg, &at, NULL, &e), -EINVAL, "damaged state: %s", bad[i]);
		TAP_OK(!cg, "gives nothing");
		json_doc_fini(&doc);
	}
}

/* --- systemd --- */

static void check_name(const char *path, const char *id, const char *want_unit, const char *want_slice)
{
	struct cgroup_params p = { .path = path, .id = id };
	char unit[256] = "", slice[256] = "";
	struct err e = { 0 };
	int rc = cgroup_systemd_names(&p, unit, sizeof unit, slice, sizeof slice, &e);

	if (!want_unit) {
		TAP_INT(rc, -EINVAL, "'%s' has no form for systemd", path);
		return;
	}
	TAP_INT(rc, 0, "%s for systemd: %s", path ? path : id, e.text);
	TAP_STR(unit, want_unit, "its scope");
	TAP_STR(slice, want_slice, "its slice");
}

static void test_systemd_names(void)
{
	check_name("machine.slice:libpod:abc", "x", "libpod-abc.scope", "machine.slice");
	check_name(":vrun:a b", "x", "vrun-a\\x20b.scope", "");
	check_name("user.slice::n", "x", "n.scope", "user.slice");
	check_name(NULL, "web+1", "vrun-web\\x2b1.scope", "");
	check_name("/a/b", "x", NULL, NULL);
	check_name("a:b", "x", NULL, NULL);
	check_name("a.slice:b:", "x", NULL, NULL);
	check_name("notaslice:b:c", "x", NULL, NULL);
	check_name("a.slice:b:c.slice", "x", NULL, NULL);
	check_name("a.slice:b:c:d", "x", NULL, NULL);
}

/* A busctl that does what systemd would: makes the scope, puts the caller there. */
static const char fake_busctl[] =
	"#!/bin/sh\n"
	"root=%s\n"
	"echo \"$@\" >$root/asked\n"
	"[ -e $root/refuse ] && { echo \"Call failed: Unit already exists.\" >&2; exit 1; }\n"
	"scope=$root/sys/fs/cgroup/system.slice/${9}\n"
	"echo 0::/system.slice/${9} >$root/proc/self/cgroup\n"
	"exit 0\n";

static void test_systemd_scope(void)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 5 };
	struct cgroup_params p = { .resources = &r, .path = "my.slice:vrun:t1", .id = "t1",
				   .systemd = true, .sysroot = root };
	struct cgroup *cg = NULL;
	struct err e = { 0 };
	char path[128], run_dir[128];

	v2_tree();
	TAP_INT(cgroup_prepare(&cg, &p, &e), -ENOTSUP, "systemd does not run");
	put("/run/systemd/system/x", "%s", "");
	(void)snprintf(run_dir, sizeof run_dir, "/run/user/%u/bus", geteuid());
	put(run_dir, "%s", "");
	(void)unsetenv("XDG_RUNTIME_DIR");
	TAP_INT(cgroup_prepare(&cg, &p, &e), -ENOTSUP, "no busctl: %s", e.text);
	put("/usr/bin/busctl", fake_busctl, root);
	(void)snprintf(path, sizeof path, "%s/usr/bin/busctl", root);
	(void)chmod(path, 0755);
	put("/refuse", "%s", "");
	TAP_INT(cgroup_prepare(&cg, &p, &e), -EEXIST, "the scope is there already: %s", e.text);
	(void)snprintf(path, sizeof path, "%s/refuse", root);
	(void)unlink(path);
	put_all("/sys/fs/cgroup/system.slice/vrun-t1.scope/vrun-t1", V2_FILES);
	put("/sys/fs/cgroup/system.slice/vrun-t1.scope/cgroup.controllers", "pids\n");
	put("/sys/fs/cgroup/system.slice/vrun-t1.scope/cgroup.subtree_control", "\n");
	put("/sys/fs/cgroup/system.slice/vrun-t1.scope/vrun-t1/cgroup.controllers", "pids\n");
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "a scope: %s", e.text);
	TAP_STR(get("/sys/fs/cgroup/system.slice/vrun-t1.scope/vrun-t1/pids.max"), "5",
		"the container's cgroup lies in it");
	TAP_HAS(get("/asked"), "StartTransientUnit ssa(sv)a(sa(sv)) vrun-t1.scope fail 5 Description s",
		"what was asked");
	TAP_HAS(get("/asked"), "Delegate b true", "delegated");
	TAP_HAS(get("/asked"), "Slice s my.slice 0", "in its slice");
	cgroup_free(&cg);
	tree_end();
}

/* --- statistics --- */

static void test_stats(void)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 5 };
	struct cgroup_params p = box(&r);
	struct cgroup *cg = NULL;
	struct cgroup_stats s;
	struct err e = { 0 };

	v2_tree();
	TAP_INT(cgroup_prepare(&cg, &p, &e), 0, "prepared");
	put(BOX "cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 3\n"
			    "nr_throttled 2\nthrottled_usec 7\n");
	put(BOX "memory.current", "4096\n");
	put(BOX "memory.max", "max\n");
	put(BOX "memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 2\noom_group_kill 0\n");
	put(BOX "pids.current", "2\n");
	put(BOX "pids.max", "5\n");
	put(BOX "io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:0 \n");
	TAP_INT(cgroup_stats(cg, &s, &e), 0, "v2 statistics");
	TAP_OK(s.has_cpu && s.cpu_ns == 1500000 && s.cpu_user_ns == 1000000, "processor time");
	TAP_OK(s.has_throttling && s.periods == 3 && s.throttled_ns == 7000, "throttling");
	TAP_OK(s.has_memory && s.memory == 4096 && s.memory_limit == UINT64_MAX, "memory");
	TAP_OK(s.memory_failures == 4 && s.oom_kills == 2, "out of memory");
	TAP_OK(!s.has_swap, "no swap");
	TAP_OK(s.has_pids && s.pids == 2 && s.pids_limit == 5, "processes");
	TAP_OK(s.n_io == 1 && s.io[0].major == 8 && s.io[0].write_ops == 4, "disks");
	cgroup_stats_fini(&s);
	cgroup_free(&cg);
	tree_end();
}

int main(void)
{
	test_conversions();
	test_device_lists();
	test_nothing();
	test_v2_memory();
	test_v2_others();
	test_v2_refusals();
	test_best_effort();
	test_paths();
	test_v1();
	test_v1_devices();
	test_state();
	test_bad_state();
	test_systemd_names();
	test_systemd_scope();
	test_stats();
	return tap_done();
}
