/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups with the kernel: real limits on real processes, on whatever
 * hierarchies this machine has. Needs root. "make check-vm" runs it on a pure
 * cgroup v2 system too. Every directory's name holds our pid, and all of them
 * are removed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "kern/cgroup.h"
#include "kern/cgroup_impl.h"
#include "tap.h"

static struct cgroup_layout layout;
static bool pure_v2;

static bool have(enum cgroup_ctl ctl)
{
	const struct cgroup_hier *v2 = cgroup_layout_v2(&layout);
	AUTO_FREE char *text = NULL;
	char path[4096];

	if (cgroup_layout_v1(&layout, ctl))
		return true;
	if (!v2 || !v2->own)
		return false;
	(void)snprintf(path, sizeof path, "%s%s/cgroup.controllers", v2->mount, v2->own);
	return fd_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) == 0 &&
	       (cgroup_ctl_parse(text, ' ', true) & CGROUP_BIT(ctl));
}

/* A group of tests that this machine cannot do; a failure where everything has to work. */
static void skip(const char *why)
{
	if (getenv("VRUN_MUST_WORK"))
		TAP_OK(false, "%s", why);
	else
		printf("ok %d # SKIP %s\n", ++tap_count, why);
}

static struct cgroup_params params(const struct bundle_resources *r, const char *id)
{
	static char name[64];

	(void)snprintf(name, sizeof name, "test-%d-%s", getpid(), id);
	return (struct cgroup_params){ .resources = r, .id = name };
}

static struct cgroup *prepare(const struct cgroup_params *p)
{
	struct cgroup *cg = NULL;
	struct err e = { 0 };
	int rc = cgroup_prepare(&cg, p, &e);

	TAP_INT(rc, 0, "prepared %s: %s", p->id, e.text);
	return cg;
}

static void finish(struct cgroup **cg)
{
	struct err e = { 0 };
	char path[4096] = "";

	if (*cg && (*cg)->n)
		(void)snprintf(path, sizeof path, "%s", (*cg)->dirs[0].path);
	TAP_INT(cgroup_destroy(*cg, 5000, &e), 0, "destroyed: %s", e.text);
	TAP_OK(!*path || access(path, F_OK) < 0, "%s is gone", path);
	cgroup_free(cg);
}

/* --- a child that waits until it is in, then does its work --- */

struct child {
	pid_t pid;
	int go; /* closing it lets the child start */
};

static struct child spawn(int (*work)(void *), void *arg)
{
	struct child c = { .pid = -1, .go = -1 };
	int p[2];
	char b;

	if (pipe2(p, O_CLOEXEC) < 0)
		return c;
	(void)fflush(stdout);
	c.pid = fork();
	if (c.pid == 0) {
		(void)close(p[1]);
		(void)!read(p[0], &b, 1);
		_exit(work(arg));
	}
	(void)close(p[0]);
	c.go = p[1];
	return c;
}

