/* SPDX-License-Identifier: Apache-2.0 */
/* Relays between two sockets, and which files are open still (kern/alive.h). */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/alive.h"
#include "sup/factory_impl.h"
#include "sup/scribe.h"
#include "sup/sup.h"
#include "hello.h"
#include "tap.h"

static struct sup sup;

/* The app's end and the server's; what the relay has is in between. */
struct scene {
	int app, server;
	struct relay *relay;
	int ended;
	bool used_up;
	enum hello hello; /* that was asked about; HELLO_MORE: none */
};

static bool is_web(void *ctx, enum hello h, const char *name)
{
	struct scene *s = ctx;

	s->hello = h;
	return h == HELLO_NAME && strcmp(name, "web.example.com") == 0;
}

static void ended(void *ctx)
{
	struct scene *s = ctx;

	s->ended++;
	s->used_up = relay_is_used_up(s->relay);
	relay_free(s->relay);
	s->relay = NULL;
}

static void begin(struct scene *s, const struct relay_terms *limits)
{
	int near[2], far[2];

	*s = (struct scene){ .app = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, near) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, far) < 0)
		return;
	s->app = near[0];
	s->server = far[0];
	s->relay = relay_new(&sup, &near[1], &far[1], limits, ended, s);
	TAP_OK(s->relay && near[1] == -1 && far[1] == -1, "both sockets are taken");
}

static void finish(struct scene *s)
{
	if (s->relay)
		relay_free(s->relay);
	(void)close(s->app);
	(void)close(s->server);
}

static const struct tape *recorded; /* what is awaited, too */

static bool is_recording(void)
{
	return recorded && !recorded->error && recorded->done < recorded->len;
}

/* Turns of the loop while there is something to do, at most for so long. */
static void turn(int ms)
{
	int64_t until = loop_now() + ms;

	do {
		(void)loop_turn(&sup.loop, 1);
		if (is_recording() && loop_now() < until + 10000)
			until = loop_now() + ms;
	} while (loop_now() < until);
	/* One turn's work may be another's beginning, and the machine may have stood still in between. */
	for (int i = 0; i < 8; i++)
		(void)loop_turn(&sup.loop, 0);
}

/* What is wanted, when it comes: on a busy machine packets are put off. 0: the end. */
static ssize_t hear(int fd, void *buf, size_t size, int want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t until = loop_now() + 10000;
	int n = 0;

	while (loop_now() < until && (want ? ioctl(fd, FIONREAD, &n) < 0 || n < want : poll(&p, 1, 0) == 0))
		turn(1);
	return read(fd, buf, size);
}

/* As much as goes through in that time. */
static size_t push(const struct scene *s, size_t most, int ms)
{
	static char buf[65536];
	int64_t until = loop_now() + ms;
	size_t sent = 0, got = 0;

	while (loop_now() < until && got < most) {
		ssize_t n = sent < most ? send(s->app, buf, most - sent < sizeof buf ? most - sent : sizeof buf, MSG_NOSIGNAL) : 0;

		sent += n > 0 ? (size_t)n : 0;
		(void)loop_turn(&sup.loop, 1);
		while ((n = recv(s->server, buf, sizeof buf, 0)) > 0)
			got += (size_t)n;
	}
	return got;
}

static void test_bytes(void)
{
	const struct relay_terms none = { 0 };
	struct scene s;
	char buf[16] = "";

	begin(&s, &none);
	TAP_INT(write(s.app, "there", 5), 5, "the app writes");
	TAP_INT(write(s.server, "back", 4), 4, "so does the server");
	turn(5);
	TAP_INT(hear(s.server, buf, sizeof buf, 5), 5, "it comes there");
	TAP_OK(memcmp(buf, "there", 5) == 0, "as it was");
	TAP_INT(hear(s.app, buf, sizeof buf, 4), 4, "and back");
	TAP_INT(push(&s, 10 << 20, 20000), 10 << 20, "ten megabytes");

	TAP_INT(shutdown(s.app, SHUT_WR), 0, "the app ends sending");
	turn(5);
	TAP_INT(hear(s.server, buf, sizeof buf, 0), 0, "the server sees that");
	TAP_INT(s.ended, 0, "which is not the end");
	TAP_INT(write(s.server, "last", 4), 4, "it may go on");
	turn(5);
	TAP_INT(hear(s.app, buf, sizeof buf, 4), 4, "and is heard");
	TAP_INT(shutdown(s.server, SHUT_WR), 0, "it ends, too");
	turn(5);
	TAP_INT(hear(s.app, buf, sizeof buf, 0), 0, "the app sees that");
	TAP_INT(s.ended, 1, "now it is over");
	finish(&s);
}

