/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries every door that vrun's default profile shuts, by direct system calls,
 * and prints "NAME: ERRNO" for each. Runs inside a sandbox; knows nothing of
 * it. Exits 1 when a door is open, 2 when it could not try.
 *
 * Each call is made so that a kernel without the filter answers differently
 * from the filter (another error, or success), and so that it does no harm
 * there even to a root who may do all: bad addresses, bad descriptors, bad
 * magic numbers. What changes the caller is tried in a child process. For int
 * arguments the high half of the register is filled with garbage in a second
 * try, since the kernel ignores it and a filter must, too.
 *
 *   doors none|loopback
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kernel.h" /* numbers that the headers lack */

#define GARBAGE 0xdeadbeef00000000
#define BAD_PTR 1UL /* nothing is mapped there */
#define NO_FD 0xffffffffUL

enum {
	PLAIN = 0,
	CHILD = 1,    /* in a child process: success would change the caller */
	INT0 = 2,     /* the first, second, third argument is an int: again with a high half of garbage */
	INT1 = 4,
	INT2 = 8,
	NOT_NONE = 16, /* only where there is a network at all */
	NONE = 32,     /* only where there is none */
};

struct door {
	const char *name;
	long nr;
	int want; /* errno */
	int how;
	unsigned long args[6];
};

static unsigned open_doors;
static bool has_net;

/* --- the doors ------------------------------------------------------------ */