/* Lets it start and waits. Its exit status, 128 + signal, or -1. */
static int run(struct child *c)
{
	int status;

	fd_close(&c->go);
	if (c->pid < 0 || waitpid(c->pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Without a word in TAP, for use within a child. */
static int run_quietly(struct cgroup *cg, int (*work)(void *), void *arg, struct err *e)
{
	struct child c = spawn(work, arg);
	int rc = cgroup_enter(cg, c.pid, false, e);
	int status = run(&c);

	return rc < 0 ? rc : status;
}

static int run_in(struct cgroup *cg, int (*work)(void *), void *arg)
{
	struct err e = { 0 };
	int status = run_quietly(cg, work, arg, &e);

	TAP_OK(status >= 0, "entered, ran: %s", e.text);
	return status;
}

/* --- memory --- */

static int eat(void *arg)
{
	size_t size = *(size_t *)arg;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)p)[i] = 1;
	return 0;
}

static void test_memory(void)
{
	struct bundle_resources r = { .has_mem_limit = true, .mem_limit = 16 << 20,
				      .has_mem_reservation = true, .mem_reservation = 8 << 20 };
	struct cgroup_params p = params(&r, "mem");
	struct cgroup_stats s = { 0 };
	size_t little = 1 << 20, much = 64 << 20;
	struct cgroup *cg;
	struct err e = { 0 };

	if (!have(CGROUP_MEMORY)) {
		skip("no memory controller");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	TAP_INT(run_in(cg, eat, &little), 0, "1 MiB fits below 16");
	TAP_INT(run_in(cg, eat, &much), 128 + SIGKILL, "64 MiB are too much");
	TAP_INT(cgroup_stats(cg, &s, &e), 0, "statistics: %s", e.text);
	TAP_OK(s.has_memory && s.memory_limit == 16 << 20, "they know the limit");
	TAP_INT(s.oom_kills, 1, "and count the kill");
	cgroup_stats_fini(&s);
	r = (struct bundle_resources){ .has_mem_limit = true, .mem_limit = 128 << 20 };
	TAP_INT(cgroup_update(cg, &r, &e), 0, "raised: %s", e.text);
	TAP_INT(run_in(cg, eat, &much), 0, "64 MiB fit below 128");
	r.mem_limit = 24 << 20;
	TAP_INT(cgroup_update(cg, &r, &e), 0, "lowered: %s", e.text);
	TAP_INT(run_in(cg, eat, &much), 128 + SIGKILL, "64 MiB are too much again");
	finish(&cg);
}

/* memory and swap move together; the order in which they are written depends on the direction. */
static void test_swap(void)
{
	struct bundle_resources r = { .has_mem_limit = true, .mem_limit = 32 << 20,
				      .has_mem_swap = true, .mem_swap = 32 << 20 };
	struct cgroup_params p = params(&r, "swap");
	struct cgroup_stats s = { 0 };
	struct cgroup *cg = NULL;
	struct err e = { 0 };
	int rc = have(CGROUP_MEMORY) ? cgroup_prepare(&cg, &p, &e) : -ENOTSUP;
	static const int64_t steps[][2] = { { 64, 128 }, { 16, 24 }, { 128, 128 }, { 32, 512 } };

	if (rc == -ENOTSUP) {
		skip("no swap accounting");
		return;
	}
	TAP_INT(rc, 0, "no swap: %s", e.text);
	for (size_t i = 0; cg && i < sizeof steps / sizeof *steps; i++) {
		r.mem_limit = steps[i][0] << 20;
		r.mem_swap = steps[i][1] << 20;
		TAP_INT(cgroup_update(cg, &r, &e), 0, "%d MiB of %d: %s", (int)steps[i][0],
			(int)steps[i][1], e.text);
		TAP_INT(cgroup_stats(cg, &s, &e), 0, "statistics");
		TAP_INT(s.memory_limit, r.mem_limit, "the limit is set");
		TAP_INT(s.swap_limit, cg->dirs[0].v2 ? r.mem_swap - r.mem_limit : r.mem_swap,
			"and the swap's");
		cgroup_stats_fini(&s);
	}
	r.mem_limit = -1;
	r.has_mem_swap = false;
	TAP_INT(cgroup_update(cg, &r, &e), 0, "lifted: %s", e.text);
	TAP_INT(cgroup_stats(cg, &s, &e), 0, "statistics");
	TAP_OK(s.memory_limit == UINT64_MAX, "no limit is left");
	cgroup_stats_fini(&s);
	finish(&cg);
}

/* --- pids --- */

static int fork_until(void *arg)
{
	int n = 0;

	(void)arg;
	for (; n < 20; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)pause();
			_exit(0);
		}
		if (pid < 0)
			return errno == EAGAIN ? n : 99;
	}
	return n;
}

static void test_pids(void)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 4 };
	struct cgroup_params p = params(&r, "pids");
	struct cgroup_stats s = { 0 };
	struct err e = { 0 };
	struct cgroup *cg;
	pid_t *pids = NULL;
	size_t n = 0;

	if (!have(CGROUP_PIDS)) {
		skip("no pids controller");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	TAP_INT(run_in(cg, fork_until, NULL), 3, "one of four may fork three times, then EAGAIN");
	TAP_INT(cgroup_pids(cg, &pids, &n, &e), 0, "listing: %s", e.text);
	TAP_INT(n, 3, "three are left behind");
	free(pids);
	TAP_INT(cgroup_stats(cg, &s, &e), 0, "statistics");
	TAP_OK(s.has_pids && s.pids == 3 && s.pids_limit == 4, "count them too");
	cgroup_stats_fini(&s);
	TAP_INT(cgroup_destroy(cg, 0, &e), -EBUSY, "a cgroup with processes stays");
	TAP_HAS(e.hint, "vrun kill", "with a hint");
	r.pids_limit = 9;
	TAP_INT(cgroup_update(cg, &r, &e), 0, "updated: %s", e.text);
	TAP_INT(cgroup_kill(cg, &e), 0, "killed: %s", e.text);
	finish(&cg);
}

