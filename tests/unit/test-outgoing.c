/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect() to the outside between an app, a child with the filter, and a gateway that is the test's own:
 * at each point at which the app may be gone, interrupted or collected, and the gateway late or lying.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/filter.h"
#include "kern/traps.h"
#include "sup/sup.h"
#include "tap.h"

#define PATIENCE_MS 10000 /* for what has to come */

static struct sup s;
static struct domain *d;
static int gateway; /* the gateway's end */

static struct shared {
	int listener;      /* the filter's, in the app */
	bool go;           /* the app may go on */
	long rc, again;    /* of connect(), or -errno; of what it did then */
	long more[2];      /* of the same connect() after that */
	bool done;
} *shared;

/* --- turns ------------------------------------------------------------------------------------ */

static void tick(struct loop_alarm *a)
{
	loop_set_alarm(&s.loop, a, 10);
}
static struct loop_alarm ticks = { .ring = tick };

/* Serves until it is so; false: it is not so in time. */
static bool serve_until(bool (*is_so)(void))
{
	int64_t end = loop_now() + PATIENCE_MS;
	struct err e;

	while (!is_so() && loop_now() < end)
		if (sup_turn(&s, &e) < 0)
			return false;
	return is_so();
}

static void serve_for(int ms)
{
	int64_t end = loop_now() + ms;
	struct err e;

	while (loop_now() < end)
		(void)sup_turn(&s, &e);
}

static bool is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1;
}

static bool was_asked(void)
{
	return is_ready(gateway, POLLIN);
}

static bool app_is_done(void)
{
	return shared->done;
}

static bool app_has_answer(void)
{
	return shared->rc != 1;
}

/* --- the app ------------------------------------------------------------------------------------ */

static void nothing(int sig)
{
	(void)sig;
}

struct app {
	bool nonblock, timeout;
	bool forked; /* another process has the socket, too */
	bool insists; /* it connects again, and again */
};

static long outcome(long rc)
{
	return rc < 0 ? -errno : rc;
}

/* Connects, waits for its word, asks how it went and sends. */
_Noreturn static void app_main(const struct app *a, const struct bpf_prog *filter, int told)
{
	const struct sigaction act = { .sa_handler = nothing };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = { htonl(0xc0000201) } };
	int fd, error = -1, ms = 4242;
	socklen_t len = sizeof error;
	struct err e;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGUSR1, &act, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_load(filter, 0, &shared->listener, &e) < 0 ||
	    write(told, "", 1) != 1)
		_exit(2);
	fd = socket(AF_INET, SOCK_STREAM | (a->nonblock ? SOCK_NONBLOCK : 0), 0);
	if (a->timeout && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms) < 0)
		_exit(3);
	if (a->forked && fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)pause();
		_exit(0);
	}
	shared->rc = outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
	while (!*(volatile bool *)&shared->go)
		(void)usleep(1000);
	for (int i = 0; a->insists && i < 2; i++)
		shared->more[i] = outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
	shared->again = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
	if (shared->again == 0)
		shared->again = outcome(send(fd, "ping", 4, MSG_NOSIGNAL));
	shared->done = true;
	(void)pause();
	_exit(0);
}

static pid_t start(const struct app *a)
{
	static struct traps traps;
	struct bpf_prog filter = { 0 };
	struct listener *l = NULL;
	struct err e = { .text = "it does not begin" };
	int told[2];
	char c;
	pid_t pid;

	*shared = (struct shared){ .rc = 1, .again = 1 };
	traps_rules(policy_needs(&d->policy), &traps);
	if (pipe2(told, O_CLOEXEC) < 0 || traps_build(&traps, &filter, &e) < 0)
		exit(1);
	pid = fork();
	if (pid == 0)
		app_main(a, &filter, told[1]);
	(void)close(told[1]);
	if (pid < 0 || read(told[0], &c, 1) != 1 ||
	    domain_add_listener(d, procs_getfd(&s.procs, pid, shared->listener), &l, &e) < 0 ||
	    sup_serve_listener(&s, l, &e) < 0) {
		printf("Bail out! the app: %s\n", e.text);
		exit(1);
	}
	(void)close(told[0]);
	bpf_prog_fini(&filter);
	return pid;
}