static const struct door doors[] = {
	{ "io_uring_setup", __NR_io_uring_setup, EPERM, PLAIN, { 1, BAD_PTR } },
	{ "io_uring_enter", __NR_io_uring_enter, EPERM, INT0, { NO_FD } },
	{ "io_uring_register", __NR_io_uring_register, EPERM, INT0, { NO_FD } },
	{ "userfaultfd", __NR_userfaultfd, EPERM, INT0, { 1 } },
	{ "userfaultfd flags", __NR_userfaultfd, EPERM, PLAIN, { 0xffff } },
	{ "ptrace TRACEME", __NR_ptrace, EPERM, CHILD, { 0 } },
	{ "ptrace SEIZE", __NR_ptrace, EPERM, PLAIN, { 0x4206, 0x7fffffff } },
	{ "process_vm_readv", __NR_process_vm_readv, EPERM, PLAIN, { 0x7fffffff, 0, 0, 0, 0, 1 } },
	{ "process_vm_writev", __NR_process_vm_writev, EPERM, PLAIN, { 0x7fffffff, 0, 0, 0, 0, 1 } },
	{ "process_madvise", __NR_process_madvise, EPERM, INT0, { NO_FD } },
	{ "pidfd_getfd", __NR_pidfd_getfd, EPERM, INT0 | INT1, { NO_FD, 0, 0 } },
	{ "kcmp", __NR_kcmp, EPERM, PLAIN, { 0x7fffffff, 0x7fffffff, 0 } },
	{ "bpf", __NR_bpf, EPERM, INT0, { 9999, BAD_PTR, 8 } },
	{ "bpf PROG_LOAD", __NR_bpf, EPERM, INT0, { 5, BAD_PTR, 48 } },
	{ "perf_event_open", __NR_perf_event_open, EPERM, PLAIN, { BAD_PTR, 0, NO_FD, NO_FD, 0 } },
	{ "keyctl", __NR_keyctl, EPERM, INT0, { 0, 0xfffffffd, 0 } },
	{ "keyctl JOIN_SESSION", __NR_keyctl, EPERM, CHILD, { 1, 0 } },
	{ "add_key", __NR_add_key, EPERM, PLAIN, { BAD_PTR, BAD_PTR, 0, 0, 0 } },
	{ "request_key", __NR_request_key, EPERM, PLAIN, { BAD_PTR, BAD_PTR, 0, 0 } },
	{ "kexec_load", __NR_kexec_load, EPERM, PLAIN, { 0, 1000, BAD_PTR, 0xffff } },
	{ "kexec_file_load", __NR_kexec_file_load, EPERM, PLAIN, { NO_FD, NO_FD, 0, 0, 0xffff } },
	{ "init_module", __NR_init_module, EPERM, PLAIN, { BAD_PTR, 0, BAD_PTR } },
	{ "finit_module", __NR_finit_module, EPERM, INT0, { NO_FD, BAD_PTR, 0xffff } },
	{ "delete_module", __NR_delete_module, EPERM, PLAIN, { BAD_PTR, 0 } },
	{ "mount", __NR_mount, EPERM, PLAIN, { BAD_PTR, BAD_PTR, BAD_PTR, 0, BAD_PTR } },
	{ "umount2", __NR_umount2, EPERM, PLAIN, { BAD_PTR, 0xffff } },
	{ "pivot_root", __NR_pivot_root, EPERM, PLAIN, { BAD_PTR, BAD_PTR } },
	{ "open_tree", __NR_open_tree, EPERM, INT0 | INT2, { NO_FD, BAD_PTR, 0 } },
	{ "open_tree CLONE", __NR_open_tree, EPERM, INT2, { NO_FD, BAD_PTR, 1 } },
	{ "open_tree_attr", __NR_open_tree_attr, EPERM, INT2, { NO_FD, BAD_PTR, 1, BAD_PTR, 32 } },
	{ "move_mount", __NR_move_mount, EPERM, INT0 | INT2, { NO_FD, BAD_PTR, NO_FD, BAD_PTR, 0xffffffff } },
	{ "fsopen", __NR_fsopen, EPERM, PLAIN, { BAD_PTR, 0 } },
	{ "fsconfig", __NR_fsconfig, EPERM, INT0, { NO_FD, 6, 0, 0, 0 } },
	{ "fsmount", __NR_fsmount, EPERM, INT0, { NO_FD, 0, 0 } },
	{ "fspick", __NR_fspick, EPERM, INT0, { NO_FD, BAD_PTR, 0 } },
	{ "mount_setattr", __NR_mount_setattr, EPERM, INT0, { NO_FD, BAD_PTR, 0, BAD_PTR, 0 } },
	{ "quotactl", __NR_quotactl, EPERM, INT0, { 0x80000700, BAD_PTR, 0, 0 } },
	{ "quotactl_fd", __NR_quotactl_fd, EPERM, INT0, { NO_FD, 0x80000700, 0, 0 } },
	{ "swapon", __NR_swapon, EPERM, PLAIN, { BAD_PTR, 0 } },
	{ "swapoff", __NR_swapoff, EPERM, PLAIN, { BAD_PTR } },
	{ "acct", __NR_acct, EPERM, PLAIN, { BAD_PTR } },
	{ "reboot", __NR_reboot, EPERM, INT0 | INT1, { 1, 2, 3, 0 } },
	{ "sethostname", __NR_sethostname, EPERM, INT1, { BAD_PTR, 1 } },
	{ "setdomainname", __NR_setdomainname, EPERM, INT1, { BAD_PTR, 1 } },
	{ "settimeofday", __NR_settimeofday, EPERM, PLAIN, { BAD_PTR, BAD_PTR } },
	{ "clock_settime", __NR_clock_settime, EPERM, INT0, { 9999, BAD_PTR } },
	{ "syslog", __NR_syslog, EPERM, INT0, { 9999, 0, 0 } },
	{ "vhangup", __NR_vhangup, EPERM, CHILD, { 0 } },
	{ "open_by_handle_at", __NR_open_by_handle_at, EPERM, INT0, { NO_FD, BAD_PTR, 0 } },
	{ "fanotify_init", __NR_fanotify_init, EPERM, INT0, { 0xffffffff, 0 } },
	{ "fanotify_mark", __NR_fanotify_mark, EPERM, INT0, { NO_FD, 1, 1, NO_FD, 0 } },
	{ "nfsservctl", __NR_nfsservctl, EPERM, PLAIN, { 0 } },
	{ "setns", __NR_setns, EPERM, INT0 | INT1, { NO_FD, 0 } },
	{ "setns NEWNET", __NR_setns, EPERM, INT0 | INT1, { NO_FD, CLONE_NEWNET } },
	{ "unshare NEWUSER", __NR_unshare, EPERM, CHILD, { CLONE_NEWUSER } },
	{ "unshare NEWUSER and what does not exist", __NR_unshare, EPERM, CHILD, { CLONE_NEWUSER | GARBAGE } },
	{ "unshare NEWNS", __NR_unshare, EPERM, CHILD, { CLONE_NEWNS } },
	{ "unshare NEWNET", __NR_unshare, EPERM, CHILD, { CLONE_NEWNET } },
	{ "unshare NEWPID", __NR_unshare, EPERM, CHILD, { CLONE_NEWPID } },
	{ "unshare NEWIPC", __NR_unshare, EPERM, CHILD, { CLONE_NEWIPC } },
	{ "unshare NEWUTS", __NR_unshare, EPERM, CHILD, { CLONE_NEWUTS } },
	{ "unshare NEWCGROUP", __NR_unshare, EPERM, CHILD, { CLONE_NEWCGROUP } },
	{ "unshare NEWTIME", __NR_unshare, EPERM, CHILD, { CLONE_NEWTIME } },
	{ "unshare a flag of tomorrow", __NR_unshare, EPERM, CHILD, { 1UL << 40 } },
	{ "clone3", __NR_clone3, ENOSYS, PLAIN, { BAD_PTR, 64 } },
	{ "seccomp listener", __NR_seccomp, EPERM, INT0 | INT1, { 1, 8, BAD_PTR } },
	{ "seccomp listener and more flags", __NR_seccomp, EPERM, INT1, { 1, 8 | 2 | 32, BAD_PTR } },
	{ "prctl SET_MM", __NR_prctl, EPERM, INT0, { PR_SET_MM, PR_SET_MM_MAP_SIZE, BAD_PTR, 0, 0 } },
	{ "prctl SET_MM MAP", __NR_prctl, EPERM, INT0, { PR_SET_MM, PR_SET_MM_MAP, BAD_PTR, 8, 0 } },
	{ "personality READ_IMPLIES_EXEC", __NR_personality, EPERM, CHILD | INT0, { 0x0400000 } },
	{ "personality MMAP_PAGE_ZERO", __NR_personality, EPERM, CHILD | INT0, { 0x0100000 } },
	{ "personality SVR4", __NR_personality, EPERM, CHILD | INT0, { 1 } },
	{ "mbind", __NR_mbind, EPERM, PLAIN, { 1, 1, 9999, 0, 0, 0 } },
	{ "set_mempolicy", __NR_set_mempolicy, EPERM, INT0, { 9999, 0, 0 } },
	{ "migrate_pages", __NR_migrate_pages, EPERM, PLAIN, { 0x7fffffff, 1, BAD_PTR, BAD_PTR } },
	{ "move_pages", __NR_move_pages, EPERM, PLAIN, { 0x7fffffff, 1, BAD_PTR, 0, BAD_PTR, 0 } },
	/* ioctl looks at the descriptor first: EBADF there means that the command got through. */
	{ "ioctl TIOCSTI", __NR_ioctl, EPERM, INT0 | INT1, { NO_FD, 0x5412, BAD_PTR } },
	{ "ioctl TIOCLINUX", __NR_ioctl, EPERM, INT0 | INT1, { NO_FD, 0x541c, BAD_PTR } },
	{ "ioctl TIOCCONS", __NR_ioctl, EPERM, INT0 | INT1, { NO_FD, 0x541d, 0 } },
	{ "ioctl TIOCSETD", __NR_ioctl, EPERM, INT0 | INT1, { NO_FD, 0x5423, BAD_PTR } },
#ifdef __x86_64__
	{ "iopl", __NR_iopl, EPERM, INT0, { 4 } },
	{ "ioperm", __NR_ioperm, EPERM, PLAIN, { 1UL << 20, 1, 1 } },
	{ "modify_ldt", __NR_modify_ldt, EPERM, INT0, { 0, 0, 0 } },
	{ "uselib", __NR_uselib, EPERM, PLAIN, { BAD_PTR } },
	{ "create_module", __NR_create_module, EPERM, PLAIN, { 0 } },
	{ "x32 getpid", 0x40000000 + __NR_getpid, ENOSYS, PLAIN, { 0 } },
	{ "x32 io_uring_setup", 0x40000000 + __NR_io_uring_setup, ENOSYS, PLAIN, { 1, BAD_PTR } },
	{ "x32 ptrace", 0x40000000 + 521, ENOSYS, CHILD, { 0 } },
	{ "x32 execve", 0x40000000 + 520, ENOSYS, PLAIN, { BAD_PTR, 0, 0 } },
	{ "x32 ioctl", 0x40000000 + 514, ENOSYS, PLAIN, { NO_FD, 0x5412, BAD_PTR } },
	{ "x32 mount", 0x40000000 + __NR_mount, ENOSYS, PLAIN, { BAD_PTR, BAD_PTR, BAD_PTR, 0, 0 } },
#endif
	{ "a call that no kernel has", 1000, ENOSYS, PLAIN, { 0 } },

	{ "socket PACKET", __NR_socket, EAFNOSUPPORT, INT0 | INT1 | INT2, { AF_PACKET, SOCK_RAW, 0 } },
	{ "socket VSOCK", __NR_socket, EAFNOSUPPORT, INT0, { AF_VSOCK, SOCK_STREAM, 0 } },
	{ "socket ALG", __NR_socket, EAFNOSUPPORT, INT0, { AF_ALG, SOCK_SEQPACKET, 0 } },
	{ "socket BLUETOOTH", __NR_socket, EAFNOSUPPORT, INT0, { AF_BLUETOOTH, SOCK_RAW, 1 } },
	{ "socket CAN", __NR_socket, EAFNOSUPPORT, INT0, { AF_CAN, SOCK_RAW, 1 } },
	{ "socket TIPC", __NR_socket, EAFNOSUPPORT, INT0, { AF_TIPC, SOCK_RDM, 0 } },
	{ "socket RDS", __NR_socket, EAFNOSUPPORT, INT0, { AF_RDS, SOCK_SEQPACKET, 0 } },
	{ "socket KCM", __NR_socket, EAFNOSUPPORT, INT0, { AF_KCM, SOCK_DGRAM, 0 } },
	{ "socket KEY", __NR_socket, EAFNOSUPPORT, INT0, { AF_KEY, SOCK_RAW, 2 } },
	{ "socket XDP", __NR_socket, EAFNOSUPPORT, INT0, { AF_XDP, SOCK_RAW, 0 } },
	{ "socket SMC", __NR_socket, EAFNOSUPPORT, INT0, { 43, SOCK_STREAM, 0 } },
	{ "socket NFC", __NR_socket, EAFNOSUPPORT, INT0, { 39, SOCK_RAW, 1 } },
	{ "socket netlink NETFILTER", __NR_socket, EPROTONOSUPPORT, INT0 | INT1 | INT2,
	  { AF_NETLINK, SOCK_RAW, 12 } },
	{ "socket netlink GENERIC", __NR_socket, EPROTONOSUPPORT, INT2, { AF_NETLINK, SOCK_RAW, 16 } },
	{ "socket netlink AUDIT", __NR_socket, EPROTONOSUPPORT, INT2, { AF_NETLINK, SOCK_RAW, 9 } },
	{ "socket netlink XFRM", __NR_socket, EPROTONOSUPPORT, INT2, { AF_NETLINK, SOCK_RAW, 6 } },
	{ "socket netlink SOCK_DIAG", __NR_socket, EPROTONOSUPPORT, INT2, { AF_NETLINK, SOCK_RAW, 4 } },
	{ "socketpair INET", __NR_socketpair, EAFNOSUPPORT, INT0, { AF_INET, SOCK_STREAM, 0, BAD_PTR } },
	{ "socketpair TIPC", __NR_socketpair, EAFNOSUPPORT, INT0, { AF_TIPC, SOCK_STREAM, 0, BAD_PTR } },
	{ "socket INET", __NR_socket, EACCES, NONE | INT0 | INT1, { AF_INET, SOCK_STREAM, 0 } },
	{ "socket INET DGRAM", __NR_socket, EACCES, NONE | INT0 | INT1, { AF_INET, SOCK_DGRAM, 0 } },
	{ "socket INET6", __NR_socket, EACCES, NONE | INT0 | INT1, { AF_INET6, SOCK_STREAM, 0 } },
	{ "socket MPTCP (no network)", __NR_socket, EACCES, NONE | INT2, { AF_INET, SOCK_STREAM, 262 } },
	{ "socket MPTCP", __NR_socket, EPROTONOSUPPORT, NOT_NONE | INT0 | INT1 | INT2,
	  { AF_INET, SOCK_STREAM, 262 } },
	{ "socket MPTCP 6", __NR_socket, EPROTONOSUPPORT, NOT_NONE | INT2, { AF_INET6, SOCK_STREAM, 262 } },
	{ "socket SCTP", __NR_socket, EPROTONOSUPPORT, NOT_NONE | INT2, { AF_INET, SOCK_STREAM, 132 } },
	{ "socket SCTP SEQPACKET", __NR_socket, EPERM, NOT_NONE | INT1, { AF_INET, SOCK_SEQPACKET, 132 } },
	{ "socket UDPLITE", __NR_socket, EPROTONOSUPPORT, NOT_NONE | INT2, { AF_INET, SOCK_DGRAM, 136 } },
	{ "socket RAW", __NR_socket, EPERM, NOT_NONE | INT1, { AF_INET, SOCK_RAW, 1 } },
	{ "socket RAW CLOEXEC", __NR_socket, EPERM, NOT_NONE | INT1,
	  { AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 255 } },
	{ "socket RAW 6", __NR_socket, EPERM, NOT_NONE | INT1, { AF_INET6, SOCK_RAW, 58 } },
	{ "socket DCCP", __NR_socket, EPERM, NOT_NONE | INT1, { AF_INET, 6, 33 } },
	{ "socket SOCK_PACKET", __NR_socket, EPERM, NOT_NONE | INT1, { AF_INET, 10, 0x300 } },
};

