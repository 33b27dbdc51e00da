/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of trapped calls, as a filter under the default profile, and the
 * kernel facilities that answer a trapped call, on a child that makes some.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "bpf_sim.h"
#include "kern/filter.h"
#include "kern/guestmem.h"
#include "kern/notify.h"
#include "kern/procs.h"
#include "kern/profile.h"
#include "kern/traps.h"
#include "model/policy.h"
#include "tap.h"

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

#define REFUSED(num) (SECCOMP_RET_ERRNO | (num))
#define HIGH (UINT64_C(0x12345678) << 32) /* the kernel ignores it in an int */

static struct traps traps;
static struct bpf_prog prog;

static uint32_t verdict(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = ARCH, .args = { a0, a1, a2, a3 } };

	return bpf_sim_run(prog.v, prog.n, &d, NULL);
}

static uint32_t verdict6(uint32_t nr, uint64_t a3, uint64_t a5)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = ARCH, .args = { [3] = a3, [5] = a5 } };

	return bpf_sim_run(prog.v, prog.n, &d, NULL);
}

static void build(unsigned needs)
{
	const struct profile_params params = { .net = PROFILE_NET_NONE,
					       .extra = traps.rules,
					       .n_extra = 0 };
	struct profile_params with = params;
	struct err e = { 0 };

	traps_rules(needs, &traps);
	with.extra = traps.rules;
	with.n_extra = traps.n;
	TAP_INT(profile_default_build(&with, &prog, &e), 0, "the filter compiles: %s", e.text);
	TAP_OK(!bpf_sim_check(prog.v, prog.n), "and the kernel takes it");
	printf("# %zu rules, %u instructions\n", traps.n, prog.n);
}

static void test_calls(void)
{
	static const uint32_t always[] = { __NR_bind,	     __NR_listen,      __NR_accept, __NR_accept4,
					   __NR_connect,     __NR_getsockname, __NR_getpeername };
	static const uint32_t never[] = { __NR_read,	 __NR_write,	__NR_close,   __NR_recvfrom,
					  __NR_recvmsg,	 __NR_recvmmsg, __NR_shutdown, __NR_ppoll,
					  __NR_epoll_ctl, __NR_sendfile, __NR_splice,  __NR_dup };

	unsigned steps;

	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		TAP_INT(verdict(always[i], 0, 0, 0, 0), SECCOMP_RET_USER_NOTIF, "call %u is trapped",
			always[i]);
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		TAP_OK(bpf_sim_const_allow(prog.v, prog.n, ARCH, never[i], &steps),
		       "call %u passes without a run of the filter", never[i]);
	TAP_INT(verdict(__NR_socket, AF_INET, SOCK_STREAM, 0, 0), SECCOMP_RET_USER_NOTIF, "IPv4 stream");
	TAP_INT(verdict(__NR_socket, HIGH | AF_INET6, HIGH | SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0),
		SECCOMP_RET_USER_NOTIF, "IPv6 stream, flags, high bits");
	TAP_INT(verdict(__NR_socket, AF_INET, SOCK_STREAM, IPPROTO_MPTCP, 0), SECCOMP_RET_USER_NOTIF,
		"MPTCP is never the kernel's");
	TAP_INT(verdict(__NR_socket, AF_INET, SOCK_DGRAM, 0, 0), SECCOMP_RET_ALLOW, "UDP");
	TAP_INT(verdict(__NR_socket, HIGH | AF_INET6, HIGH | SOCK_DGRAM | SOCK_CLOEXEC, HIGH | IPPROTO_UDP, 0),
		SECCOMP_RET_ALLOW, "UDP over IPv6, high bits");
	TAP_INT(verdict(__NR_socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP, 0), REFUSED(EACCES), "ping");
	TAP_INT(verdict(__NR_socket, AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, 0), REFUSED(EACCES), "UDP-Lite");
	TAP_INT(verdict(__NR_socket, AF_INET6, SOCK_RAW, 0, 0), REFUSED(EACCES), "raw");
	TAP_INT(verdict(__NR_socket, AF_UNIX, SOCK_STREAM, 0, 0), SECCOMP_RET_ALLOW, "AF_UNIX");
	TAP_INT(verdict(__NR_socket, AF_PACKET, SOCK_RAW, 0, 0), REFUSED(EAFNOSUPPORT), "AF_PACKET");
	TAP_INT(verdict(__NR_sendto, 0, 0, 0, HIGH | MSG_FASTOPEN | MSG_NOSIGNAL), REFUSED(EOPNOTSUPP),
		"sendto, fast open");
	TAP_INT(verdict(__NR_sendto, 0, 0, 0, MSG_NOSIGNAL), SECCOMP_RET_ALLOW, "sendto");
	TAP_INT(verdict(__NR_sendmsg, 0, 0, MSG_FASTOPEN, 0), REFUSED(EOPNOTSUPP), "sendmsg, fast open");
	TAP_INT(verdict(__NR_sendmmsg, 0, 0, 0, MSG_FASTOPEN), REFUSED(EOPNOTSUPP), "sendmmsg, fast open");
	TAP_INT(verdict(__NR_ioctl, 0, 0x894c, 0, 0), REFUSED(ENOTTY), "SIOCGSKNS");
	TAP_INT(verdict(__NR_ioctl, 0, HIGH | 0x8914, 0, 0), REFUSED(ENOTTY), "SIOCSIFFLAGS");
	TAP_INT(verdict(__NR_ioctl, 0, 0x8912, 0, 0), SECCOMP_RET_ALLOW, "SIOCGIFCONF");
	TAP_INT(verdict(__NR_ioctl, 0, 0x541b, 0, 0), SECCOMP_RET_ALLOW, "FIONREAD");
	TAP_INT(verdict(__NR_ioctl, 0, 0x5412, 0, 0), REFUSED(EPERM), "the profile still shuts TIOCSTI");
}

