/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi: what <vrun.h> promises of vrun_send_multi(), the same inside vrun and
 * outside. It works with 127.0.0.1 and says "N checks, M failed".
 *
 * multi served: exits with 0 where a supervisor answers the call, else with 1.
 */
#include <vrun.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static int count, failed;
static char data[1 << 20];

static void is(long long got, long long want, const char *what)
{
	count++;
	if (got == want)
		return;
	failed++;
	printf("%s: got %lld, want %lld\n", what, got, want);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listener(struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof *ret;

	*ret = (struct sockaddr_in){ .sin_family = AF_INET };
	(void)inet_pton(AF_INET, "127.0.0.1", &ret->sin_addr);
	if (bind(fd, (struct sockaddr *)ret, sizeof *ret) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret, &len) < 0)
		die("listener");
	return fd;
}

/* A connection: p[0] is who sends. */
static void pair(int p[2])
{
	struct sockaddr_in sa;
	int l = listener(&sa);

	p[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(p[0], (struct sockaddr *)&sa, sizeof sa) < 0)
		die("connect");
	p[1] = accept(l, NULL, NULL);
	if (p[1] < 0)
		die("accept");
	close(l);
}

static void unpair(int p[2])
{
	close(p[0]);
	close(p[1]);
}

static int holds(int fd, const char *want, size_t n)
{
	static char got[sizeof data];
	size_t have = 0;
	ssize_t some;

	while (have < n && (some = recv(fd, got + have, n - have, 0)) > 0)
		have += (size_t)some;
	return have == n && memcmp(got, want, n) == 0 && recv(fd, got, 1, MSG_DONTWAIT) < 0;
}

static struct vrun_send to(int fd)
{
	return (struct vrun_send){ .fd = fd };
}

/* One socket: its result, or the call's -errno. */
static long long one(int fd, struct vrun_data d)
{
	struct vrun_send s = to(fd);
	int64_t result = 12345;

	return vrun_send_multi(&s, 1, &d, &result) < 0 ? -errno : result;
}

static struct vrun_data bytes(const void *memory, size_t n)
{
	return (struct vrun_data){ .memory = memory, .length = n };
}

static struct vrun_data file(int fd, int64_t offset, size_t n)
{
	return (struct vrun_data){ .handle = fd, .offset = offset, .length = n };
}

static void test_many(void)
{
	enum { N = 300 };
	static int p[N][2];
	static struct vrun_send list[N];
	static int64_t results[N];
	struct vrun_data d = bytes(data, 1000);
	int whole = 0, arrived = 0;

	for (int i = 0; i < N; i++) {
		pair(p[i]);
		list[i] = to(p[i][0]);
	}
	is(vrun_send_multi(list, N, &d, results), N, "three hundred sockets take it");
	for (int i = 0; i < N; i++) {
		whole += results[i] == 1000;
		arrived += holds(p[i][1], data, 1000);
	}
	is(whole, N, "all of it");
	is(arrived, N, "and it arrives, once");
	is(vrun_send_multi(list, 0, &d, results), 0, "no socket");
	d.length = 0;
	is(vrun_send_multi(list, 2, &d, results), 2, "no data");
	is(results[1], 0, "is no error");
	for (int i = 0; i < N; i++)
		unpair(p[i]);
}

static void test_handle(void)
{
	int p[2], fd = memfd_create("data", 0), pipes[2], only;

	pair(p);
	if (write(fd, data, 100000) != 100000 || pipe(pipes) < 0)
		die("memfd");
	is(one(p[0], file(fd, 10, 5000)), 5000, "a part of a file");
	is(holds(p[1], data + 10, 5000), 1, "that part");
	is(one(p[0], file(fd, 99990, 5000)), 10, "what is there at its end");
	is(holds(p[1], data + 99990, 10), 1, "no more");
	is(one(p[0], file(fd, 100000, 5000)), 0, "behind its end");
	is(one(p[0], file(fd, -1, 10)), -EINVAL, "before its beginning");
	is(one(p[0], file(pipes[0], 0, 10)), -ESPIPE, "a pipe");
	is(one(p[0], file(p[0], 0, 10)), -ESPIPE, "a socket");
	is(one(p[0], file(-1, 0, 10)), -EBADF, "none");
	only = open("/dev/null", O_WRONLY);
	is(one(p[0], file(only, 0, 10)), -EBADF, "one that cannot be read");
	close(fd);
	is(one(p[0], file(fd, 0, 10)), -EBADF, "a closed one");
	is(holds(p[1], "", 0), 1, "none of these sends");
	close(only);
	close(pipes[0]);
	close(pipes[1]);
	unpair(p);
}