static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	serve_for(1);
}

/* --- the gateway --------------------------------------------------------------------------------- */

/* What it is asked, after a while. */
static struct gateway_request asked(const char *what)
{
	struct gateway_request r = { 0 };

	TAP_OK(serve_until(was_asked), "%s: the gateway is asked", what);
	TAP_INT(recv(gateway, &r, sizeof r, MSG_DONTWAIT), sizeof r, "%s: in the one form", what);
	return r;
}

/* fd is closed. */
static void answer(const struct gateway_request *r, enum gateway_kind kind, int error, int fd)
{
	struct gateway_answer a = { .kind = (uint8_t)kind, .id = r->id, .error = error, .n = 1, .addresses = { r->addr } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { .align = { CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &a, sizeof a };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	if (fd >= 0) {
		m.msg_control = &ctl;
		m.msg_controllen = sizeof ctl;
	}
	if (sendmsg(gateway, &m, 0) != sizeof a)
		exit(1);
	fd_close(&fd);
}

static int listening(int backlog, struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof *ret;

	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	if (fd < 0 || bind(fd, (struct sockaddr *)ret, len) < 0 || listen(fd, backlog) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret, &len) < 0) {
		perror("Bail out! a server");
		exit(1);
	}
	return fd;
}

/* A connection of the host's, and the server's end of it. */
static int connected(int *ret_server)
{
	struct sockaddr_in at;
	AUTO_FD int l = listening(1, &at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
		exit(1);
	*ret_server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	return fd;
}

static int server; /* an end of the last test's */

static bool server_sees_end(void)
{
	char c;

	return recv(server, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0 || (errno != EAGAIN && is_ready(server, POLLERR | POLLHUP));
}

static bool server_has_bytes(void)
{
	return is_ready(server, POLLIN);
}

static bool nothing_is_held(void)
{
	return d->n_files == 0;
}

/* --- what there is to see -------------------------------------------------------------------------- */

static void says_ping(const char *what)
{
	char buf[8] = "";

	TAP_OK(serve_until(server_has_bytes), "%s: the server hears", what);
	TAP_INT(recv(server, buf, sizeof buf, MSG_DONTWAIT), 4, "%s: all of it", what);
	TAP_STR(buf, "ping", "%s: what was said", what);
}

static void go_on(const char *what)
{
	shared->go = true;
	TAP_OK(serve_until(app_is_done), "%s: the app goes on", what);
	TAP_INT(shared->again, 4, "%s: and sends", what);
	says_ping(what);
}

static void test_plain(bool timeout)
{
	const struct app a = { .timeout = timeout };
	pid_t pid = start(&a);
	struct gateway_request r = asked("plain");

	TAP_INT(r.kind, GATEWAY_CONNECT, "it is asked to connect");
	TAP_INT(r.to, GATEWAY_TO_ADDRESS, "to an address");
	TAP_INT(r.port, 80, "at the port");
	TAP_OK(!r.v6 && r.want_v4 && !r.want_v6 && !r.nonblock && r.local_port == 0, "for an IPv4 socket that waits, from anywhere");
	TAP_INT(r.n_options, timeout, "with the option that was set");
	TAP_OK(!timeout || (r.options[0].level == IPPROTO_TCP && r.options[0].name == TCP_USER_TIMEOUT), "and no other");
	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	TAP_OK(serve_until(app_has_answer), "it has an answer");
	TAP_INT(shared->rc, 0, "which is that it is connected");
	go_on("plain");
	end(pid);
	fd_close(&server);
}

/* While the gateway looks, rows of closed sockets are collected. */
static void test_collected(void)
{
	const struct app a = { .nonblock = false };
	pid_t pid = start(&a);
	struct gateway_request r = asked("collected");

	sup_collect(&s);
	sup_collect_domain(&s, d);
	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	TAP_OK(serve_until(app_has_answer), "an answer, for all that");
	TAP_INT(shared->rc, 0, "it is connected");
	go_on("collected");
	end(pid);
	fd_close(&server);
}

static void test_refused(void)
{
	const struct app a = { .nonblock = false };
	pid_t pid = start(&a);
	struct gateway_request r = asked("refused");

	answer(&r, GATEWAY_FAILED, EHOSTUNREACH, -1);
	TAP_OK(serve_until(app_has_answer), "an answer");
	TAP_INT(shared->rc, -EHOSTUNREACH, "the error is the gateway's");
	end(pid);
}

/* A signal ends its wait; the connection comes afterwards, and is the next call's, however long that takes. */
static void test_interrupted(bool forked, bool insists)
{
	const struct app a = { .forked = forked, .insists = insists };
	pid_t pid = start(&a);
	struct gateway_request r = asked("interrupted");

	(void)kill(pid, SIGUSR1);
	TAP_OK(serve_until(app_has_answer), "a signal ends its wait");
	TAP_INT(shared->rc, -EINTR, "as on any Linux");
	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	serve_for(1500);
	TAP_OK(!server_sees_end(), "the server has it still");
	go_on("interrupted");
	TAP_INT(shared->more[0], 0, "connect() says it once");
	TAP_INT(shared->more[1], insists ? -EISCONN : 0, "and then that it has");
	end(pid);
	fd_close(&server);
}

/* The same, and the server has gone before anybody was told that it was there. */
static void test_interrupted_reset(void)
{
	const struct linger none = { .l_onoff = 1 };
	const struct app a = { .insists = true };
	pid_t pid = start(&a);
	struct gateway_request r = asked("reset");

	(void)kill(pid, SIGUSR1);
	TAP_OK(serve_until(app_has_answer), "a signal ends its wait");
	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	(void)setsockopt(server, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	fd_close(&server);
	shared->go = true;
	TAP_OK(serve_until(app_is_done), "the app goes on");
	TAP_INT(shared->more[0], -ECONNRESET, "and hears what became of it");
	end(pid);
}

/* Nobody is there to take it, and the server is not to be left with it. */
static void test_killed(void)
{
	const struct app a = { .nonblock = false };
	pid_t pid = start(&a);
	struct gateway_request r = asked("killed");

	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	TAP_OK(serve_until(server_sees_end), "the server sees the end of a connection whose app was killed");
	fd_close(&server);
	TAP_OK(serve_until(nothing_is_held), "and nothing of it is held");
}

/* It says that there is a connection where there is none yet; whoever believes it waits. */
static void test_lie(void)
{
	const struct app a = { .nonblock = false };
	struct sockaddr_in at;
	AUTO_FD int l = listening(0, &at);
	int fds[8], fd = -1;
	int64_t before;
	pid_t pid = start(&a);
	struct gateway_request r = asked("a lie");

	TAP_OK(l >= 0, "a server with a short queue");
	/* The queue is full, and what comes is dropped. */
	for (unsigned i = 0; i < 8; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fds[i], (struct sockaddr *)&at, sizeof at);
	}
	fd = fcntl(fds[7], F_DUPFD_CLOEXEC, 0);
	TAP_OK(!is_ready(fd, POLLOUT), "a socket that does not get through");
	before = loop_now();
	answer(&r, GATEWAY_CONNECTED, 0, fd);
	serve_for(50);
	/* Who waited would do so for minutes. */
	TAP_OK(loop_now() - before < PATIENCE_MS, "the supervisor does not wait for it (%d ms)", (int)(loop_now() - before));
	end(pid);
	for (unsigned i = 0; i < 8; i++)
		fd_close(&fds[i]);
}

/* An app that does not wait hears at once; the connection comes later, and its next call brings it. */
static void test_nonblocking(void)
{
	const struct app a = { .nonblock = true };
	pid_t pid = start(&a);
	struct gateway_request r = asked("nonblocking");

	TAP_INT(r.nonblock, 1, "the gateway is to answer at once");
	answer(&r, GATEWAY_RACING, 0, -1);
	TAP_OK(serve_until(app_has_answer), "the app has its answer before there is a connection");
	TAP_INT(shared->rc, -EINPROGRESS, "in progress");
	sup_collect(&s);
	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	serve_for(5);
	go_on("nonblocking");
	end(pid);
	fd_close(&server);
}

static const char with_outside[] = "{\"version\": 1, \"domain\": \"app\", \"net\": {\"rules\": [{\"allow\": \"connect\", "
				   "\"to\": \"192.0.2.1:80\"}]}}";
static const char without_outside[] = "{\"version\": 1, \"domain\": \"app\", \"net\": {\"rules\": []}}";

static bool load(struct policy *p, const char *text)
{
	char path[] = "/tmp/test-outgoing-XXXXXX";
	AUTO_FD int fd = mkstemp(path);
	struct err e;
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
		  policy_load(p, AT_FDCWD, path, NULL, &e) == 0;

	(void)unlink(path);
	return ok;
}

/* A policy without a way out is put in force. The filter is as it was, and what it traps is answered. */
static void test_policy_gone(void)
{
	const struct app a = { .nonblock = false };
	const struct policy before = d->policy;
	struct policy none;
	pid_t pid = start(&a);
	struct gateway_request r = asked("a policy that is gone");

	answer(&r, GATEWAY_CONNECTED, 0, connected(&server));
	TAP_OK(serve_until(app_has_answer) && shared->rc == 0, "it is connected");
	if (!load(&none, without_outside))
		exit(1);
	d->policy = none;
	go_on("a policy that is gone"); /* SO_ERROR among it */
	d->policy = before;
	policy_fini(&none);
	end(pid);
	fd_close(&server);
}

/* --- the whole -------------------------------------------------------------------------------------- */

/* The domain has a listener of its own for as long as it is served: of a child that does nothing. */
static pid_t keep(struct policy *p)
{
	static struct traps traps;
	struct bpf_prog filter = { 0 };
	struct err e = { .text = "its filter" };
	int told[2], ends[2];
	char c;
	pid_t pid;

	traps_rules(policy_needs(p), &traps);
	if (pipe2(told, O_CLOEXEC) < 0 || traps_build(&traps, &filter, &e) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_load(&filter, 0, &shared->listener, &e) == 0 &&
		    write(told[1], "", 1) == 1)
			(void)pause();
		_exit(0);
	}
	(void)close(told[1]);
	if (pid < 0 || read(told[0], &c, 1) != 1 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
	    domain_new(&s, "app", p, procs_getfd(&s.procs, pid, shared->listener), &d, &e) < 0 ||
	    gateway_init(&d->gateway, &s, ends[0]) < 0) {
		printf("Bail out! the domain: %s\n", e.text);
		exit(1);
	}
	(void)close(told[0]);
	bpf_prog_fini(&filter);
	gateway = ends[1];
	sup_add(&s, d);
	if (sup_serve(&s, d, &e) < 0)
		exit(1);
	return pid;
}

int main(void)
{
	struct policy p;
	struct err e;
	pid_t keeper;

	if (unshare(CLONE_NEWUSER) < 0 && geteuid() != 0) {
		printf("1..0 # SKIP no user namespaces here\n");
		return 0;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !load(&p, with_outside))
		return 1;
	if (sup_init(&s, &e) < 0) {
		printf("1..0 # SKIP %s\n", e.text);
		return 0;
	}
	tick(&ticks);
	keeper = keep(&p);
	test_plain(false);
	test_plain(true);
	test_plain(false);
	test_collected();
	test_refused();
	test_interrupted(false, false);
	test_interrupted(true, false);
	test_interrupted(false, true);
	test_interrupted(true, true);
	test_interrupted_reset();
	test_nonblocking();
	test_lie();
	test_killed();
	test_policy_gone();
	end(keeper);
	loop_clear_alarm(&ticks);
	sup_fini(&s);
	(void)close(gateway);
	return tap_done();
}