/* The filter says of every option what the table's look-up says. */
static void test_options(unsigned needs)
{
	static const int levels[] = { SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_IPV6, 270, 255, 0x7fff };
	static const uint32_t as[] = { [OPTION_SHUT] = REFUSED(ENOPROTOOPT),
				       [OPTION_NATIVE] = SECCOMP_RET_ALLOW,
				       [OPTION_TRAPPED] = SECCOMP_RET_USER_NOTIF };
	unsigned open = 0, wrong = 0;

	for (size_t l = 0; l < sizeof levels / sizeof *levels; l++)
		for (unsigned o = 0; o < 300; o++)
			for (int set = 0; set < 2; set++) {
				enum option_use use = syscalls_option(needs, set, levels[l], (int)o);

				open += use != OPTION_SHUT;
				wrong += verdict(set ? __NR_setsockopt : __NR_getsockopt, 0,
						 HIGH | (unsigned)levels[l], HIGH | o, 0) != as[use];
			}
	TAP_INT(wrong, 0, "filter and table agree");
	TAP_OK(open > 60 && open < 160, "%u of 4200 are open", open);
	TAP_INT(syscalls_option(0, true, IPPROTO_IPV6, IPV6_RTHDR), OPTION_SHUT, "IPV6_RTHDR");
	TAP_INT(syscalls_option(0, true, IPPROTO_IPV6, 6), OPTION_SHUT, "IPV6_2292PKTOPTIONS");
	TAP_INT(syscalls_option(0, true, IPPROTO_IPV6, 1), OPTION_SHUT, "IPV6_ADDRFORM");
	TAP_INT(syscalls_option(0, true, SOL_SOCKET, SO_BINDTODEVICE), OPTION_SHUT, "SO_BINDTODEVICE");
	TAP_INT(syscalls_option(0, true, SOL_SOCKET, SO_MARK), OPTION_SHUT, "SO_MARK");
	TAP_INT(syscalls_option(0, false, SOL_SOCKET, 71), OPTION_SHUT, "SO_NETNS_COOKIE");
	TAP_INT(syscalls_option(0, true, SOL_SOCKET, SO_PASSCRED), OPTION_SHUT, "SO_PASSCRED");
	TAP_INT(syscalls_option(0, true, IPPROTO_IP, IP_OPTIONS), OPTION_SHUT, "IP_OPTIONS");
	TAP_INT(syscalls_option(0, true, IPPROTO_IP, IP_TRANSPARENT), OPTION_SHUT, "IP_TRANSPARENT");
	TAP_INT(syscalls_option(0, true, IPPROTO_TCP, TCP_REPAIR), OPTION_SHUT, "TCP_REPAIR");
	TAP_INT(syscalls_option(0, true, IPPROTO_TCP, TCP_ULP), OPTION_SHUT, "TCP_ULP");
	TAP_INT(syscalls_option(0, true, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), OPTION_SHUT, "fast open");
	TAP_INT(syscalls_option(0, true, IPPROTO_TCP, TCP_MD5SIG), OPTION_SHUT, "TCP_MD5SIG");
	TAP_INT(syscalls_option(0, false, SOL_SOCKET, SO_DOMAIN), OPTION_TRAPPED, "SO_DOMAIN");
	TAP_INT(syscalls_option(0, true, SOL_SOCKET, SO_DOMAIN), OPTION_SHUT, "not to be set");
}