/* --- cpus --- */

static int cpu_mask(void *arg)
{
	cpu_set_t set;

	(void)arg;
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 99;
	return CPU_COUNT(&set) * 10 + (CPU_ISSET(0, &set) != 0);
}

static void test_cpu(void)
{
	struct bundle_resources r = { .cpus = "0" };
	struct cgroup_params p = params(&r, "cpu");
	struct cgroup *cg = NULL;

	if (!have(CGROUP_CPUSET)) {
		skip("no cpuset controller");
	} else {
		cg = prepare(&p);
		TAP_INT(run_in(cg, cpu_mask, NULL), 11, "the first processor alone");
		finish(&cg);
	}
	if (!have(CGROUP_CPU)) {
		skip("no cpu controller");
		return;
	}
	r = (struct bundle_resources){ .has_cpu_shares = true, .cpu_shares = 2048, .has_cpu_quota = true,
				       .cpu_quota = 20000, .has_cpu_period = true,
				       .cpu_period = 100000, .has_cpu_burst = true,
				       .cpu_burst = 5000 };
	cg = prepare(&p);
	if (cg) {
		struct cgroup_stats s = { 0 };
		struct err e = { 0 };

		TAP_INT(cgroup_stats(cg, &s, &e), 0, "statistics");
		TAP_OK(s.has_throttling || !cgroup_dir_of(cg, CGROUP_CPUACCT) || pure_v2,
		       "throttling is counted");
		cgroup_stats_fini(&s);
		r.cpu_quota = 2000;
		r.cpu_burst = 1000;
		TAP_INT(cgroup_update(cg, &r, &e), 0, "a quota below the old burst: %s", e.text);
		r = (struct bundle_resources){ .has_cpu_idle = true, .cpu_idle = 1 };
		TAP_INT(cgroup_update(cg, &r, &e), 0, "idle: %s", e.text);
		r = (struct bundle_resources){ .has_cpu_idle = true, .cpu_idle = 0, .has_cpu_shares = true,
					       .cpu_shares = 100 };
		TAP_INT(cgroup_update(cg, &r, &e), 0, "and back, with shares: %s", e.text);
	}
	finish(&cg);
}

/* --- the freezer --- */

static int count(void *arg)
{
	volatile unsigned long *n = *(volatile unsigned long **)arg;

	for (;;)
		++*n;
	return 0;
}

static void test_freezer(void)
{
	struct bundle_resources r = { 0 };
	struct cgroup_params p = params(&r, "freeze");
	struct cgroup *cg;
	struct child c;
	struct err e = { 0 };
	volatile unsigned long *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long at;
	bool frozen = false;

	p.every_controller = true;
	cg = prepare(&p);
	if (!cg || n == MAP_FAILED)
		return;
	c = spawn(count, (void *)&n);
	TAP_INT(cgroup_enter(cg, c.pid, false, &e), 0, "entered: %s", e.text);
	fd_close(&c.go);
	while (*n == 0)
		(void)sched_yield();
	TAP_INT(cgroup_freeze(cg, &e), 0, "frozen: %s", e.text);
	at = *n;
	(void)usleep(30000);
	TAP_INT(*n, at, "it does not move");
	TAP_INT(cgroup_frozen(cg, &frozen, &e), 0, "asked");
	TAP_OK(frozen, "and says so");
	TAP_INT(cgroup_thaw(cg, &e), 0, "thawed: %s", e.text);
	for (int i = 0; *n == at && i < 2000; i++)
		(void)usleep(1000);
	TAP_OK(*n != at, "it moves again");
	TAP_INT(cgroup_freeze(cg, &e), 0, "frozen once more");
	TAP_INT(cgroup_kill(cg, &e), 0, "killed while frozen: %s", e.text);
	TAP_INT(run(&c), 128 + SIGKILL, "it is dead");
	finish(&cg);
	(void)munmap((void *)(uintptr_t)n, 4096);
}

/* Forks without end, each parent leaving: whoever kills from a list runs behind. */
static int run_away(void *arg)
{
	(void)arg;
	for (int i = 0; i < 8; i++)
		if (fork() == 0)
			break;
	for (;;) {
		if (fork() > 0)
			_exit(0);
		(void)usleep(100);
	}
}

