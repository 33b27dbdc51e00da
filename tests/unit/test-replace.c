/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another socket in the place of an app's: at which numbers of which processes which of the two is afterwards.
 * The app is a child with a filter that traps listen(), in a pid namespace of its own with its own /proc.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "sup/replace.h"
#include "sup/sup.h"
#include "tap.h"

#define NUMBERS 64
#define FIRST 20 /* the app's numbers: the socket, then its duplicates */

/* What a process of the app's has at each number: a socket's cookie, or 0; and the flags. */
struct seen {
	uint64_t cookie[NUMBERS];
	int fd_flags[NUMBERS], flags[NUMBERS];
};

static struct shared {
	struct seen app, other;
	long result;   /* of the trapped call */
	int errnum;
	int events;    /* that an epoll of the app's had for the socket at the end */
	uint64_t data;
} *shared;

static struct sup sup;
static struct domain domain;
static struct listener listener;

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

static void look(struct seen *to)
{
	for (int i = 0; i < NUMBERS; i++) {
		to->cookie[i] = cookie_of(i);
		to->fd_flags[i] = fcntl(i, F_GETFD);
		to->flags[i] = fcntl(i, F_GETFL);
	}
}

/* --- the app ------------------------------------------------------------------------------- */

static int trap_listen(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_listen, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { sizeof code / sizeof *code, code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

struct app {
	int copies;   /* duplicates behind FIRST; each second one is close-on-exec */
	bool forked;  /* a child has it all, too */
	bool message; /* a copy lies in a message that nobody reads */
	bool epoll;
	bool killed;  /* the app ends before it is answered */
	int flags;    /* of the socket */
};

static void send_copy(int to, int fd)
{
	union {
		struct cmsghdr align;
		/* cppcheck-suppress unusedStructMember ; it is the room */
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { .align = { CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS } };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof ctl };

	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	if (sendmsg(to, &m, 0) != 1)
		_exit(3);
}

static void register_it(int ep)
{
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET, .data.u64 = 0x1234567890abcdefU };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, FIRST, &e) < 0)
		_exit(4);
	(void)epoll_wait(ep, &e, 1, 0); /* what it has to tell of the old one */
}

/* A process that has all that the app has, and says what when it is told to. */
static pid_t fork_other(int ask)
{
	char c;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(ask, &c, 1) == 1)
		look(&shared->other);
	_exit(0);
}

_Noreturn static void app_main(const struct app *a, int hand_over)
{
	int fd, ask[2], pair[2], trap, ep = -1;
	pid_t other = -1;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Whatever was inherited: the numbers are ours. */
	if (dup2(hand_over, 3) < 0 || sys_close_range(4, ~0U, 0) < 0)
		_exit(2);
	hand_over = 3;
	fd = socket(AF_INET, SOCK_STREAM | a->flags, 0);
	if (fd < 0 || dup2(fd, FIRST) < 0)
		_exit(2);
	(void)close(fd);
	for (int i = 1; i <= a->copies; i++)
		if (dup3(FIRST, FIRST + i, i % 2 ? O_CLOEXEC : 0) < 0)
			_exit(2);
	if (pipe(ask) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) /* at numbers that are left */
		_exit(2);
	if (a->message)
		send_copy(pair[0], FIRST);
	if (a->epoll) {
		ep = epoll_create1(0);
		register_it(ep);
	}
	if (a->forked)
		other = fork_other(ask[0]);
	trap = trap_listen();
	if (trap < 0 || write(hand_over, (int[]){ trap, ep }, 2 * sizeof(int)) != 2 * sizeof(int))
		_exit(5);
	shared->result = syscall(__NR_listen, FIRST, 7);
	shared->errnum = errno;
	look(&shared->app);
	if (a->epoll) {
		struct epoll_event e = { 0 };

		shared->events = epoll_wait(ep, &e, 1, 5000) == 1 ? (int)e.events : -1;
		shared->data = e.data.u64;
	}
	if (other > 0) {
		if (write(ask[1], "", 1) != 1)
			_exit(6);
		(void)waitpid(other, NULL, 0);
	}
	_exit(0);
}

/* --- the supervisor ------------------------------------------------------------------------- */