/* What is trapped or refused where streams are wires. */
static void test_wires(void)
{
	unsigned steps;

	TAP_INT(verdict(__NR_shutdown, 0, 0, 0, 0), SECCOMP_RET_USER_NOTIF, "shutdown");
	TAP_INT(verdict(__NR_recvfrom, 0, 0, 0, MSG_ERRQUEUE | MSG_DONTWAIT), REFUSED(EAGAIN), "recvfrom, error queue");
	TAP_INT(verdict(__NR_recvmsg, 0, 0, HIGH | MSG_ERRQUEUE, 0), REFUSED(EAGAIN), "recvmsg, error queue");
	TAP_INT(verdict(__NR_recvmmsg, 0, 0, 0, MSG_ERRQUEUE), REFUSED(EAGAIN), "recvmmsg, error queue");
	TAP_INT(verdict(__NR_recvmsg, 0, 0, MSG_DONTWAIT, 0), SECCOMP_RET_ALLOW, "recvmsg");
	TAP_INT(verdict6(__NR_sendto, MSG_NOSIGNAL, 16), SECCOMP_RET_USER_NOTIF, "sendto with an address");
	TAP_INT(verdict6(__NR_sendto, MSG_NOSIGNAL, HIGH), SECCOMP_RET_ALLOW, "sendto without");
	TAP_INT(verdict6(__NR_sendto, MSG_FASTOPEN, 16), REFUSED(EOPNOTSUPP), "sendto, fast open");
	TAP_OK(bpf_sim_const_allow(prog.v, prog.n, ARCH, __NR_read, &steps) &&
		       bpf_sim_const_allow(prog.v, prog.n, ARCH, __NR_write, &steps) &&
		       bpf_sim_const_allow(prog.v, prog.n, ARCH, __NR_epoll_pwait, &steps),
	       "what carries the bytes passes without a run of the filter");
	TAP_INT(syscalls_option(POLICY_NEEDS_WIRE, true, IPPROTO_TCP, TCP_NODELAY), OPTION_TRAPPED, "TCP_NODELAY");
	TAP_INT(syscalls_option(0, true, IPPROTO_TCP, TCP_NODELAY), OPTION_NATIVE, "which a TCP socket knows itself");
	TAP_INT(syscalls_option(POLICY_NEEDS_WIRE, true, SOL_SOCKET, SO_PASSRIGHTS), OPTION_SHUT, "SO_PASSRIGHTS");
}

static void test_table(void)
{
	for (int t = 0; t < TRAP_COUNT; t++) {
		const struct trap_info *i = trap_info((enum trap)t);

		TAP_INT(trap_find(i->nr), t, "%s is found by its number", i->name);
	}
	TAP_INT(trap_find(__NR_read), -1, "read is none");
}

/* --- a child that is served -------------------------------------------------- */

static struct sockaddr_in6 secret = { .sin6_family = AF_INET6, .sin6_port = 0x1234 };

static void *in_thread(void *arg)
{
	int *fd = arg;

	/* A table of its own: the same number means another file here. */
	if (unshare(CLONE_FILES) < 0 || dup2(fd[1], 40) < 0)
		return NULL;
	fd[0] = getpeername(40, NULL, NULL) < 0 ? errno : -1;
	return NULL;
}

static void child(int sock)
{
	int listener = -1, fds[2], p[2];
	pthread_t t;
	char kind;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || pipe(p) < 0 || dup2(p[0], 40) < 0 ||
	    filter_load(&prog, 0, &listener, NULL) < 0 || fd_send(sock, 'l', &listener, 1) < 0)
		_exit(10);
	(void)close(listener);
	if (bind(40, (void *)&secret, sizeof secret) != -1 || errno != EADDRINUSE)
		_exit(11);
	if (secret.sin6_port != 0x4321)
		_exit(12);
	if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0)
		_exit(13);
	if (connect(99, NULL, 0) != -1 || errno != EBADF)
		_exit(14);
	fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (pthread_create(&t, NULL, in_thread, fds) != 0 || pthread_join(t, NULL) != 0)
		_exit(15);
	if (fds[0] != ENOTCONN || fd_recv(sock, &kind, NULL, 0) < 0)
		_exit(16);
	if (getsockname(40, NULL, NULL) != -1 || errno != ENOTSOCK) /* continued: the kernel's answer */
		_exit(17);
	_exit(0);
}

static bool next_call(struct notify *n, struct seccomp_notif *q)
{
	struct pollfd p = { .fd = n->fd, .events = POLLIN };

	return poll(&p, 1, 10000) == 1 && notify_receive(n, q) == 0;
}