/* Who does not read is not sent for: what is in between stays small, and nothing is lost. */
static void test_pressure(void)
{
	static char buf[65536];
	const struct relay_terms none = { 0 };
	size_t sent = 0, got = 0;
	struct scene s;
	ssize_t n;

	begin(&s, &none);
	for (int still = 0; still < 5;) {
		n = send(s.app, buf, sizeof buf, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		still = n > 0 ? 0 : still + 1;
		turn(2);
	}
	TAP_OK(sent > 0 && sent < (4 << 20), "a server that does not read stops the app, after %zu bytes", sent);
	TAP_INT(loop_turn(&sup.loop, 0), 0, "and the loop rests");
	while (got < sent) {
		struct pollfd p = { .fd = s.server, .events = POLLIN };

		if (poll(&p, 1, 0) == 0)
			turn(1);
		n = read(s.server, buf, sizeof buf);
		if (n > 0)
			got += (size_t)n;
		else if (n == 0)
			break;
	}
	TAP_INT(got, sent, "it gets all of it");
	/* With one side gone, the other is told. */
	(void)close(s.server);
	s.server = -1;
	(void)send(s.app, "x", 1, MSG_NOSIGNAL);
	turn(5);
	TAP_INT(s.ended, 1, "the server has gone: so has the relay");
	TAP_OK(send(s.app, "x", 1, MSG_NOSIGNAL) < 0, "and the app sees it");
	finish(&s);
}

static void test_limits(void)
{
	const struct relay_terms slow = { .rate = 1000000, .burst = 50000 }, few = { .max_bytes = 1000 };
	static char buf[2000];
	struct scene s;
	size_t got;

	begin(&s, &slow);
	got = push(&s, 10 << 20, 300);
	for (int i = 0; i < 1000 && got < 50000; i++) /* of a machine that stood still */
		got += push(&s, 10 << 20, 10);
	TAP_OK(got >= 50000 && got <= 50000 + 1000000, "under its rate, with the burst: %zu bytes in 0.3 s", got);
	finish(&s);

	begin(&s, &few);
	TAP_INT(write(s.app, buf, 600), 600, "of a thousand bytes 600");
	turn(5);
	TAP_INT(hear(s.server, buf, sizeof buf, 600), 600, "go through");
	TAP_INT(write(s.server, buf, 400), 400, "400 of the other direction");
	turn(5);
	TAP_INT(hear(s.app, buf, sizeof buf, 400), 400, "do, too");
	TAP_INT(s.ended, 0, "that was all, and no more");
	TAP_INT(write(s.app, "x", 1), 1, "one more");
	turn(5);
	TAP_OK(s.ended == 1 && s.used_up, "ends it, and says why");
	TAP_OK(read(s.server, buf, sizeof buf) <= 0, "that one does not pass");
	finish(&s);
}

/* --- urgent data ---------------------------------------------------------------------------- */

static bool tcp_pair(int ret[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof sa;
	AUTO_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ret[1] = -1;
	if (bind(listener, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(listener, 1) == 0 &&
	    getsockname(listener, (struct sockaddr *)&sa, &len) == 0 && connect(ret[0], (struct sockaddr *)&sa, sizeof sa) == 0)
		ret[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return ret[1] >= 0 && fcntl(ret[0], F_SETFL, O_NONBLOCK) == 0;
}

static void begin_tcp(struct scene *s, const struct relay_terms *limits)
{
	int near[2] = { -1, -1 }, far[2] = { -1, -1 };

	*s = (struct scene){ .app = -1 };
	if (!TAP_OK(tcp_pair(near) && tcp_pair(far), "two connections"))
		return;
	s->app = near[0];
	s->server = far[0];
	s->relay = relay_new(&sup, &near[1], &far[1], limits, ended, s);
}

/* The urgent byte, when it comes. */
static int hear_urgent(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };
	int64_t until = loop_now() + 10000;
	char byte = 0;

	while (loop_now() < until && poll(&p, 1, 0) == 0)
		turn(1);
	return recv(fd, &byte, 1, MSG_OOB) == 1 ? byte : -1;
}

/* Bytes of the stream until there are as many. */
static size_t hear_all(int fd, char *buf, size_t want)
{
	int64_t until = loop_now() + 10000;
	size_t n = 0;

	while (n < want && loop_now() < until) {
		ssize_t got = recv(fd, buf + n, want - n, MSG_DONTWAIT);

		n += got > 0 ? (size_t)got : 0;
		turn(1);
	}
	return n;
}

static void test_urgent_from(struct scene *s, int from, int to)
{
	char buf[16] = "";

	TAP_INT(send(from, "one", 3, 0), 3, "some bytes");
	TAP_INT(send(from, "!", 1, MSG_OOB), 1, "an urgent one");
	TAP_INT(hear_urgent(to), '!', "comes, with nothing behind it");
	TAP_INT(send(from, "two", 3, 0), 3, "more bytes");
	TAP_INT((long)hear_all(to, buf, 6), 6, "come, too");
	TAP_OK(memcmp(buf, "onetwo", 6) == 0, "and the urgent one is not among them");
	TAP_INT(send(from, "!?", 2, MSG_OOB), 2, "an urgent one behind another byte");
	TAP_INT(send(from, "three", 5, 0), 5, "and more");
	TAP_INT((long)hear_all(to, buf, 6), 6, "come");
	TAP_OK(memcmp(buf, "!three", 6) == 0, "as they were");
	TAP_INT(s->ended, 0, "the relay goes on");
}

/* It must neither hold up what comes behind it, nor keep the loop busy, nor be let through beside the limits. */
static void test_urgent(void)
{
	const struct relay_terms none = { 0 }, few = { .max_bytes = 2 };
	int64_t worked;
	struct scene s;
	char buf[16];

	begin_tcp(&s, &none);
	test_urgent_from(&s, s.app, s.server);
	test_urgent_from(&s, s.server, s.app);
	TAP_INT(send(s.app, "!", 1, MSG_OOB), 1, "an urgent one");
	TAP_INT(send(s.app, "last", 4, 0), 4, "and the last");
	(void)shutdown(s.app, SHUT_WR);
	TAP_INT((long)hear_all(s.server, buf, 4), 4, "all of it comes before the end");
	worked = loop_worked();
	turn(200);
	TAP_OK(loop_worked() - worked < 100000, "the loop rests: it worked for %lld us", (long long)(loop_worked() - worked));
	TAP_INT(hear(s.server, buf, sizeof buf, 0), 0, "the end");
	finish(&s);

	begin_tcp(&s, &few);
	for (int i = 0; i < 3; i++) {
		(void)send(s.app, "!", 1, MSG_OOB | MSG_NOSIGNAL);
		if (i < 2)
			TAP_INT(hear_urgent(s.server), '!', "one of two");
	}
	for (int64_t until = loop_now() + 10000; !s.ended && loop_now() < until;)
		turn(1);
	TAP_OK(s.ended == 1 && s.used_up, "urgent ones count, too");
	finish(&s);
}

/* --- recorded -------------------------------------------------------------------------------- */

/* Does what the factory does for records. The last scribe's process. */
static pid_t *scribe_pid;

static void start_factory(void)
{
	static struct factory_request r;
	int pair[2], fds[FACTORY_FDS_MAX], n;

	scribe_pid = mmap(NULL, sizeof *scribe_pid, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (scribe_pid == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	factory_init(&sup.factory);
	sup.factory.fd = pair[0];
	if (fork() != 0) {
		(void)close(pair[1]);
		return;
	}
	(void)close(pair[0]);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	while ((n = factory_receive(pair[1], &r, sizeof r, fds, 0)) == SCRIBE_FDS) {
		pid_t pid = fork();

		if (pid == 0)
			scribe_main(fds);
		__atomic_store_n(scribe_pid, pid, __ATOMIC_RELEASE);
		for (int i = 0; i < n; i++)
			(void)close(fds[i]);
	}
	_exit(0);
}

/* Its state, of proc_pid_stat(5). */
static char scribe_state(void)
{
	AUTO_FREE char *text = NULL;
	char path[32];
	const char *end;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)*scribe_pid);
	if (fd_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return '?';
	end = strrchr(text, ')');
	return (char)(end && end[1] ? end[2] : '?');
}

/* A signal that stops it is seen to have: on another processor it may be at work for a moment more. */
static int signal_scribe(int signal)
{
	int rc = *scribe_pid > 0 ? kill(*scribe_pid, signal) : -1;

	for (int i = 0; rc == 0 && signal == SIGSTOP && scribe_state() != 'T'; i++)
		rc = i < 5000 ? poll(NULL, 0, 1) : -1;
	return rc;
}

static struct tape *record(struct tapes *t, enum policy_record format, uint64_t max, int *fd)
{
	int rc;

	__atomic_store_n(scribe_pid, 0, __ATOMIC_RELEASE);
	rc = tapes_add(t, &sup, "x", format, max, fd);
	for (int i = 0; rc == 0 && i < 5000 && __atomic_load_n(scribe_pid, __ATOMIC_ACQUIRE) == 0; i++)
		(void)poll(NULL, 0, 1); /* the factory is another process */
	recorded = rc == 0 ? tapes_find(t, "x") : NULL;
	turn(1); /* its beginning is written */
	TAP_INT(rc, 0, "a record");
	return tapes_find(t, "x");
}

static void end_record(struct tapes *t, int file)
{
	recorded = NULL;
	tapes_fini(t);
	(void)close(file);
}

/* A file without a name, under a limit of its own. */
static int new_file(void)
{
	char path[] = "/tmp/test-relay.XXXXXX";
	int fd = mkstemp(path);

	(void)unlink(path);
	return fd;
}

static void test_record_raw(void)
{
	struct tapes tapes = { 0 };
	struct relay_terms terms = { 0 };
	int fd = new_file(), file = dup(fd);
	struct stat st;
	struct scene s;
	char buf[64] = "";

	terms.recording.tape = record(&tapes, POLICY_RECORD_RAW, 20, &fd);
	TAP_OK(terms.recording.tape && !tapes_find(&tapes, "y"), "is found by its name");
	begin(&s, &terms);
	(void)!write(s.app, "there", 5);
	turn(5);
	(void)!write(s.server, " and back", 9);
	turn(5);
	TAP_OK(read(s.server, buf, sizeof buf) == 5 && read(s.app, buf, sizeof buf) == 9, "it passes");
	TAP_INT(pread(file, buf, sizeof buf, 0), 14, "and is recorded");
	TAP_OK(memcmp(buf, "there and back", 14) == 0, "as it passed");
	(void)!write(s.app, "too much", 8);
	turn(5);
	TAP_INT(s.ended, 1, "what finds no room ends it");
	TAP_OK(read(s.server, buf, sizeof buf) <= 0, "and does not pass");
	TAP_OK(fstat(file, &st) == 0 && st.st_size == 14, "nor is it in the file");
	finish(&s);
	begin(&s, &terms);
	(void)!write(s.app, "x", 1);
	turn(5);
	TAP_INT(s.ended, 1, "after that nothing finds room");
	finish(&s);
	end_record(&tapes, file);
}

/* The system says no in the middle of a block: the file ends with the one before. */
static void test_record_cut(void)
{
	const struct rlimit small = { 1000, RLIM_INFINITY };
	struct tapes tapes = { 0 };
	struct recording r = { .addr = { addr_v4(10, 0, 0, 1), addr_v4(192, 0, 2, 1) }, .port = { 1, 2 } };
	static uint8_t data[700];
	int fd = new_file(), file = dup(fd);
	struct stat st;

	r.tape = record(&tapes, POLICY_RECORD_PCAPNG, 1 << 20, &fd);
	TAP_INT(recording_begin(&r, "who it is"), 0, "begins");
	turn(1);
	TAP_INT(prlimit(*scribe_pid, RLIMIT_FSIZE, &small, NULL), 0, "a limit");
	TAP_INT(recording_bytes(&r, true, data, sizeof data), 0, "bytes");
	turn(1);
	TAP_INT(r.tape->error, EFBIG, "are kept from the file");
	TAP_INT(fstat(file, &st), 0, "the file");
	TAP_OK((uint64_t)st.st_size == r.tape->len && st.st_size % 4 == 0 && st.st_size < 1000,
	       "which has whole blocks: %lld bytes", (long long)st.st_size);
	TAP_INT(recording_bytes(&r, true, data, 1), -EFBIG, "and gets nothing more");
	end_record(&tapes, file);
}

/* A file whose system does not write for a while: what it is to have waits, and nothing else does. */
static void test_record_hangs(void)
{
	const struct relay_terms none = { 0 };
	struct tapes tapes = { 0 };
	struct relay_terms terms = { 0 };
	int fd = new_file(), file = dup(fd);
	struct scene held, other;
	char buf[8];
	int64_t began;

	terms.recording.tape = record(&tapes, POLICY_RECORD_RAW, 1 << 20, &fd);
	begin(&held, &terms);
	begin(&other, &none);
	TAP_INT(signal_scribe(SIGSTOP), 0, "its scribe stands still");
	(void)!write(held.app, "there", 5);
	(void)!write(other.app, "there", 5);
	recorded = NULL;
	turn(20);
	TAP_INT(hear(other.server, buf, sizeof buf, 5), 5, "others go on");
	TAP_INT(read(held.server, buf, sizeof buf), -1, "what is not recorded does not pass");
	TAP_INT(loop_turn(&sup.loop, 0), 0, "and the loop rests");
	TAP_INT(signal_scribe(SIGCONT), 0, "it goes on");
	recorded = terms.recording.tape;
	turn(5);
	TAP_OK(read(held.server, buf, sizeof buf) == 5 && memcmp(buf, "there", 5) == 0, "and so do they");
	TAP_INT(signal_scribe(SIGSTOP), 0, "once more");
	(void)!write(held.app, "there", 5);
	recorded = NULL;
	turn(5);
	finish(&held);
	finish(&other);
	began = loop_now();
	tapes_fini(&tapes);
	TAP_OK(loop_now() - began < 5000, "its end is not waited for");
	TAP_INT(signal_scribe(SIGCONT), 0, "it ends");
	(void)close(file);
}

/* A scribe that is killed: what was in its hands does not pass. */
static void test_record_killed(void)
{
	struct tapes tapes = { 0 };
	struct relay_terms terms = { 0 };
	int fd = new_file(), file = dup(fd);
	struct scene s;
	char buf[8];

	terms.recording.tape = record(&tapes, POLICY_RECORD_RAW, 1 << 20, &fd);
	begin(&s, &terms);
	TAP_INT(signal_scribe(SIGSTOP), 0, "its scribe stands still");
	(void)!write(s.app, "there", 5);
	recorded = NULL;
	turn(5);
	TAP_INT(signal_scribe(SIGKILL), 0, "and is killed");
	for (int i = 0; i < 1000 && !s.ended; i++)
		turn(10);
	TAP_INT(s.ended, 1, "the connection ends");
	TAP_INT(terms.recording.tape->error, EIO, "for that");
	TAP_OK(read(s.server, buf, sizeof buf) <= 0, "nothing has passed");
	finish(&s);
	end_record(&tapes, file);
}

/* What a rule refuses for its TLS is not in the record either. */
static void test_record_tls(void)
{
	static struct bytes hello;
	struct tapes tapes = { 0 };
	struct relay_terms terms = { .tls = is_web };
	int fd = new_file(), file = dup(fd);
	struct stat st;
	struct scene s;

	terms.recording.tape = record(&tapes, POLICY_RECORD_RAW, 4 << 20, &fd);
	usual_hello(&hello, "evil.example");
	begin(&s, &terms);
	(void)!write(s.app, hello.v, hello.n);
	turn(5);
	TAP_OK(s.ended == 1 && fstat(file, &st) == 0 && st.st_size == 0, "what does not pass is not recorded");
	finish(&s);
	usual_hello(&hello, "web.example.com");
	begin(&s, &terms);
	(void)!write(s.app, hello.v, hello.n);
	turn(5);
	TAP_OK(fstat(file, &st) == 0 && st.st_size == (off_t)hello.n, "what does is, once");
	TAP_INT(hear(s.server, hello.v, sizeof hello.v, (int)hello.n), st.st_size, "and comes there");
	(void)!write(s.server, "x", 1); /* no TLS: everything passes */
	turn(5);
	TAP_INT(push(&s, 1 << 20, 20000), 1 << 20, "and all that follows");
	finish(&s);
	end_record(&tapes, file);
}

static void test_record_bytes(void)
{
	struct tapes tapes = { 0 };
	struct relay_terms terms = { .max_bytes = 30000 };
	static char buf[65536];
	int fd = new_file(), file = dup(fd);
	struct stat st;
	struct scene s;
	size_t got;

	terms.recording.tape = record(&tapes, POLICY_RECORD_RAW, 1 << 20, &fd);
	begin(&s, &terms);
	got = push(&s, 30000, 5000);
	TAP_INT(got, 30000, "bytes are counted alike where they are looked at");
	(void)!write(s.server, buf, 1);
	turn(5);
	TAP_OK(s.ended == 1 && s.used_up, "one more is one too many");
	TAP_OK(fstat(file, &st) == 0 && st.st_size == 30000, "which is not recorded: %lld", (long long)st.st_size);
	finish(&s);
	end_record(&tapes, file);
}

/* The app resets its connection and is gone, with its domain, before the loop has seen it. */
static void test_record_reset(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct tapes tapes = { 0 };
	struct relay_terms terms = { 0 };
	const struct linger now = { .l_onoff = 1 };
	int listener = socket(AF_INET, SOCK_STREAM, 0), near = -1, far[2] = { -1, -1 }, file = new_file();
	socklen_t n = sizeof to;
	struct scene s = { .app = socket(AF_INET, SOCK_STREAM, 0) };
	uint64_t before;

	TAP_OK(bind(listener, (struct sockaddr *)&to, n) == 0 && listen(listener, 1) == 0 &&
	       getsockname(listener, (struct sockaddr *)&to, &n) == 0 && connect(s.app, (struct sockaddr *)&to, n) == 0 &&
	       (near = accept(listener, NULL, NULL)) >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, far) == 0,
	       "a connection");
	s.server = far[0];
	(void)tapes_add(&tapes, &sup, "x", POLICY_RECORD_PCAPNG, 1 << 20, &file);
	terms.recording = (struct recording){ .tape = tapes_find(&tapes, "x"),
					      .addr = { addr_v4(10, 0, 0, 1), addr_v4(192, 0, 2, 1) }, .port = { 1, 2 } };
	s.relay = relay_new(&sup, &near, &far[1], &terms, ended, &s);
	turn(2);
	before = terms.recording.tape->len;
	(void)setsockopt(s.app, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	(void)close(s.app);
	s.app = -1;
	relay_free(s.relay);
	s.relay = NULL;
	TAP_OK(terms.recording.tape->len > before, "its reset is in the record");
	finish(&s);
	tapes_fini(&tapes);
	(void)close(listener);
}

/* --- behind a ClientHello -------------------------------------------------------------------- */

static const struct relay_terms web = { .tls = is_web }, hasty = { .tls = is_web, .patience = 30 };

/* What the server has got by now. */
static ssize_t at_server(const struct scene *s, void *buf, size_t size)
{
	ssize_t n;

	turn(3);
	n = read(s->server, buf, size);
	return n < 0 ? -errno : n;
}

static void test_tls_passes(void)
{
	static struct bytes hello, got;
	struct scene s;
	char buf[64];
	ssize_t n = -EAGAIN;

	usual_hello(&hello, "web.example.com");
	begin(&s, &web);
	TAP_INT(write(s.server, "220 ", 4), 4, "a server that speaks first");
	for (size_t i = 0; i < hello.n && n == -EAGAIN; i++) {
		n = at_server(&s, got.v, sizeof got.v);
		(void)!write(s.app, hello.v + i, 1);
	}
	TAP_INT(n, -EAGAIN, "hears nothing before the ClientHello is whole");
	TAP_INT(read(s.app, buf, sizeof buf), -1, "and is not heard");
	n = hear(s.server, got.v, sizeof got.v, (int)hello.n);
	TAP_OK(n == (ssize_t)hello.n && memcmp(got.v, hello.v, hello.n) == 0, "then it has all of it, as it was");
	TAP_INT(hear(s.app, buf, sizeof buf, 4), 4, "and is heard, too");
	TAP_INT(push(&s, 3 << 20, 20000), 3 << 20, "three megabytes go through");
	TAP_INT(shutdown(s.app, SHUT_WR), 0, "the app ends sending");
	TAP_INT(at_server(&s, buf, sizeof buf), 0, "which goes across");
	finish(&s);
}

/* Whatever comes: the server gets nothing, and both are gone. */
static void refused(struct scene *s, enum hello h, const char *what)
{
	char buf[64];

	TAP_OK(at_server(s, buf, sizeof buf) <= 0, "%s: nothing passes", what);
	TAP_OK(s->ended == 1 && s->hello == h, "%s: it is over", what);
	finish(s);
}

static void test_tls_refused(void)
{
	static struct bytes hello;
	struct scene s;

	usual_hello(&hello, "evil.example");
	begin(&s, &web);
	(void)!write(s.app, hello.v, hello.n);
	refused(&s, HELLO_NAME, "another name");
	begin(&s, &web);
	(void)!write(s.app, "GET / HTTP/1.0\r\n\r\n", 18);
	refused(&s, HELLO_NOT_TLS, "no TLS");
	begin(&s, &web);
	(void)!write(s.app, hello.v, 50);
	(void)shutdown(s.app, SHUT_WR);
	refused(&s, HELLO_CUT, "an end within it");
	begin(&s, &web);
	(void)shutdown(s.app, SHUT_WR);
	refused(&s, HELLO_MORE, "an end before it");
	begin(&s, &hasty);
	turn(60);
	refused(&s, HELLO_LATE, "none");
	begin(&s, &hasty);
	for (int i = 0; i < 12; i++) {
		(void)send(s.app, hello.v + i, 1, MSG_NOSIGNAL);
		turn(5);
	}
	refused(&s, HELLO_LATE, "one that comes slowly");
}

/* A server that asks for another ClientHello takes the name from that one. */
static void test_tls_again(void)
{
	static struct bytes first, evil, retry;
	struct scene s;
	char buf[64];

	usual_hello(&first, "web.example.com");
	usual_hello(&evil, "evil.example");
	retry_request(&retry);
	begin(&s, &web);
	(void)!write(s.app, first.v, first.n);
	(void)!write(s.app, evil.v, evil.n);
	turn(5);
	TAP_INT(hear(s.server, evil.v, sizeof evil.v, (int)first.n), (ssize_t)first.n, "a second ClientHello waits for the answer to the first");
	usual_hello(&evil, "evil.example");
	(void)!write(s.server, retry.v, retry.n);
	refused(&s, HELLO_NAME, "it names another server");

	begin(&s, &web);
	(void)!write(s.app, first.v, first.n);
	turn(3);
	(void)!write(s.server, retry.v, retry.n);
	turn(3);
	TAP_INT(hear(s.app, evil.v, sizeof evil.v, (int)retry.n), (ssize_t)retry.n, "the app is asked for another");
	(void)!write(s.app, first.v, first.n);
	turn(3);
	TAP_INT(hear(s.server, evil.v, sizeof evil.v, 2 * (int)first.n), (ssize_t)(2 * first.n), "which passes when it is the same");
	TAP_INT(push(&s, 1 << 20, 20000), 1 << 20, "and everything behind it");
	finish(&s);

	begin(&s, &hasty);
	(void)!write(s.app, first.v, first.n);
	turn(50);
	TAP_INT(s.ended, 0, "how long the server takes is its own affair");
	(void)!read(s.server, evil.v, sizeof evil.v);
	(void)!write(s.server, retry.v, retry.n);
	turn(50);
	(void)!read(s.app, buf, sizeof buf);
	refused(&s, HELLO_LATE, "how long the app does is not");
}

static void test_tls_limits(void)
{
	static struct bytes hello;
	const struct relay_terms few = { .tls = is_web, .max_bytes = 100 }, slow = { .tls = is_web, .rate = 4000, .burst = 40 };
	struct scene s;
	char buf[64];
	size_t got = 0;
	ssize_t n;

	usual_hello(&hello, "web.example.com");
	begin(&s, &few);
	(void)!write(s.app, hello.v, hello.n);
	turn(5);
	TAP_OK(s.ended == 1 && s.used_up, "its bytes count");
	finish(&s);
	begin(&s, &slow);
	(void)!write(s.app, hello.v, hello.n);
	for (int i = 0; i < 200 && got < hello.n; i++) {
		n = at_server(&s, buf, sizeof buf);
		got += n > 0 ? (size_t)n : 0;
	}
	TAP_INT(got, hello.n, "and come at the rate of the rest");
	finish(&s);
}

static void test_many(void)
{
	const struct relay_terms none = { 0 };
	static struct scene s[100];
	char c;
	int ok = 0;

	for (int i = 0; i < 100; i++)
		begin(&s[i], &none);
	for (int i = 0; i < 100; i++)
		(void)!write(s[i].app, "x", 1);
	turn(20);
	for (int i = 0; i < 100; i++)
		ok += hear(s[i].server, &c, 1, 1) == 1;
	TAP_INT(ok, 100, "a hundred at once");
	TAP_OK(sup.pipes.n >= 1 && sup.pipes.n <= RELAY_PIPES, "with few pipes: %zu", sup.pipes.n);
	for (int i = 0; i < 100; i++)
		finish(&s[i]);
}

/* --- alive ----------------------------------------------------------------------------------- */

static void count(void *ctx, uint64_t number)
{
	uint64_t *sum = ctx;

	*sum += number;
}

static uint64_t sum_of(const struct alive *a)
{
	uint64_t sum = 0;

	return alive_list(a, count, &sum) < 0 ? UINT64_MAX : sum;
}

static void test_alive(void)
{
	struct alive a;
	int one[2], copy, many[600];

	TAP_INT(alive_init(&a), 0, "alive_init");
	TAP_INT(sum_of(&a), 0, "nothing is known");
	TAP_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, one), 0, "socketpair");
	copy = dup(one[0]);
	TAP_INT(alive_add(&a, one[0], 5), 0, "one is");
	TAP_INT(alive_add(&a, one[0], 5), -EEXIST, "once");
	TAP_INT(sum_of(&a), 5, "it is open");
	(void)close(one[0]);
	TAP_INT(sum_of(&a), 5, "and by its copy");
	(void)close(copy);
	TAP_INT(sum_of(&a), 0, "with the last it is gone");
	TAP_INT(alive_add(&a, one[1], 7), 0, "another");
	alive_remove(&a, one[1]);
	TAP_INT(sum_of(&a), 0, "that is taken out");
	(void)close(one[1]);
	for (int i = 0; i < 600; i++) {
		many[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		(void)alive_add(&a, many[i], 1);
	}
	TAP_INT(sum_of(&a), 600, "more than is read at once");
	for (int i = 0; i < 600; i++)
		(void)close(many[i]);
	TAP_INT(sum_of(&a), 0, "all are gone");
	alive_fini(&a);
}

int main(void)
{
	struct err e = { 0 };

	(void)signal(SIGPIPE, SIG_IGN);
	start_factory();
	TAP_INT(loop_init(&sup.loop, &e), 0, "a loop");
	test_bytes();
	test_pressure();
	test_limits();
	test_urgent();
	test_record_raw();
	test_record_cut();
	test_record_hangs();
	test_record_killed();
	test_record_tls();
	test_record_bytes();
	test_record_reset();
	test_tls_passes();
	test_tls_refused();
	test_tls_again();
	test_tls_limits();
	test_many();
	test_alive();
	relay_pipes_fini(&sup.pipes);
	loop_fini(&sup.loop);
	(void)close(sup.factory.fd);
	while (wait(NULL) > 0)
		;
	return tap_done();
}