struct outcome {
	int rc;
	uint64_t old, new, held; /* cookies: what was there, what was to come, what the target holds afterwards */
	bool kept; /* the new one is the caller's still */
};

/* Of an app that is to be answered, or is killed where it waits. */
static void answer(const struct app *a, pid_t pid, struct outcome *ret, bool leave)
{
	struct seccomp_notif q = { 0 };
	AUTO_TARGET struct target t = { .fd = -1 };
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct call c;

	if (fd < 0 || notify_receive(&listener.notify, &q) < 0)
		exit(1);
	c = (struct call){ .sup = &sup, .domain = &domain, .listener = &listener, .id = q.id, .tid = (pid_t)q.pid };
	c.args[0] = q.data.args[0];
	t.fd = procs_getfd(&sup.procs, c.tid, FIRST);
	t.cookie = cookie_of(t.fd);
	ret->old = t.cookie;
	ret->new = cookie_of(fd);
	if (a->killed) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	ret->rc = replace_socket(&c, &t, &fd, leave);
	ret->held = cookie_of(t.fd);
	ret->kept = fd >= 0;
	/* The supervisor has none of them when the app goes on. */
	fd_close(&fd);
	target_fini(&t);
	(void)notify_reply(&listener.notify, c.id, 42, 0);
}

static struct outcome run(const struct app *a, bool leave)
{
	struct outcome o = { .rc = 1000 };
	int pipes[2], numbers[2], status;
	struct err e = { .text = "it sends no numbers" };
	pid_t pid;

	memset(shared, 0, sizeof *shared);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		exit(1);
	pid = fork();
	if (pid == 0)
		app_main(a, pipes[1]);
	(void)close(pipes[1]);
	if (pid < 0 || read(pipes[0], numbers, sizeof numbers) != sizeof numbers ||
	    notify_init(&listener.notify, procs_getfd(&sup.procs, pid, numbers[0]), &e) < 0) {
		printf("Bail out! the app does not come to its call: %s\n", e.text);
		exit(1);
	}
	(void)close(pipes[0]);
	domain.epolls = (struct epolls){ .numbers = { numbers[1] }, .n = a->epoll };
	answer(a, pid, &o, leave);
	if (!a->killed) {
		(void)waitpid(pid, &status, 0);
		TAP_INT(status, 0, "the app comes to its end");
		TAP_INT(shared->result, 42, "its call was answered");
	}
	notify_fini(&listener.notify);
	return o;
}

/* How many of the numbers from FIRST on hold that socket, and all others hold none of the two. */
static int holders(const struct seen *s, const struct outcome *o, uint64_t which)
{
	int n = 0;

	for (int i = 0; i < NUMBERS; i++) {
		n += s->cookie[i] == which;
		if ((s->cookie[i] == o->old || s->cookie[i] == o->new) && i < FIRST)
			return -i;
	}
	return n;
}

/* --- what there is to see --------------------------------------------------------------------- */

static void test_alone(void)
{
	const struct app a = { .flags = SOCK_NONBLOCK }, waiting = { .flags = 0 };
	struct outcome o = run(&a, false);

	TAP_INT(o.rc, 0, "one number, one process");
	TAP_OK(o.held == o.new && !o.kept, "the target holds the new one");
	TAP_INT(holders(&shared->app, &o, o.new), 1, "and so does the app");
	TAP_INT(holders(&shared->app, &o, o.old), 0, "which has not got the old one");
	TAP_OK(shared->app.flags[FIRST] & O_NONBLOCK, "it does not wait, as before");
	TAP_INT(shared->app.fd_flags[FIRST], 0, "and goes over exec");
	o = run(&waiting, false);
	TAP_INT(o.rc, 0, "one that waits");
	TAP_INT(shared->app.flags[FIRST] & O_NONBLOCK, 0, "goes on to");
}

static void test_copies(int copies)
{
	const struct app a = { .copies = copies };
	struct outcome o = run(&a, false);
	int wrong = 0;

	TAP_INT(o.rc, 0, "%d copies in one process", copies);
	TAP_INT(holders(&shared->app, &o, o.new), copies + 1, "the new one is at all their numbers");
	TAP_INT(holders(&shared->app, &o, o.old), 0, "the old one at none");
	for (int i = 1; i <= copies; i++)
		wrong += shared->app.fd_flags[FIRST + i] != (i % 2 ? FD_CLOEXEC : 0);
	TAP_INT(wrong, 0, "each with its own flag");
}

