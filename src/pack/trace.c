/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * The child asks to be traced and stops; from then on every thread of the tree
 * stops at each entry to and exit from a system call (PTRACE_SYSCALL), and new
 * ones are attached by the kernel (PTRACE_O_TRACE*). On entry the path is read
 * from the thread's memory; on exit, if the call succeeded, it is noted. That
 * order matters: execve(2) replaces the memory. Another thread may change the
 * path in between, so what is noted is a hint, and whoever uses it looks at the
 * host again.
 *
 * If we die, the kernel kills the tree (PTRACE_O_EXITKILL). A timer wakes the
 * wait ten times a second, so that neither the time limit nor Ctrl-C can be
 * lost to a race between a look at the flag and the wait.
 */
#include "pack/trace.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"
#include "pack/path.h"

#define GRACE_SECONDS 2
#define THREADS_MAX 4096U
#define PATHS_MAX 1000000U
#define TICK_USEC 100000

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE AUDIT_ARCH_AARCH64
#endif

#define TRACE_OPTIONS                                                                              \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |    \
	 PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

enum call_kind { CALL_LOOK, CALL_OPEN, CALL_OPENAT2, CALL_EXEC };

/* The calls that take a path: which arguments are the directory (-1: none) and the path. */
static const struct call {
	long nr;
	int dir, path, flags;
	enum call_kind kind;
} calls[] = {
#ifdef __NR_open
	{ __NR_open, -1, 0, 1, CALL_OPEN },
	{ __NR_stat, -1, 0, -1, CALL_LOOK },
	{ __NR_lstat, -1, 0, -1, CALL_LOOK },
	{ __NR_access, -1, 0, -1, CALL_LOOK },
	{ __NR_readlink, -1, 0, -1, CALL_LOOK },
#endif
	{ __NR_openat, 0, 1, 2, CALL_OPEN },
	{ __NR_openat2, 0, 1, 2, CALL_OPENAT2 },
	{ __NR_execve, -1, 0, -1, CALL_EXEC },
	{ __NR_execveat, 0, 1, -1, CALL_EXEC },
	{ __NR_newfstatat, 0, 1, -1, CALL_LOOK },
	{ __NR_statx, 0, 1, -1, CALL_LOOK },
	{ __NR_faccessat, 0, 1, -1, CALL_LOOK },
	{ __NR_faccessat2, 0, 1, -1, CALL_LOOK },
	{ __NR_readlinkat, 0, 1, -1, CALL_LOOK },
	{ __NR_chdir, -1, 0, -1, CALL_LOOK },
};

struct thread {
	pid_t tid; /* 0: free */
	bool started; /* its first stop, which the kernel makes, is over */
	const struct call *call; /* under way, or NULL */
	bool writes;
	char *path; /* PATH_MAX bytes; absolute; what the call under way is about */
};

struct tracer {
	struct thread *threads;
	pid_t root;
	int root_status; /* as waitpid(2) gives it; -1 while it runs */
	struct tree *seen;
	struct notes *notes;
	int64_t deadline_ns;
	int stage; /* 0: running, 1: asked to end, 2: killed */
	bool expired;
	bool foreign; /* something ran in another root or mount namespace, or for another architecture */
	char mnt_ns[64];
};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct thread *find_thread(struct tracer *t, pid_t tid)
{
	struct thread *unused = NULL;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (t->threads[i].tid == tid)
			return &t->threads[i];
		if (t->threads[i].tid == 0 && !unused)
			unused = &t->threads[i];
	}
	if (!unused)
		return NULL;
	*unused = (struct thread){ .tid = tid, .path = unused->path };
	if (!unused->path)
		unused->path = malloc(PATH_MAX);
	if (!unused->path)
		unused->tid = 0;
	return unused->path ? unused : NULL;
}

/* Its buffer stays for the next one. */
static void forget_thread(struct thread *th)
{
	*th = (struct thread){ .path = th->path };
}

/* --- what a call is about -------------------------------------------------- */

/* A string of the thread's, at most PATH_MAX with its end. False when it cannot be read. */
static bool read_string(pid_t tid, uint64_t addr, char *ret)
{
	size_t at = 0;

	while (at < PATH_MAX) {
		/* Not over a page's end: the next may not be there. */
		size_t want = 4096 - (size_t)((addr + at) & 4095);
		struct iovec local, remote;
		ssize_t n;

		want = want < PATH_MAX - at ? want : PATH_MAX - at;
		local = (struct iovec){ .iov_base = ret + at, .iov_len = want };
		remote = (struct iovec){ .iov_base = (void *)(uintptr_t)(addr + at), .iov_len = want };
		n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
		if (n <= 0)
			return false;
		if (memchr(ret + at, '\0', (size_t)n))
			return true;
		at += (size_t)n;
	}
	return false;
}

/* A link below /proc/TID. False unless it is there and fits. */
static bool read_proc_link(pid_t tid, const char *what, char *ret, size_t size)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", tid, what);
	n = readlink(path, ret, size - 1);
	if (n < 0 || (size_t)n >= size - 1)
		return false;
	ret[n] = '\0';
	return true;
}