static void test_kill(void)
{
	struct bundle_resources r = { .has_pids = have(CGROUP_PIDS), .pids_limit = 40 };
	struct cgroup_params p = params(&r, "kill");
	struct cgroup *cg;
	struct err e = { 0 };
	struct child c;

	if (!r.has_pids) {
		skip("no pids controller to bound it");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	c = spawn(run_away, NULL);
	TAP_INT(cgroup_enter(cg, c.pid, false, &e), 0, "entered: %s", e.text);
	(void)run(&c);
	TAP_INT(cgroup_kill(cg, &e), 0, "killed processes that run away: %s", e.text);
	finish(&cg);
}

/* --- devices --- */

/* Bits: 1 /dev/null opens, 2 kmsg opens for reading, 4 for writing. */
static int open_devices(void *arg)
{
	int bits = 0, fd;

	(void)arg;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	bits |= fd >= 0 ? 1 : 0;
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bits |= fd >= 0 ? 2 : 0;
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	bits |= fd >= 0 ? 4 : 0;
	return bits;
}

static void test_devices(void)
{
	struct bundle_device_rule v[] = { { false, 'a', -1, -1, "rwm" }, { true, 'c', 1, 11, "r" } };
	struct bundle_device_rule all[] = { { true, 'a', -1, -1, "rwm" }, { false, 'c', 1, 11, "w" } };
	struct bundle_device_rule hole[] = { { false, 'a', -1, -1, "rwm" },
					     { true, 'c', 1, -1, "rw" },
					     { false, 'c', 1, 11, "r" } };
	struct bundle_resources r = { .devices = v, .n_devices = 1 };
	struct cgroup_params p = params(&r, "dev");
	struct cgroup *cg;
	struct err e = { 0 };

	if (open_devices(NULL) != 7) {
		skip("cannot open /dev/null and /dev/kmsg");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	TAP_INT(run_in(cg, open_devices, NULL), 1, "only the default devices");
	r.n_devices = 2;
	TAP_INT(cgroup_update(cg, &r, &e), 0, "one more, to read: %s", e.text);
	TAP_INT(run_in(cg, open_devices, NULL), 3, "can be read, not written");
	r.devices = all;
	TAP_INT(cgroup_update(cg, &r, &e), 0, "all but writing to one: %s", e.text);
	TAP_INT(run_in(cg, open_devices, NULL), 3, "is what there is");
	r.n_devices = 1;
	TAP_INT(cgroup_update(cg, &r, &e), 0, "all: %s", e.text);
	TAP_INT(run_in(cg, open_devices, NULL), 7, "is all");
	r.devices = hole;
	r.n_devices = 3;
	if (pure_v2) {
		TAP_INT(cgroup_update(cg, &r, &e), 0, "a hole in a wildcard: %s", e.text);
		TAP_INT(run_in(cg, open_devices, NULL), 5, "denies reading, allows writing");
	} else {
		TAP_INT(cgroup_update(cg, &r, &e), -ENOTSUP, "v1 cannot have a hole in a wildcard");
	}
	finish(&cg);
}

/* The eBPF program works on any v2 directory, also on a machine whose devices are v1's. */
static void test_device_program(void)
{
	struct key_value any = { "cgroup.max.depth", "7" };
	struct bundle_device_rule v[] = { { false, 'a', -1, -1, "rwm" },
					  { true, 'a', -1, -1, "w" },
					  { false, 'c', 1, 3, "w" },
					  { true, 'c', 1, 11, "r" } };
	struct bundle_resources r = { .unified = &any, .n_unified = 1, .devices = v, .n_devices = 4 };
	struct bundle_resources only = { .unified = &any, .n_unified = 1 };
	struct cgroup_params p = params(&only, "bpf");
	struct cgroup_apply a = { .r = &r };
	struct err e = { 0 };
	struct cgroup *cg;

	if (!cgroup_layout_v2(&layout) || open_devices(NULL) != 7) {
		skip("no v2 hierarchy, or no devices to open");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	a.cg = cg;
	a.e = &e;
	TAP_INT(cgroup_v2_devices(&a, cgroup_dir_v2(cg)), 0, "loaded: %s", e.text);
	TAP_INT(run_in(cg, open_devices, NULL), 6, "accesses are decided one by one, the last rule first");
	finish(&cg);
}

/* --- being born in, being saved, nesting --- */

static void test_clone(void)
{
	struct key_value any = { "cgroup.max.depth", "7" };
	struct bundle_resources r = { .unified = &any, .n_unified = 1 };
	struct cgroup_params p = params(&r, "clone");
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	struct cgroup *cg, *back = NULL;
	struct err e = { 0 };
	struct json_doc doc;
	struct jat at;
	pid_t pid, *pids = NULL;
	size_t n = 0;
	json_t *j;
	char *text;

	if (!cgroup_layout_v2(&layout)) {
		skip("no v2 hierarchy");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	args.cgroup = (uint64_t)cgroup_clone_fd(cg);
	(void)fflush(stdout);
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		for (;;)
			(void)pause();
	TAP_OK(pid > 0, "born into it");
	TAP_INT(cgroup_enter(cg, pid, true, &e), 0, "entered the others: %s", e.text);
	TAP_INT(cgroup_pids(cg, &pids, &n, &e), 0, "listed");
	TAP_OK(n == 1 && pids[0] == pid, "it is in");
	free(pids);
	{
		struct cgroup *other = NULL;

		TAP_INT(cgroup_prepare(&other, &p, &e), -EEXIST, "nobody else takes its name");
		cgroup_free(&other);
	}

	j = cgroup_save(cg);
	text = json_dumps(j, 0);
	json_decref(j);
	cgroup_free(&cg);
	TAP_INT(json_doc_parse(&doc, "state", text, strlen(text), &e), 0, "saved");
	free(text);
	at = json_root(&doc);
	TAP_INT(cgroup_restore(&back, &at, NULL, &e), 0, "restored: %s", e.text);
	TAP_INT(cgroup_kill(back, &e), 0, "killed: %s", e.text);
	(void)waitpid(pid, NULL, 0);
	finish(&back);

	/* A restart under the same name must not lose its directory to the old one's keeper. */
	cg = prepare(&p);
	TAP_INT(cgroup_restore(&back, &at, NULL, &e), 0, "restored again: %s", e.text);
	TAP_INT(cgroup_destroy(back, 0, &e), 0, "the old one has nothing to remove");
	cgroup_free(&back);
	TAP_INT(run_in(cg, open_devices, NULL) >= 0, true, "the new one still works");
	finish(&cg);
	json_doc_fini(&doc);
}

static void test_leftover(void)
{
	struct bundle_resources r = { .has_pids = have(CGROUP_PIDS), .pids_limit = 4 };
	struct cgroup_params p = params(&r, "left");
	struct cgroup *cg;
	char path[256];

	p.every_controller = true;
	cg = prepare(&p);
	cgroup_free(&cg); /* as if killed */
	cg = prepare(&p);
	finish(&cg);
	(void)snprintf(path, sizeof path, "test-%d-deep/a/b", getpid());
	p.path = path;
	p.every_controller = false;
	cg = prepare(&p);
	if (cg && cg->n) {
		char top[4096];

		(void)snprintf(top, sizeof top, "%.*s", (int)(strlen(cg->dirs[0].path) - 4),
			       cg->dirs[0].path);
		TAP_OK(access(top, F_OK) == 0, "%s was made on the way", top);
		finish(&cg);
		TAP_OK(access(top, F_OK) < 0, "and is removed with the last");
	}
	cgroup_free(&cg);
}

/* What an app nests in a directory that it was given. */
static int nest(void *arg)
{
	const char *dir = arg;
	char path[8192];
	size_t len;
	int n = 0;

	if (setgroups(0, NULL) < 0 || setgid(12345) < 0 || setuid(12345) < 0)
		return 99;
	(void)snprintf(path, sizeof path, "%s", dir);
	for (; n < 50; n++) {
		len = strlen(path);
		(void)snprintf(path + len, sizeof path - len, "/n");
		if (mkdir(path, 0755) < 0)
			break;
	}
	return n;
}

static void test_delegate(void)
{
	struct key_value any = { "cgroup.max.descendants", "20" };
	struct bundle_resources r = { .unified = &any, .n_unified = 1 };
	struct cgroup_params p = params(&r, "deleg");
	struct err e = { 0 };
	struct cgroup *cg;
	const struct cgroup_dir *d;

	if (!cgroup_layout_v2(&layout)) {
		skip("no v2 hierarchy");
		return;
	}
	cg = prepare(&p);
	if (!cg)
		return;
	d = cgroup_dir_v2(cg);
	TAP_INT(cgroup_delegate(cg, 12345, 12345, &e), 0, "handed over: %s", e.text);
	TAP_INT(run_in(cg, nest, (void *)(uintptr_t)d->path), 20, "it may nest as far as the bundle says");
	finish(&cg);
}

/* --- v2 alone: the caller's own cgroup is full of processes, the caller first --- */

static const char *own_path(void)
{
	static char text[4096];
	AUTO_FD int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	char *p;

	text[n < 0 ? 0 : n] = '\0';
	p = strstr(text, "0::");
	if (p)
		p[strcspn(p, "\n")] = '\0';
	return p ? p + 3 : "";
}

static int own_leaf(void *arg)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 4, .has_mem_limit = true,
				      .mem_limit = 16 << 20 };
	struct cgroup_params p = { .resources = &r, .id = "inner" };
	struct cgroup *cg = NULL;
	struct err e = { 0 };
	size_t much = 64 << 20;
	uid_t uid = *(uid_t *)arg;

	if (uid && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
		return 1;
	for (int round = 0; round < 2; round++) {
		int rc = cgroup_prepare(&cg, &p, &e);

		if (rc < 0) {
			printf("# %s (%s)\n", e.text, e.hint);
			return 2;
		}
		if (!strstr(own_path(), "/vrun.launcher")) {
			printf("# own cgroup: %s\n", own_path());
			return 3;
		}
		if (run_quietly(cg, eat, &much, &e) != 128 + SIGKILL)
			return 4;
		if (cgroup_destroy(cg, 5000, &e) < 0)
			return 5;
		cgroup_free(&cg);
	}
	return 0;
}

/* The undelegated: a clear refusal, or a list of what was left out. */
static int no_rights(void *arg)
{
	struct bundle_resources r = { .has_pids = true, .pids_limit = 4 };
	struct cgroup_params p = { .resources = &r, .id = "inner" };
	struct cgroup *cg = NULL;
	struct err e = { 0 };

	(void)arg;
	if (setgroups(0, NULL) < 0 || setgid(12345) < 0 || setuid(12345) < 0)
		return 1;
	if (cgroup_prepare(&cg, &p, &e) != -EACCES || !strstr(e.hint, "Delegate=yes")) {
		printf("# %s (%s)\n", e.text, e.hint);
		return 2;
	}
	p.best_effort = true;
	if (cgroup_prepare(&cg, &p, &e) < 0 || cgroup_left_out(cg)->n == 0)
		return 3;
	if (cgroup_enter(cg, getpid(), false, &e) < 0)
		return 4;
	cgroup_free(&cg);
	return 0;
}

static void test_rootless(void)
{
	struct child c = spawn(no_rights, NULL);

	TAP_INT(run(&c), 0, "without rights: refused, or left out");
}

static void chown_all(const char *dir, uid_t uid)
{
	static const char *const files[] = { "", "cgroup.procs", "cgroup.subtree_control",
					     "cgroup.threads" };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		char path[4200];

		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		if (chown(path, uid, uid) < 0)
			TAP_OK(false, "chown %s", path);
	}
}

static void test_own_leaf(uid_t uid)
{
	char dir[4096], procs[4200], leaf[4200];
	const struct cgroup_hier *v2 = cgroup_layout_v2(&layout);
	struct child c;
	int rc;

	(void)snprintf(dir, sizeof dir, "%s%s/test-%d-own%u", v2->mount,
		       strcmp(v2->own, "/") ? v2->own : "", getpid(), uid);
	(void)snprintf(procs, sizeof procs, "%s/cgroup.procs", dir);
	(void)snprintf(leaf, sizeof leaf, "%s/vrun.launcher", dir);
	if (mkdir(dir, 0755) < 0) {
		TAP_OK(false, "mkdir %s", dir);
		return;
	}
	if (uid)
		chown_all(dir, uid);
	c = spawn(own_leaf, &uid);
	{
		char pid[16];

		(void)snprintf(pid, sizeof pid, "%d", c.pid);
		TAP_INT(fd_write_file(AT_FDCWD, procs, pid), 0, "a cgroup full of processes, uid %u", uid);
	}
	rc = run(&c);
	TAP_INT(rc, 0, "its processes make room, and limits work");
	TAP_OK(rmdir(leaf) == 0 && rmdir(dir) == 0, "all is empty again");
}

/* --- systemd: scopes from the system's manager, and from a user's --- */

struct scope_test {
	uid_t uid;
	bool named;
};

static int in_scope(void *arg)
{
	const struct scope_test *t = arg;
	struct bundle_resources r = { .has_mem_limit = true, .mem_limit = 16 << 20 };
	char id[64], path[128], runtime[64];
	struct cgroup_params p = { .resources = &r, .id = id, .systemd = t->named,
				   .path = t->named ? path : NULL };
	struct cgroup *cg = NULL;
	struct err e = { 0 };
	size_t much = 64 << 20;

	(void)snprintf(id, sizeof id, "test-%d", getpid());
	(void)snprintf(path, sizeof path, "%s:box:%s", t->uid ? "" : "vrunbox.slice", id);
	(void)snprintf(runtime, sizeof runtime, "/run/user/%u", t->uid);
	if (t->uid && (setgroups(0, NULL) < 0 || setgid(t->uid) < 0 || setuid(t->uid) < 0 ||
		       setenv("XDG_RUNTIME_DIR", runtime, 1) < 0))
		return 1;
	if (cgroup_prepare(&cg, &p, &e) < 0) {
		printf("# %s (%s)\n", e.text, e.hint);
		return 2;
	}
	if (!strstr(own_path(), t->named ? "/box-test-" : "/vrun-test-") ||
	    !strstr(own_path(), ".scope/vrun.launcher")) {
		printf("# own cgroup: %s\n", own_path());
		return 3;
	}
	if (t->named && !t->uid && !strstr(own_path(), "/vrunbox.slice/"))
		return 4;
	if (run_quietly(cg, eat, &much, &e) != 128 + SIGKILL)
		return 5;
	return cgroup_destroy(cg, 5000, &e) < 0 ? 6 : 0;
}

static char scope_name[64];

static int is_scope(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	return type == FTW_D && strstr(path + ftw->base, scope_name);
}

/* The scope of a test goes with its last process; systemd removes it a moment later. */
static bool scope_gone(pid_t pid)
{
	(void)snprintf(scope_name, sizeof scope_name, "-test-%d.scope", pid);
	for (int i = 0; i < 200; i++) {
		if (nftw("/sys/fs/cgroup", is_scope, 16, FTW_PHYS) == 0)
			return true;
		(void)usleep(20000);
	}
	return false;
}

static void test_systemd(uid_t uid, bool named)
{
	struct scope_test t = { uid, named };
	struct child c = spawn(in_scope, &t);

	TAP_INT(run(&c), 0, "uid %u in a %s scope of systemd's", uid, named ? "named" : "default");
	TAP_OK(scope_gone(c.pid), "which is gone afterwards");
}

/* Containers show cgroups that even their root may not change. */
static bool may_make(struct err *e)
{
	struct cgroup_params p = params(NULL, "try");
	struct cgroup *cg = NULL;
	struct err ignored;
	int rc;

	p.every_controller = true;
	rc = cgroup_prepare(&cg, &p, e);
	(void)cgroup_destroy(cg, 1000, &ignored);
	cgroup_free(&cg);
	return rc == 0;
}

int main(void)
{
	struct err e = { 0 };
	const char *user;
	uint64_t uid;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	if (cgroup_layout_read(&layout, NULL, &e) < 0) {
		TAP_OK(false, "%s", e.text);
		return tap_done();
	}
	pure_v2 = cgroup_layout_v1_controllers(&layout) == 0;
	if (!may_make(&e)) {
		skip(e.text);
		return tap_done();
	}
	printf("# %s\n", pure_v2 ? "cgroup v2" : "cgroup v1, or both");
	/* Only where systemd is the test's own. */
	user = getenv("VRUN_TEST_SCOPE_UID");
	if (user && num_parse_u64(user, 1, UINT32_MAX, &uid) == 0) {
		test_systemd(0, false);
		test_systemd(0, true);
		test_systemd((uid_t)uid, false);
		test_systemd((uid_t)uid, true);
	}
	test_memory();
	test_swap();
	test_pids();
	test_cpu();
	test_freezer();
	test_kill();
	test_devices();
	test_device_program();
	test_clone();
	test_leftover();
	test_delegate();
	test_rootless();
	if (pure_v2 && have(CGROUP_MEMORY) && have(CGROUP_PIDS) && !cgroup_systemd_runs(NULL)) {
		test_own_leaf(0);
		test_own_leaf(12345);
	} else {
		printf("# the caller's own v2 cgroup: see make check-vm\n");
	}
	cgroup_layout_fini(&layout);
	return tap_done();
}