/* Each kind of namespace by clone(2): a child that comes to life exits at once. */
static const struct {
	const char *name;
	unsigned long flag;
} namespaces[] = {
	{ "clone NEWUSER", CLONE_NEWUSER }, { "clone NEWNS", CLONE_NEWNS },
	{ "clone NEWNET", CLONE_NEWNET },   { "clone NEWPID", CLONE_NEWPID },
	{ "clone NEWIPC", CLONE_NEWIPC },   { "clone NEWUTS", CLONE_NEWUTS },
	{ "clone NEWCGROUP", CLONE_NEWCGROUP },
};

/* What has to work beside all that. */
static const struct door windows[] = {
	{ "socket UNIX", __NR_socket, 0, INT0, { AF_UNIX, SOCK_STREAM, 0 } },
	{ "socket netlink ROUTE", __NR_socket, 0, INT0 | INT2, { AF_NETLINK, SOCK_RAW, 0 } },
	{ "unshare FILES", __NR_unshare, 0, CHILD, { CLONE_FILES | CLONE_FS } },
	{ "personality query", __NR_personality, 0, INT0, { 0xffffffff } },
	{ "socket INET", __NR_socket, 0, NOT_NONE | INT0 | INT1, { AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 } },
	{ "socket INET6 UDP", __NR_socket, 0, NOT_NONE | INT2, { AF_INET6, SOCK_DGRAM, 17 } },
	{ "ioctl FIONREAD", __NR_ioctl, EBADF, INT1, { NO_FD, 0x541b, BAD_PTR } },
	{ "a filter of its own", __NR_seccomp, EFAULT, PLAIN, { 1, 0, BAD_PTR } },
};