/* Where somebody answers the call, a file in memory is read there. */
static void test_handle_served(void)
{
	int p[2], fd = memfd_create("data", 0);
	struct vrun_data d = file(fd, 1, 100);
	struct vrun_send s;
	int64_t result = 0;
	long rc;

	pair(p);
	s = to(p[0]);
	if (write(fd, data, 1000) != 1000)
		die("memfd");
	rc = vrun_syscall_(VRUN_SEND_MULTI_NR, &s, 1UL, &d, &result, 1UL << 50, 0UL);
	if (rc < 0 && errno == ENOSYS) {
		rc = 1;
		result = send(p[0], data + 1, 100, 0);
	}
	is(rc, 1, "the call alone");
	is(result, 100, "reads the file");
	is(holds(p[1], data + 1, 100), 1, "and sends it");
	close(fd);
	unpair(p);
}

static void test_disk_file(void)
{
	char name[] = "./multi-XXXXXX";
	int p[2], fd = mkstemp(name);

	if (fd < 0) /* nowhere to write here */
		return;
	(void)unlink(name);
	pair(p);
	if (write(fd, data, 9000) != 9000)
		die(name);
	is(one(p[0], file(fd, 0, 9000)), 9000, "a file on disk");
	is(holds(p[1], data, 9000), 1, "arrives");
	/* Not in memory: whoever has to wait for it, it is not the supervisor. */
	(void)fsync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	is(one(p[0], file(fd, 4096, 4000)), 4000, "one that is not in memory");
	is(holds(p[1], data + 4096, 4000), 1, "arrives as well");
	close(fd);
	unpair(p);
}

static void test_mixed(void)
{
	enum { GOOD, MINUS, CLOSED, PIPE, UNIX, FLAG, FAST, FAR, ADDRESS, UNCONNECTED, LISTENER, ODD, N };
	struct vrun_send list[N];
	struct vrun_data d = bytes(data, 10);
	struct sockaddr_in sa;
	int64_t results[N] = { 0 };
	int p[2], q[2], r[2], pipes[2], local[2], loose = socket(AF_INET, SOCK_STREAM, 0), l = listener(&sa);

	pair(p);
	pair(q);
	pair(r);
	if (pipe(pipes) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, local) < 0)
		die("pipe");
	list[GOOD] = to(p[0]);
	list[MINUS] = to(-1);
	list[CLOSED] = to(1000);
	list[PIPE] = to(pipes[1]);
	list[UNIX] = to(local[0]);
	list[FLAG] = list[FAST] = list[FAR] = list[ODD] = to(p[0]);
	list[FLAG].flags = MSG_CONFIRM;
	list[FAST].flags = MSG_FASTOPEN;
	list[FAR].address = (const void *)8;
	list[FAR].address_len = sizeof sa;
	list[ADDRESS] = to(q[0]);
	list[ADDRESS].address = &sa;
	list[ADDRESS].address_len = sizeof sa;
	list[ADDRESS].flags = MSG_MORE | MSG_DONTWAIT;
	list[UNCONNECTED] = to(loose);
	list[LISTENER] = to(l);
	list[ODD].reserved = 1;
	is(vrun_send_multi(list, N, &d, results), 3, "three of them take it");
	is(results[GOOD], 10, "a good one");
	is(results[MINUS], -EBADF, "-1");
	is(results[CLOSED], -EBADF, "a closed one");
	is(results[PIPE], -ENOTSOCK, "a pipe");
	is(results[UNIX], 10, "AF_UNIX");
	is(results[FLAG], -EOPNOTSUPP, "another flag");
	is(results[FAST], -EOPNOTSUPP, "fast open");
	is(results[FAR], -EFAULT, "an address that is not there");
	is(results[ADDRESS], 10, "an address that a stream ignores");
	/* A wire says it in its own way. */
	is(results[UNCONNECTED] == -ENOTCONN ? -EPIPE : results[UNCONNECTED], -EPIPE, "an unconnected one");
	is(results[LISTENER] == -ENOTCONN ? -EPIPE : results[LISTENER], -EPIPE, "a listener");
	is(results[ODD], -EINVAL, "what is reserved");
	is(holds(p[1], data, 10), 1, "the first one's peer has it once");
	is(holds(local[1], data, 10), 1, "that of AF_UNIX too");
	is(one(q[0], bytes(data + 10, 1)), 1, "what MSG_MORE held back");
	is(holds(q[1], data, 11), 1, "goes with the next");
	is(one(r[0], bytes((const void *)8, 10)), -EFAULT, "data that is not there");
	d.reserved = 1;
	is(one(r[0], d), -EINVAL, "what is reserved of the data");
	close(loose);
	close(l);
	close(pipes[0]);
	close(pipes[1]);
	unpair(local);
	unpair(p);
	unpair(q);
	unpair(r);
}