/* Whether the thread's paths mean what they mean to us. */
static bool shares_view(struct tracer *t, pid_t tid)
{
	char root[8], ns[sizeof t->mnt_ns];

	if (read_proc_link(tid, "root", root, sizeof root) && strcmp(root, "/") == 0 &&
	    read_proc_link(tid, "ns/mnt", ns, sizeof ns) && strcmp(ns, t->mnt_ns) == 0)
		return true;
	t->foreign = true;
	return false;
}

/* Makes a path as the thread gave it absolute, in place. */
static bool make_absolute(pid_t tid, int dirfd, char *path)
{
	char base[PATH_MAX], link[32], joined[PATH_MAX];

	if (path[0] == '/')
		return true;
	if (path[0] == '\0')
		return false;
	if (dirfd == AT_FDCWD)
		(void)snprintf(link, sizeof link, "cwd");
	else
		(void)snprintf(link, sizeof link, "fd/%d", dirfd);
	if (!read_proc_link(tid, link, base, sizeof base) || base[0] != '/' ||
	    path_join(joined, base, path) < 0)
		return false;
	memcpy(path, joined, strlen(joined) + 1);
	return true;
}

static bool opens_for_writing(pid_t tid, const struct call *c, const uint64_t *args)
{
	uint64_t flags = 0;

	if (c->kind == CALL_OPEN) {
		flags = args[c->flags];
	} else if (c->kind == CALL_OPENAT2) {
		/* struct open_how begins with its flags */
		struct iovec local = { .iov_base = &flags, .iov_len = sizeof flags };
		struct iovec remote = { .iov_base = (void *)(uintptr_t)args[c->flags],
					.iov_len = sizeof flags };

		if (process_vm_readv(tid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof flags)
			return false;
	} else {
		return false;
	}
	return (flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) == O_WRONLY;
}

static void on_entry(struct tracer *t, struct thread *th, const struct __ptrace_syscall_info *info)
{
	th->call = NULL;
	if (info->arch != ARCH_HERE) {
		t->foreign = true;
		return;
	}
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		const struct call *c = &calls[i];
		uint64_t args[6];

		if ((uint64_t)c->nr != info->entry.nr)
			continue;
		for (size_t k = 0; k < 6; k++)
			args[k] = info->entry.args[k];
		if (!read_string(th->tid, args[c->path], th->path) ||
		    !make_absolute(th->tid, c->dir < 0 ? AT_FDCWD : (int)args[c->dir], th->path))
			return;
		th->writes = opens_for_writing(th->tid, c, args);
		th->call = c;
		return;
	}
}

static int on_exit_ok(struct tracer *t, struct thread *th, struct err *e)
{
	struct node n = { .path = th->path, .kind = NODE_FILE, .why = WHY_TRACE, .text = "" };
	struct node *there;
	int rc;

	if (t->seen->n >= PATHS_MAX || !shares_view(t, th->tid))
		return 0;
	rc = tree_add(t->seen, &n, &there, e);
	if (rc < 0)
		return rc;
	there->mode |= th->writes ? TRACE_WROTE : TRACE_READ;
	return 0;
}

static int on_syscall(struct tracer *t, struct thread *th, struct err *e)
{
	struct __ptrace_syscall_info info;
	int rc = 0;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, th->tid, (void *)sizeof info, &info) <= 0)
		return 0; /* killed meanwhile */
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		on_entry(t, th, &info);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
		if (th->call && !info.exit.is_error)
			rc = on_exit_ok(t, th, e);
		th->call = NULL;
	}
	return rc;
}

/* --- stops ------------------------------------------------------------------ */

/* A thread that is not the leader and calls execve(2) goes on under the leader's id. */
static void on_exec(struct tracer *t, pid_t tid)
{
	unsigned long former = 0;
	struct thread *from, *to;

	if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former) < 0 || (pid_t)former == tid || former == 0)
		return;
	from = find_thread(t, (pid_t)former);
	to = find_thread(t, tid);
	if (!from || !to)
		return;
	to->call = from->call;
	to->writes = from->writes;
	to->started = true;
	memcpy(to->path, from->path, PATH_MAX);
	forget_thread(from);
}

/* Decides which signal to pass on when a stopped thread is resumed. */
static int signal_to_deliver(struct thread *th, int status)
{
	int sig = WSTOPSIG(status);

	if (status >> 16)
		return 0; /* an event, or the end of a group stop */
	if (sig == SIGSTOP && !th->started)
		return 0; /* how the kernel attaches a new thread */
	return sig;
}

static int on_stop(struct tracer *t, pid_t tid, int status, struct err *e)
{
	struct thread *th = find_thread(t, tid);
	int sig = 0, rc = 0;

	if (!th) { /* more threads than we follow: let it run on, unseen */
		(void)ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return 0;
	}
	if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		rc = on_syscall(t, th, e);
	} else {
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
			on_exec(t, tid);
			th = find_thread(t, tid);
		}
		sig = th ? signal_to_deliver(th, status) : 0;
	}
	if (th)
		th->started = true;
	(void)ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)sig);
	return rc;
}