/* --- trying ---------------------------------------------------------------- */

static const char *error_name(int num)
{
	const char *name = num ? strerrorname_np(num) : "success";

	return name ? name : "unknown error";
}

static int call_once(const struct door *d, const unsigned long a[6])
{
	long rc = syscall(d->nr, a[0], a[1], a[2], a[3], a[4], a[5]);

	if (rc < 0)
		return errno;
	if (d->nr == __NR_socket)
		(void)close((int)rc);
	return 0;
}

/* Exit code of a child, or 256 plus the signal that ended it. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int call(const struct door *d, const unsigned long a[6])
{
	pid_t pid;

	if (!(d->how & CHILD))
		return call_once(d, a);
	pid = fork();
	if (pid == 0) {
		(void)setsid(); /* no terminal to lose */
		_exit(call_once(d, a));
	}
	return pid < 0 ? errno : wait_for(pid);
}

static void result(const char *name, const char *variant, int got, int want)
{
	bool ok = got == want;

	if (got >= 256)
		printf("%s%s: signal %d", name, variant, got - 256);
	else
		printf("%s%s: %s", name, variant, error_name(got));
	if (!ok)
		printf(" (OPEN: should be %s)", error_name(want));
	printf("\n");
	open_doors += !ok;
}

static void try_door(const struct door *d)
{
	unsigned long a[6];

	if ((d->how & NONE && has_net) || (d->how & NOT_NONE && !has_net))
		return;
	result(d->name, "", call(d, d->args), d->want);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const variant[] = { " (high half of argument 1)",
						       " (high half of argument 2)",
						       " (high half of argument 3)" };

		if (!(d->how & INT0 << i))
			continue;
		memcpy(a, d->args, sizeof a);
		a[i] |= GARBAGE;
		result(d->name, variant[i], call(d, a), d->want);
	}
}