static void serve(struct notify *n, int sock)
{
	struct seccomp_notif q = { 0 };
	struct sockaddr_in6 copy = { 0 };
	static struct procs procs;
	int fd, null;
	char path[64] = "";

	procs_init(&procs);
	TAP_OK(next_call(n, &q) && trap_find((uint32_t)q.data.nr) == TRAP_BIND, "bind comes");
	TAP_INT(guestmem_read((pid_t)q.pid, q.data.args[1], &copy, sizeof copy), 0, "its address is read");
	TAP_INT(copy.sin6_port, 0x1234, "rightly");
	TAP_INT(guestmem_read((pid_t)q.pid, 0, &copy, sizeof copy), -EFAULT, "address 0 is not");
	TAP_INT(guestmem_read((pid_t)q.pid, q.data.args[1], &copy, GUESTMEM_MAX + 1), -EFAULT, "nor too much");
	TAP_INT(guestmem_read((pid_t)q.pid, UINT64_MAX - 2, &copy, 16), -EFAULT, "nor round the end");
	copy.sin6_port = 0x4321;
	TAP_INT(guestmem_write((pid_t)q.pid, q.data.args[1], &copy, sizeof copy), 0, "written back");
	TAP_INT(guestmem_write((pid_t)q.pid, 1, &copy, 16), -EFAULT, "not to address 1");
	fd = procs_getfd(&procs, (pid_t)q.pid, 40);
	TAP_OK(fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY, "its descriptor, a copy");
	(void)close(fd);
	TAP_INT(procs_getfd(&procs, (pid_t)q.pid, 99), -EBADF, "one that is not there");
	TAP_INT(procs_getfd(&procs, (pid_t)q.pid, -5), -EBADF, "one that cannot be");
	TAP_OK(notify_valid(n, q.id) && !notify_valid(n, q.id + 1), "the call still waits");
	TAP_INT(notify_reply(n, q.id, 7, EADDRINUSE), 0, "answered");
	fd = notify_reply(n, q.id, 7, 0);
	TAP_OK(fd == -ENOENT || fd == -EINPROGRESS, "not twice (%d)", fd);

	TAP_OK(next_call(n, &q) && trap_find((uint32_t)q.data.nr) == TRAP_SOCKET, "socket comes");
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	TAP_OK(notify_reply_fd(n, q.id, null, true) >= 0, "a descriptor as the answer");
	(void)close(null);

	TAP_OK(next_call(n, &q) && trap_find((uint32_t)q.data.nr) == TRAP_CONNECT, "connect comes");
	TAP_INT(notify_reply(n, q.id, 0, EBADF), 0, "an error as the answer");

	TAP_OK(next_call(n, &q) && trap_find((uint32_t)q.data.nr) == TRAP_GETPEERNAME, "a thread calls");
	fd = procs_getfd(&procs, (pid_t)q.pid, 40);
	if (fd >= 0) {
		char link[32];

		(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		(void)!readlink(link, path, sizeof path - 1);
		TAP_STR(path, "/dev/null", "the thread's own table counts");
		(void)close(fd);
	} else {
		TAP_INT(fd, -EOPNOTSUPP, "or it is refused (kernels before 6.9)");
	}
	(void)notify_reply(n, q.id, 0, ENOTCONN);
	(void)fd_send(sock, 'g', NULL, 0);
	TAP_OK(next_call(n, &q) && trap_find((uint32_t)q.data.nr) == TRAP_GETSOCKNAME, "getsockname comes");
	TAP_INT(notify_continue(n, q.id), 0, "let through");
	procs_fini(&procs);
}

static void test_live(void)
{
	struct notify n = { .fd = -1 };
	struct err e = { 0 };
	int sock[2], fd = -1, status = -1;
	struct pollfd p;
	char kind;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(sock[1]);
	(void)close(sock[1]);
	TAP_INT(fd_recv(sock[0], &kind, &fd, 1), 1, "the listener arrives");
	TAP_INT(notify_init(&n, sock[0], &e), -EINVAL, "a socket is no listener");
	if (TAP_OK(notify_init(&n, fd, &e) == 0, "the listener is one: %s", e.text))
		serve(&n, sock[0]);
	(void)waitpid(pid, &status, 0);
	TAP_INT(status, 0, "the child saw what it should");
	p = (struct pollfd){ .fd = n.fd, .events = POLLIN };
	TAP_OK(poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP), "the listener says that nobody is left");
	notify_fini(&n);
	(void)close(sock[0]);
}

int main(void)
{
	build(POLICY_NEEDS_WIRE);
	test_wires();
	test_options(POLICY_NEEDS_WIRE);
	bpf_prog_fini(&prog);
	build(0);
	test_calls();
	test_options(0);
	test_table();
	test_live();
	bpf_prog_fini(&prog);
	return tap_done();
}