static void on_end(struct tracer *t, pid_t tid, int status)
{
	if (tid == t->root)
		t->root_status = status;
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (t->threads[i].tid == tid)
			forget_thread(&t->threads[i]);
}

static void signal_all(struct tracer *t, int sig)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (t->threads[i].tid > 0)
			(void)kill(t->threads[i].tid, sig);
}

/* Time limit and Ctrl-C. The tree is always waited for to its end. */
static void check_limits(struct tracer *t, bool stop_now)
{
	int64_t now = now_ns();

	if (stop_now || (t->stage == 1 && now >= t->deadline_ns)) {
		t->stage = 2;
	} else if (t->stage == 0 && now >= t->deadline_ns) {
		t->stage = 1;
		t->expired = true;
		t->deadline_ns = now + (int64_t)GRACE_SECONDS * 1000000000;
		signal_all(t, SIGTERM);
	}
	if (t->stage == 2)
		signal_all(t, SIGKILL); /* again and again: new ones may have been born */
}

static int follow(struct tracer *t, struct err *e)
{
	int rc = 0;

	for (;;) {
		int status, one = 0;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (rc == 0)
			rc = interrupt_check(e);
		check_limits(t, rc < 0);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return rc; /* ECHILD: all gone */
		if (WIFSTOPPED(status))
			one = on_stop(t, tid, status, e);
		else
			on_end(t, tid, status);
		if (rc == 0)
			rc = one;
	}
}

/* --- start and end ----------------------------------------------------------- */

static void on_tick(int sig)
{
	(void)sig;
}

static void set_ticks(bool on, struct sigaction *old)
{
	struct itimerval it = { 0 };
	struct sigaction sa = { .sa_handler = on_tick };

	if (on) {
		it.it_interval.tv_usec = it.it_value.tv_usec = TICK_USEC;
		(void)sigaction(SIGALRM, &sa, old);
		(void)setitimer(ITIMER_REAL, &it, NULL);
	} else {
		(void)setitimer(ITIMER_REAL, &it, NULL);
		(void)sigaction(SIGALRM, old, NULL);
	}
}

__attribute__((noreturn)) static void child(const char *const *argv)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	(void)sigaction(SIGPIPE, &sa, NULL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(126);
	(void)raise(SIGSTOP);
	/* execv() takes no const, and changes nothing. */
	(void)execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int start(struct tracer *t, const char *const *argv, struct err *e)
{
	struct thread *th;
	int status;

	(void)fflush(NULL);
	t->root = fork();
	if (t->root < 0)
		return err_sys(e, "starting the trial run");
	if (t->root == 0)
		child(argv);
	while (waitpid(t->root, &status, __WALL) < 0)
		if (errno != EINTR)
			return err_sys(e, "starting the trial run");
	if (!WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, t->root, NULL, (void *)(intptr_t)TRACE_OPTIONS) < 0) {
		(void)kill(t->root, SIGKILL);
		(void)waitpid(t->root, &status, __WALL);
		(void)err_set(e, EPERM, "this host does not let a process be traced");
		return err_hint(e, "a debugger at work, or kernel.yama.ptrace_scope = 3; leave out --trace");
	}
	th = find_thread(t, t->root);
	if (th)
		th->started = true;
	(void)ptrace(PTRACE_SYSCALL, t->root, NULL, NULL);
	return 0;
}

static void note_end(const struct tracer *t, uint64_t seconds)
{
	int status = t->root_status;

	if (t->expired)
		notes_add(t->notes, "the trial run was ended after %llu seconds",
			  (unsigned long long)seconds);
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		notes_add(t->notes, "the trial run ended with exit code %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		notes_add(t->notes, "the trial run was ended by signal %d", WTERMSIG(status));
	if (t->foreign)
		notes_add(t->notes, "the trial run used another root, mount namespace or architecture; "
				    "what it opened there is not known");
}

int trace_run(const char *const *argv, uint64_t seconds, struct tree *seen, struct notes *notes,
	      struct err *e)
{
	struct tracer t = { .seen = seen, .notes = notes, .root_status = -1 };
	struct sigaction old;
	int rc;

	t.threads = calloc(THREADS_MAX, sizeof *t.threads);
	if (!t.threads)
		return err_num(e, ENOMEM, "tracing");
	if (!read_proc_link(getpid(), "ns/mnt", t.mnt_ns, sizeof t.mnt_ns))
		rc = err_set(e, ENOENT, "tracing needs /proc");
	else
		rc = start(&t, argv, e);
	if (rc == 0) {
		t.deadline_ns = now_ns() + (int64_t)seconds * 1000000000;
		set_ticks(true, &old);
		rc = follow(&t, e);
		set_ticks(false, &old);
	}
	if (rc == 0)
		note_end(&t, seconds);
	for (size_t i = 0; i < THREADS_MAX; i++)
		free(t.threads[i].path);
	free(t.threads);
	return rc;
}