/* Raw clone without a stack behaves as fork. */
static void try_clone(const char *name, const char *variant, unsigned long flags)
{
	long pid = syscall(__NR_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)wait_for((pid_t)pid);
	result(name, variant, pid < 0 ? errno : 0, EPERM);
}

#ifdef __x86_64__
/* int 0x80 is the 32-bit entry: i386 numbers, 20 is getpid. The filter kills; a kernel without it faults. */
static void try_int80(const char *name, long nr)
{
	pid_t pid = fork();
	int how;

	if (pid == 0) {
		long rc;

		__asm__ volatile("int $0x80" : "=a"(rc) : "a"(nr), "b"(1L), "c"(0L) : "memory", "r8", "r9", "r10", "r11");
		_exit(rc < 0 ? 100 : 0);
	}
	how = wait_for(pid);
	if (how == 256 + SIGSEGV)
		how = 256 + SIGSYS;
	printf("%s: %s\n", name, how == 256 + SIGSYS ? "killed" : "OPEN: should be killed");
	open_doors += how != 256 + SIGSYS;
}
#endif

int main(int argc, char **argv)
{
	if (argc != 2 || (strcmp(argv[1], "none") != 0 && strcmp(argv[1], "loopback") != 0)) {
		(void)fprintf(stderr, "usage: doors none|loopback\n");
		return 2;
	}
	has_net = strcmp(argv[1], "loopback") == 0;
	(void)setvbuf(stdout, NULL, _IONBF, 0); /* children must not print it again */
	for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++)
		try_door(&doors[i]);
	for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
		try_clone(namespaces[i].name, "", namespaces[i].flag);
		try_clone(namespaces[i].name, " (high half of argument 1)", namespaces[i].flag | GARBAGE);
	}
#ifdef __x86_64__
	try_int80("int 0x80 getpid", 20);
	try_int80("int 0x80 socketcall", 102);
	try_int80("int 0x80 io_uring_setup", 425);
#endif
	for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
		try_door(&windows[i]);
	printf("%u open\n", open_doors);
	return open_doors ? 1 : 0;
}