/* Never half an app on either. */
static void test_too_many(void)
{
	const struct app a = { .copies = 40 };
	struct outcome o = run(&a, false);
	int wrong = 0;

	TAP_INT(o.rc, -EMLINK, "more copies than are exchanged");
	TAP_OK(o.held == o.old && o.kept, "the target holds the old one, the caller the new one");
	TAP_INT(holders(&shared->app, &o, o.old), 41, "the old one is at all numbers");
	TAP_INT(holders(&shared->app, &o, o.new), 0, "the new one at none");
	for (int i = 1; i <= a.copies; i++)
		wrong += shared->app.fd_flags[FIRST + i] != (i % 2 ? FD_CLOEXEC : 0);
	TAP_INT(wrong, 0, "with the flags that they had");
}

static void test_forked(void)
{
	const struct app a = { .forked = true, .copies = 3 };
	struct outcome o = run(&a, false);

	TAP_INT(o.rc, -EMLINK, "another process has it, too");
	TAP_OK(o.held == o.old && o.kept, "the target holds the old one, the caller the new one");
	TAP_INT(holders(&shared->app, &o, o.old), 4, "which the app has everywhere");
	TAP_INT(holders(&shared->app, &o, o.new), 0, "and nowhere the new one");
	TAP_INT(holders(&shared->other, &o, o.old), 4, "as has the other process");
	o = run(&a, true);
	TAP_INT(o.rc, 1, "it may be left with the old one");
	TAP_INT(holders(&shared->app, &o, o.new), 4, "the app has the new one");
	TAP_INT(holders(&shared->other, &o, o.old), 4, "the other process the old one");
	TAP_INT(holders(&shared->other, &o, o.new), 0, "and not the new one");
}

static void test_message(void)
{
	const struct app a = { .message = true, .copies = 1 };
	struct outcome o = run(&a, false);

	TAP_INT(o.rc, 1, "a copy in a message cannot be found");
	TAP_INT(holders(&shared->app, &o, o.new), 2, "what can be is exchanged");
	TAP_OK(o.held == o.new && !o.kept, "and the target holds it");
}

static void test_killed(void)
{
	const struct app a = { .killed = true, .copies = 1 };
	struct outcome o = run(&a, false);

	TAP_INT(o.rc, -ENOENT, "nobody waits any more");
	TAP_OK(o.held == o.old && o.kept, "nothing was taken");
}

/* An unconnected socket hangs up, which is an event of the new one's. */
static void test_epoll(void)
{
	const struct app a = { .epoll = true };
	struct outcome o = run(&a, false);

	TAP_INT(o.rc, 0, "in an epoll");
	TAP_INT(holders(&shared->app, &o, o.new), 1, "it is exchanged");
	TAP_OK(shared->events > 0 && shared->events & EPOLLHUP, "the epoll tells of the new one (%x)", shared->events);
	TAP_OK(shared->data == 0x1234567890abcdefU, "with the app's data");
}

static int test_all(void)
{
	procs_init(&sup.procs);
	sup.spare = (struct alive){ .ep = -1, .info = -1 };
	LIST_INIT(&sup.domains);
	domain.sup = &sup;
	LIST_INSERT_HEAD(&sup.domains, &domain, link);
	listener.domain = &domain;
	guard_init(&sup.guard);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	test_alone();
	test_copies(1);
	test_copies(15);
	test_too_many();
	test_forked();
	test_message();
	test_copies(2); /* nothing of that is left */
	test_killed();
	test_epoll();
	alive_fini(&sup.spare);
	procs_fini(&sup.procs);
	return tap_done();
}

/* Whose /proc has these processes alone: how many descriptors are looked at is bounded. */
int main(void)
{
	int own = geteuid() == 0 ? 0 : CLONE_NEWUSER, status = 0;
	pid_t pid;

	if (unshare(own | CLONE_NEWPID | CLONE_NEWNS) < 0) {
		printf("1..0 # SKIP no user namespaces here\n");
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0)
			printf("# this pid namespace has no /proc of its own\n");
		exit(test_all());
	}
	(void)waitpid(pid, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1); /* no thread of a leak checker's can be made any more */
}