/* Until it takes no more. */
static long long fill(int fd)
{
	long long full = 0, some;

	while ((some = one(fd, bytes(data, 60000))) > 0)
		full += some;
	is(some, -EAGAIN, "a full socket is not waited for");
	return full;
}

static void test_full(void)
{
	struct vrun_send list[2];
	struct vrun_data d = bytes(data, 100);
	int64_t results[2];
	int p[2], q[2], small = 4096;
	long long full = 0, taken = 0, some;

	pair(p);
	pair(q);
	(void)setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	list[0] = to(p[0]);
	list[1] = to(q[0]);
	/* What its peer acknowledges late (after 40 milliseconds), or a probe of its window takes with it (after
	 * 200), makes room again, until the peer has no room any more. Nobody reads there. */
	for (int i = 0; i < 1000; i++) {
		full += fill(p[0]);
		taken = vrun_send_multi(list, 2, &d, results);
		is(results[1], 100, "free");
		is(holds(q[1], data, 100), 1, "it arrives");
		if (results[0] == -EAGAIN)
			break;
	}
	is(results[0], -EAGAIN, "full");
	is(taken, 1, "nor does it keep others");
	close(p[1]);
	while ((some = one(p[0], d)) == -EAGAIN || some > 0)
		(void)poll(&(struct pollfd){ .fd = p[0], .events = POLLOUT }, 1, 1000);
	is(some == -EPIPE || some == -ECONNRESET, 1, "a closed peer is an error and no signal");
	is(one(p[0], d), -EPIPE, "for ever");
	is(full > 0, 1, "something had gone");
	close(p[0]);
	unpair(q);
}

/* A megabyte in as many calls as it takes. */
static void *drain(void *arg)
{
	return (void *)(intptr_t)holds(*(int *)arg, data, sizeof data);
}

static void test_much(void)
{
	enum { N = 4 };
	int p[N][2];
	pthread_t t[N];
	size_t at[N] = { 0 };
	void *well;

	for (int i = 0; i < N; i++) {
		pair(p[i]);
		(void)pthread_create(&t[i], NULL, drain, &p[i][1]);
	}
	for (int i = 0; i < N;) {
		long long n = one(p[i][0], bytes(data + at[i], sizeof data - at[i]));

		if (n == -EAGAIN)
			(void)poll(&(struct pollfd){ .fd = p[i][0], .events = POLLOUT }, 1, 1000);
		else if (n <= 0)
			die("much");
		else
			at[i] += (size_t)n;
		i += at[i] == sizeof data;
	}
	for (int i = 0; i < N; i++) {
		(void)pthread_join(t[i], &well);
		is((intptr_t)well, 1, "a megabyte arrives");
		unpair(p[i]);
	}
}

static void nothing(int sig)
{
	(void)sig;
}

/* Signals all the time: nothing is sent twice or lost, and EINTR is not shown. */
static void test_signals(int flags)
{
	enum { N = 5000 };
	struct sigaction on = { .sa_handler = nothing, .sa_flags = flags };
	const struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
	int p[2], wrong = 0;
	unsigned got;

	pair(p);
	(void)sigaction(SIGALRM, &on, NULL);
	(void)setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; i < N; i++) {
		ssize_t n;

		wrong += one(p[0], bytes(&i, sizeof i)) != sizeof i;
		do
			n = recv(p[1], &got, sizeof got, MSG_WAITALL);
		while (n < 0 && errno == EINTR);
		wrong += n != sizeof got || got != i;
	}
	(void)setitimer(ITIMER_REAL, &never, NULL);
	is(wrong, 0, flags ? "with SA_RESTART" : "without SA_RESTART");
	is(recv(p[1], &got, 1, MSG_DONTWAIT), -1, "nothing more");
	unpair(p);
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		struct vrun_data d = bytes(data, 0);

		return vrun_syscall_(VRUN_SEND_MULTI_NR, NULL, 0, &d, NULL, 0, 0) >= 0 ? 0 : 1;
	}
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 2654435761U >> 13);
	test_many();
	test_handle();
	test_handle_served();
	test_disk_file();
	test_mixed();
	test_full();
	test_much();
	test_signals(SA_RESTART);
	test_signals(0);
	printf("%d checks, %d failed\n", count, failed);
	return failed != 0;
}
