/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor in somebody else's hands gets of vrun-gateway: nothing that the policy does not allow. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate/gate.h"
#include "kern/control.h"
#include "kern/netlink.h"
#include "model/gateway.h"
#include "tap.h"

static const char policy[] =
	"{\"policy\":{\"name\":\"p\",\"text\":\"{\\\"version\\\":1,\\\"net\\\":{\\\"rules\\\":["
	"{\\\"allow\\\":\\\"connect\\\",\\\"to\\\":[\\\"192.0.2.1:80\\\",\\\"192.0.2.1:81\\\",\\\"[2001:db8::]/32:80\\\",\\\"127.0.0.0/8:*\\\","
	"\\\"host:8080\\\",\\\"web.example.com:443\\\"],\\\"forward\\\":\\\"MX\\\"},"
	"{\\\"allow\\\":\\\"connect\\\",\\\"proto\\\":\\\"udp\\\",\\\"to\\\":\\\"192.0.2.1:53\\\"},"
	"{\\\"deny\\\":\\\"connect\\\",\\\"to\\\":\\\"[2001:db8::bad]:*\\\"},"
	"{\\\"allow\\\":\\\"listen\\\",\\\"at\\\":\\\":80\\\",\\\"from\\\":\\\"host\\\",\\\"publish\\\":\\\"127.0.0.1:0\\\"},"
	"{\\\"allow\\\":\\\"listen\\\",\\\"at\\\":\\\":53\\\",\\\"proto\\\":\\\"udp\\\",\\\"from\\\":\\\"host\\\","
	"\\\"publish\\\":\\\"127.0.0.1:0\\\"}]}}\"}}";

static char gateway[4096];

struct peer {
	int sock;
	pid_t pid;
};

static struct peer start(void)
{
	int pair[2], text = memfd_create("policy", 0);
	struct peer p = { -1, -1 };

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || text < 0 ||
	    write(text, policy, sizeof policy - 1) != (ssize_t)sizeof policy - 1 || lseek(text, 0, SEEK_SET) < 0)
		return p;
	p.sock = pair[0];
	p.pid = fork();
	if (p.pid == 0) {
		int sock = fcntl(pair[1], F_DUPFD, 10), file = fcntl(text, F_DUPFD, 10);

		(void)dup2(sock, GATEWAY_SOCK);
		(void)dup2(file, GATEWAY_POLICY);
		for (int fd = 5; fd < 64; fd++)
			(void)close(fd);
		(void)execl(gateway, "vrun-gateway", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	close(text);
	return p;
}

/* The answer to a request, with what came beside it, and how much. kind 255: the gateway has ended. */
static struct gateway_answer hear_all(const struct peer *p, int fds[static GATEWAY_ARRIVALS_MAX], unsigned *ret_n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * GATEWAY_ARRIVALS_MAX)];
	} ctl = { 0 };
	struct gateway_answer a = { .kind = 255 };
	struct iovec iov = { &a, sizeof a };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
	struct pollfd wait = { .fd = p->sock, .events = POLLIN };

	*ret_n = 0;
	if (poll(&wait, 1, 20000) <= 0 || recvmsg(p->sock, &m, 0) <= 0)
		return (struct gateway_answer){ .kind = 255 };
	if (CMSG_FIRSTHDR(&m)) {
		size_t len = CMSG_FIRSTHDR(&m)->cmsg_len - CMSG_LEN(0);

		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), len);
		*ret_n = (unsigned)(len / sizeof *fds);
	}
	return a;
}

/* The same with one descriptor at most. */
static struct gateway_answer hear(const struct peer *p, int *ret_fd)
{
	int fds[GATEWAY_ARRIVALS_MAX] = { -1 };
	unsigned n;
	struct gateway_answer a = hear_all(p, fds, &n);

	*ret_fd = n ? fds[0] : -1;
	for (unsigned i = 1; i < n; i++)
		close(fds[i]);
	if (n > 1)
		a.kind = 255;
	return a;
}

static struct gateway_answer ask(const struct peer *p, struct gateway_request r, int *ret_fd)
{
	if (!r.id)
		r.id = 7;
	if (send(p->sock, &r, sizeof r, MSG_NOSIGNAL) < 0)
		return (struct gateway_answer){ .kind = 255 };
	return hear(p, ret_fd);
}

static struct addr to_addr(const char *text)
{
	struct addr a = { { 0 } };

	(void)addr_parse(text, &a, NULL);
	return a;
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void test_decisions(const struct peer *p)
{
	static const struct {
		const char *addr;
		uint16_t port;
		uint8_t kind;
		const char *what;
	} v[] = {
		{ "192.0.2.1", 80, GATEWAY_CONNECTED, "what is allowed" },
		{ "192.0.2.1", 81, GATEWAY_FAILED, "what is allowed and refuses" },
		{ "192.0.2.1", 82, GATEWAY_DENIED, "another port" },
		{ "192.0.2.2", 80, GATEWAY_DENIED, "another address" },
		{ "2001:db8::1", 80, GATEWAY_CONNECTED, "IPv6" },
		{ "2001:db8::bad", 80, GATEWAY_DENIED, "IPv6 that a rule denies" },
		{ "127.0.0.1", 8081, GATEWAY_DENIED, "the machine's loopback, though a rule has the domain's" },
		{ "0.0.0.0", 8080, GATEWAY_FAILED, "the address that means this machine" },
		{ "::", 8080, GATEWAY_FAILED, "and that of IPv6" },
		{ "::ffff:0.0.0.0", 8080, GATEWAY_FAILED, "and the mapped one" },
		{ "198.18.0.2", 8080, GATEWAY_FAILED, "an address of the pool" },
		{ "224.0.0.1", 80, GATEWAY_FAILED, "multicast" },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		for (unsigned family = 0; family < 2; family++) {
			struct gateway_request r = { .kind = GATEWAY_CONNECT, .to = GATEWAY_TO_ADDRESS, .v6 = (uint8_t)family,
						     .port = v[i].port, .addr = to_addr(v[i].addr) };
			struct gateway_answer a;
			int fd = -1;

			if (!family && !addr_is_v4(&r.addr))
				continue;
			a = ask(p, r, &fd);
			TAP_INT(a.kind, v[i].kind, "%s, a socket of %s", v[i].what, family ? "IPv6" : "IPv4");
			TAP_INT(fd >= 0, a.kind == GATEWAY_CONNECTED, "... %s", fd >= 0 ? "a socket" : "no socket");
			if (fd >= 0)
				close(fd);
		}
}

static void test_others(const struct peer *p)
{
	int fd;

	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_CONNECT, .to = GATEWAY_TO_HOST, .port = 8081, .want_v4 = 1 }, &fd).kind,
		GATEWAY_DENIED, "the machine at a port that is not allowed");
	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_RESOLVE, .want_v4 = 1, .name = "evil.example.com" }, &fd).kind,
		GATEWAY_DENIED, "a name that no rule has");
	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_CONNECT, .to = GATEWAY_TO_NAME, .want_v4 = 1, .port = 443,
						 .name = "evil.example.com" }, &fd).kind,
		GATEWAY_DENIED, "connecting to it: it is not even looked up");
	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_QUERY, .port = 16, .name = "web.example.com" }, &fd).kind,
		GATEWAY_DENIED, "records of a type that no rule forwards");
	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_QUERY, .port = 15, .name = "evil.example.com" }, &fd).kind,
		GATEWAY_DENIED, "or of a name that none has");
	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_PUBLISH, .addr = addr_v4(127, 0, 0, 1), .port = 0, .local_port = 81 }, &fd).kind,
		GATEWAY_DENIED, "publishing another port");
	TAP_INT(ask(p, (struct gateway_request){ .kind = GATEWAY_PUBLISH, .addr = addr_v4(0, 0, 0, 0), .port = 0, .local_port = 80 }, &fd).kind,
		GATEWAY_DENIED, "publishing it elsewhere");
}

/* Each ends the gateway. */
static void test_malformed(void)
{
	const struct gateway_request good = { .kind = GATEWAY_CONNECT, .to = GATEWAY_TO_ADDRESS, .id = 1, .port = 80,
					      .addr = addr_v4(192, 0, 2, 2) };
	static const struct {
		const char *what;
		size_t len;
	} v[] = { { "a short message", sizeof good - 1 }, { "a long one", sizeof good + 1 }, { "one byte", 1 },
		  { "an unknown kind", 0 },		  { "a truth value of 2", 0 },	     { "an unknown target", 0 },
		  { "port 0", 0 },			  { "more options than there are", 0 },
		  { "an option that is not in the table", 0 }, { "an option of another length", 0 },
		  { "a name that does not end", 0 },	  { "a name of one label", 0 },	     { "a name in another form", 0 },
		  { "a priority that needs rights", 0 },  { "a query of no type", 0 },
		  { "a query for a name of one label", 0 } };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		uint8_t bytes[sizeof good + 1] = { 0 };
		struct gateway_request r = good;
		struct peer p = start();
		int status, fd;

		switch (i) {
		case 3: r.kind = GATEWAY_ARRIVED; break;
		case 4: r.v6 = 2; break;
		case 5: r.to = 3; break;
		case 6: r.port = 0; break;
		case 7: r.n_options = GATEWAY_OPTIONS_MAX + 1; break;
		case 8: r.n_options = 1; r.options[0] = (struct gateway_option){ SOL_SOCKET, SO_BINDTODEVICE, 4, { 'l', 'o' } }; break;
		case 9: r.n_options = 1; r.options[0] = (struct gateway_option){ IPPROTO_TCP, TCP_NODELAY, 8, { 1 } }; break;
		case 10: r.to = GATEWAY_TO_NAME; r.want_v4 = 1; memset(r.name, 'a', sizeof r.name); break;
		case 11: r.to = GATEWAY_TO_NAME; r.want_v4 = 1; strcpy(r.name, "localhost"); break;
		case 12: r.to = GATEWAY_TO_NAME; r.want_v4 = 1; strcpy(r.name, "WEB.example.com."); break;
		case 13: r.n_options = 1; r.options[0] = (struct gateway_option){ SOL_SOCKET, SO_PRIORITY, 4, { 7 } }; break;
		case 14: r.kind = GATEWAY_QUERY; r.port = 0; strcpy(r.name, "web.example.com"); break;
		case 15: r.kind = GATEWAY_QUERY; strcpy(r.name, "com"); break;
		}
		memcpy(bytes, &r, sizeof r);
		TAP_INT(send(p.sock, bytes, v[i].len ? v[i].len : sizeof r, 0) > 0, 1, "%s is sent", v[i].what);
		TAP_INT(hear(&p, &fd).kind, 255, "... no answer");
		TAP_INT(waitpid(p.pid, &status, 0) == p.pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, 1, "... it has ended");
		close(p.sock);
	}
}

/* With CAP_NET_ADMIN, or on a kernel that lets everybody: only the peer is ever heard. */
static void test_lock(const struct sockaddr_in *there, const struct sockaddr_in *elsewhere)
{
	const struct addr peer = addr_v4(192, 0, 2, 1);
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	struct timeval soon = { .tv_usec = 300000 };

	TAP_INT(gate_lock(fd, &peer, 80), 0, "a socket is locked to its peer");
	TAP_INT(connect(fd, (const struct sockaddr *)there, sizeof *there), 0, "which it connects to");
	TAP_INT(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off) < 0 ? errno : 0, EPERM, "for good");
	(void)connect(fd, &none, sizeof none);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
	TAP_INT(connect(fd, (const struct sockaddr *)elsewhere, sizeof *elsewhere) < 0 ? errno : 0, EINPROGRESS,
		"connected elsewhere it hears nothing");
	close(fd);
}

static int listen_at(const char *address, uint16_t port)
{
	struct addr a = to_addr(address);
	struct sockaddr_storage sa;
	int family = addr_is_v4(&a) ? AF_INET : AF_INET6, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = addr_to_sockaddr(&a, port, family, &sa);

	return bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, 64) == 0 ? fd : -1;
}

static void note(const struct peer *p, enum gateway_kind kind, uint32_t id, uint16_t credit, bool nonblock)
{
	const struct gateway_request r = { .kind = (uint8_t)kind, .id = id, .port = credit, .nonblock = nonblock };

	(void)send(p->sock, &r, sizeof r, 0);
}

static int dial(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = connect(fd, (struct sockaddr *)&sa, sizeof sa);
	int e = rc < 0 ? errno : 0;

	close(fd);
	return e;
}

/* A message that it answers was heard, and so was what came before. */
static bool in_order(const struct peer *p, enum gateway_kind want)
{
	const struct gateway_request r = { .kind = GATEWAY_RESOLVE, .want_v4 = 1, .name = "evil.example.com", .id = 99 };
	struct gateway_answer a;
	int fd;

	(void)send(p->sock, &r, sizeof r, 0);
	a = hear(p, &fd);
	if (fd >= 0)
		close(fd);
	return a.kind == want;
}

/* So many arrivals, in messages of one or more, each with its socket in the mode that was asked for. */
static void arrive(const struct peer *p, unsigned want, bool nonblock, const char *what)
{
	unsigned came = 0, right = 0;

	while (came < want) {
		int fds[GATEWAY_ARRIVALS_MAX];
		unsigned n;
		struct gateway_answer a = hear_all(p, fds, &n);

		if (a.kind != GATEWAY_ARRIVED || a.n != n || n == 0 || a.nonblock != nonblock)
			break;
		for (unsigned i = 0; i < n; i++) {
			right += !(fcntl(fds[i], F_GETFL) & O_NONBLOCK) == !nonblock && a.arrivals[i].port &&
				 addr_kind(&a.arrivals[i].from) == ADDR_LOOPBACK &&
				 addr_kind(&a.arrivals[i].at) == ADDR_LOOPBACK;
			close(fds[i]);
		}
		came += n;
	}
	TAP_OK(came == want && right == want, "%s: %u are to come, %u came, %u of them as wanted", what, want, came, right);
}

static void test_credit(void)
{
	struct peer p = start();
	int fd, status;
	struct gateway_answer a = ask(&p, (struct gateway_request){ .kind = GATEWAY_PUBLISH, .addr = addr_v4(127, 0, 0, 1),
								    .local_port = 80 }, &fd);

	TAP_INT(dial(a.port), ECONNREFUSED, "nobody listens yet");
	note(&p, GATEWAY_OPEN, a.id + 1, 1, false);
	TAP_OK(in_order(&p, GATEWAY_DENIED), "what is no port is not opened");
	note(&p, GATEWAY_OPEN, a.id, 1, false);
	TAP_INT(hear(&p, &fd).kind, GATEWAY_PUBLISHED, "an open port is told of");
	TAP_INT(dial(a.port), 0, "somebody comes");
	arrive(&p, 1, false, "who may");
	for (int i = 0; i < 5; i++)
		TAP_INT(dial(a.port), 0, "somebody comes");
	TAP_OK(in_order(&p, GATEWAY_DENIED), "and waits");
	note(&p, GATEWAY_OPEN, a.id, 3, true);
	arrive(&p, 3, true, "as many as may");
	TAP_OK(in_order(&p, GATEWAY_DENIED), "and no more");
	note(&p, GATEWAY_OPEN, a.id, 5, false);
	arrive(&p, 2, false, "the others");
	note(&p, GATEWAY_SHUT, a.id, 0, false);
	TAP_OK(in_order(&p, GATEWAY_DENIED), "a port is shut");
	TAP_INT(dial(a.port), ECONNREFUSED, "so that clients are refused");
	note(&p, GATEWAY_OPEN, a.id, 0, false);
	TAP_INT(hear(&p, &fd).kind, GATEWAY_PUBLISHED, "and opened");
	TAP_INT(dial(a.port), 0, "somebody comes");
	TAP_OK(in_order(&p, GATEWAY_DENIED), "and waits, whatever was left before");
	note(&p, GATEWAY_OPEN, a.id, UINT16_MAX, false);
	note(&p, GATEWAY_OPEN, a.id, UINT16_MAX, false);
	arrive(&p, 1, false, "with more than are counted");
	close(p.sock);
	(void)waitpid(p.pid, &status, 0);
}

/* A rule for any port is one for a port that the kernel chooses, not for the one that a server of the machine is known at. */
static void test_any_port(void)
{
	const struct gateway_request any = { .kind = GATEWAY_PUBLISH, .addr = addr_v4(127, 0, 0, 1), .local_port = 80, .id = 7 };
	struct gateway_request r = any;
	struct peer p = start();
	struct gateway_answer a;
	int fd, status;

	r.port = 5432;
	TAP_INT(ask(&p, r, &fd).kind, GATEWAY_DENIED, "where any port is published, none may be chosen");
	TAP_INT(dial(5432), ECONNREFUSED, "... and nobody has it");
	TAP_INT(ask(&p, any, &fd).kind, GATEWAY_PUBLISHED, "one that the kernel chooses is taken");
	r = any;
	r.id = 8;
	a = ask(&p, r, &fd);
	TAP_INT(a.kind, GATEWAY_FAILED, "a second one is not");
	TAP_INT(a.error, EADDRINUSE, "... since it is taken");
	note(&p, GATEWAY_CANCEL, 7, 0, false);
	TAP_INT(ask(&p, r, &fd).kind, GATEWAY_PUBLISHED, "but in its place");
	close(p.sock);
	(void)waitpid(p.pid, &status, 0);
}

/* --- UDP ports ---- */

struct visit {
	struct gateway_visit head;
	char text[8];
};

/* A socket of the machine at a port of its loopback, or of another address. */
static int udp_at(struct in_addr at, uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = at };
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -1;
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void send_to(int fd, uint16_t port, const char text[8])
{
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };

	(void)sendto(fd, text, 8, 0, (const struct sockaddr *)&sa, sizeof sa);
}

/* A message of that many bytes; of none: its end. */
static bool gets(int fd, struct visit *ret, size_t len)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, 20000) == 1 && recv(fd, ret, sizeof *ret, 0) == (ssize_t)len;
}

static bool is_silent(int fd)
{
	char byte;

	return recv(fd, &byte, sizeof byte, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static struct gateway_request bind_request(const char *addr, uint16_t port, uint16_t local_port)
{
	return (struct gateway_request){ .kind = GATEWAY_BIND, .addr = to_addr(addr), .port = port, .local_port = local_port };
}

/* Whom it may send to is who came, and that is known to the gateway alone. */
static void test_answers(const struct peer *p, int pair, uint16_t port)
{
	const struct in_addr loopback = { htonl(INADDR_LOOPBACK) };
	struct visit v = { .text = "early" }, got = { .text = "" };
	uint16_t visitor_port = 0, other_port = 0;
	int visitor = udp_at(loopback, &visitor_port), other = udp_at(loopback, &other_port);

	v.head.peer = addr_v4(127, 0, 0, 1);
	v.head.port = visitor_port;
	TAP_INT(send(pair, &v, sizeof v, 0), (int)sizeof v, "an answer to nobody");
	TAP_OK(in_order(p, GATEWAY_DENIED), "is heard");
	send_to(visitor, port, "visitor");
	TAP_OK(gets(pair, &got, sizeof got) && got.head.error == 0 && got.head.port == visitor_port &&
		       addr_equal(&got.head.peer, &v.head.peer) && addr_equal(&got.head.at, &v.head.peer) &&
		       strcmp(got.text, "visitor") == 0,
	       "what comes is passed on with who it is from, and where it was sent to");
	memcpy(v.text, "answer", 7);
	v.head.port = other_port;
	(void)send(pair, &v, sizeof v, 0);
	v.head.port = visitor_port;
	v.head.peer = addr_v4(192, 0, 2, 1);
	(void)send(pair, &v, sizeof v, 0);
	v.head.peer = addr_v4(127, 0, 0, 1);
	v.head.at = addr_v4(192, 0, 2, 1);
	(void)send(pair, &v, sizeof v, 0);
	TAP_OK(gets(visitor, &got, sizeof v.text) && memcmp(&got, "answer", 7) == 0, "who came is answered, wherever it is said to come from, and not before");
	TAP_OK(is_silent(other), "and nobody else at that address");
	close(visitor);
	close(other);
}

static void test_udp(void)
{
	const struct in_addr foreign = { htonl(0xc0000201) };
	struct peer p = start();
	struct gateway_answer a;
	struct visit got = { .text = "" };
	uint16_t port = 0;
	int pair = -1, fd, visitor, status;

	TAP_INT(ask(&p, bind_request("127.0.0.1", 0, 80), &fd).kind, GATEWAY_DENIED, "a port that is published for TCP alone");
	TAP_INT(ask(&p, bind_request("0.0.0.0", 0, 53), &fd).kind, GATEWAY_DENIED, "at another address");
	TAP_INT(ask(&p, bind_request("127.0.0.1", 0, 0), &fd).kind, 255, "one that leads nowhere ends the gateway");
	close(p.sock);
	(void)waitpid(p.pid, &status, 0);
	p = start();
	a = ask(&p, bind_request("127.0.0.1", 0, 53), &pair);
	TAP_OK(a.kind == GATEWAY_CONNECTED && a.port && pair >= 0, "what is allowed is bound");
	TAP_INT(ask(&p, bind_request("127.0.0.1", 0, 53), &fd).kind, GATEWAY_FAILED, "once");
	TAP_INT(ask(&p, bind_request("127.0.0.1", 5353, 53), &fd).kind, GATEWAY_DENIED, "and at no port of one's own choice");
	test_answers(&p, pair, a.port);
	visitor = udp_at(foreign, &port);
	send_to(visitor, a.port, "foreign");
	send_to(visitor, a.port, "foreign");
	TAP_OK(gets(pair, &got, sizeof got.head) && got.head.error == EACCES && got.head.port == port,
	       "who is not let in is told of");
	close(visitor);
	visitor = udp_at((struct in_addr){ htonl(INADDR_LOOPBACK) }, &port);
	send_to(visitor, a.port, "visitor");
	TAP_OK(gets(pair, &got, sizeof got) && got.head.port == port, "once, and with nothing of theirs");
	close(visitor);
	TAP_INT(send(pair, "x", 1, 0), 1, "what is no message");
	TAP_OK(gets(pair, &got, 0), "ends the port");
	close(pair);
	a = ask(&p, bind_request("127.0.0.1", 0, 53), &pair);
	TAP_OK(a.kind == GATEWAY_CONNECTED && pair >= 0, "which can be bound again");
	close(pair);
	close(p.sock);
	(void)waitpid(p.pid, &status, 0);
}

/* Whom the policy does not let in is no reason to keep the supervisor from others. */
static void test_udp_crowd(void)
{
	struct peer p = start();
	struct visit got = { .head = { .error = 0 } };
	uint16_t port;
	int pair, visitor, status, told = 0;
	struct gateway_answer a = ask(&p, bind_request("127.0.0.1", 0, 53), &pair);

	TAP_OK(a.kind == GATEWAY_CONNECTED && pair >= 0, "a port");
	for (int i = 0; i < 400; i++) {
		visitor = udp_at((struct in_addr){ htonl(0xc0000201) }, &port);
		send_to(visitor, a.port, "foreign");
		close(visitor);
	}
	visitor = udp_at((struct in_addr){ htonl(INADDR_LOOPBACK) }, &port);
	send_to(visitor, a.port, "visitor");
	while (gets(pair, &got, sizeof got.head) && got.head.error)
		told++;
	TAP_INT(got.head.port, port, "who is let in is heard behind hundreds who are not");
	TAP_OK(told > 0 && told < 300, "of whom some are told of: %d", told);
	close(visitor);
	close(pair);
	close(p.sock);
	(void)waitpid(p.pid, &status, 0);
}

/* A server may answer, and end with its supervisor. */
static void test_last_answers(void)
{
	struct peer p = start();
	struct visit got = { .head = { .error = 0 } };
	uint16_t port = 0;
	int pair = -1, status, n = 0, visitor = udp_at((struct in_addr){ htonl(INADDR_LOOPBACK) }, &port);
	struct gateway_answer a = ask(&p, bind_request("127.0.0.1", 0, 53), &pair);

	send_to(visitor, a.port, "visitor");
	TAP_OK(a.kind == GATEWAY_CONNECTED && gets(pair, &got, sizeof got), "somebody has come");
	(void)kill(p.pid, SIGSTOP);
	(void)waitpid(p.pid, &status, WUNTRACED);
	for (int i = 0; i < 100; i++)
		n += send(pair, &got, sizeof got, MSG_DONTWAIT) == sizeof got;
	close(pair);
	close(p.sock);
	(void)kill(p.pid, SIGCONT);
	TAP_OK(n == 100 && waitpid(p.pid, &status, 0) == p.pid && WIFEXITED(status), "and is answered a hundred times at the end");
	for (n = 0; recv(visitor, &got, sizeof got, MSG_DONTWAIT) > 0;)
		n++;
	TAP_INT(n, 100, "which they all hear");
	close(visitor);
}

static void test_end(void)
{
	struct peer p = start();
	int fd, status;
	struct gateway_answer a = ask(&p, (struct gateway_request){ .kind = GATEWAY_PUBLISH, .addr = addr_v4(127, 0, 0, 1),
								    .local_port = 80 }, &fd);
	struct gateway_request again = { .kind = GATEWAY_PUBLISH, .addr = addr_v4(127, 0, 0, 1), .local_port = 80, .id = 7 };

	TAP_OK(a.kind == GATEWAY_PUBLISHED && a.port, "what is allowed is published");
	TAP_INT(ask(&p, again, &fd).kind, 255, "a second job of that id ends it");
	TAP_INT(waitpid(p.pid, &status, 0), p.pid, "it has ended");
	close(p.sock);
	p = start();
	(void)ask(&p, (struct gateway_request){ .kind = GATEWAY_RESOLVE, .want_v4 = 1, .name = "evil.example.com" }, &fd);
	close(p.sock);
	TAP_OK(waitpid(p.pid, &status, 0) == p.pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ends with its supervisor");
}

/* Names of abstract sockets are public, and free when their owner has gone. */
static void test_impostor(void)
{
	char name[CONTROL_NAME_SIZE];
	uid_t own = geteuid();
	int listener = -1, sock = -1, rc;
	struct err e;

	if (own != 0 || seteuid(65534) < 0)
		return; /* who can be nobody else cannot try it */
	rc = control_listen(name, &listener, &e);
	TAP_INT(seteuid(own), 0, "root again");
	TAP_INT(rc, 0, "somebody else listens");
	TAP_INT(control_connect(name, &sock, &e), -EPERM, "who gives a gateway its policy looks whom it speaks to");
	close(listener);
	TAP_INT(control_listen(name, &listener, &e), 0, "a name of one's own");
	TAP_INT(control_connect(name, &sock, &e), 0, "is spoken to");
	close(listener);
	close(sock);
}

int main(int argc, char **argv)
{
	const struct addr own[] = { addr_v4(192, 0, 2, 1), addr_v4(192, 0, 2, 2), addr_v4(198, 18, 0, 2), to_addr("2001:db8::1"),
				    to_addr("2001:db8::bad") };
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = { htonl(0xc0000201) } };
	struct sockaddr_in elsewhere = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = { htonl(0xc0000202) } };
	char *slash = strrchr(argv[0], '/');
	struct peer p;
	struct err e;

	(void)argc;
	(void)snprintf(gateway, sizeof gateway, "%.*s/../../vrun-gateway", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP no network namespaces here\n");
		return 0;
	}
	TAP_INT(netlink_domain(NULL, own, sizeof own / sizeof *own, &e), 0, "a network of its own");
	TAP_OK(listen_at("192.0.2.1", 80) >= 0 && listen_at("192.0.2.1", 82) >= 0 && listen_at("192.0.2.2", 80) >= 0 &&
		       listen_at("2001:db8::1", 80) >= 0 && listen_at("2001:db8::bad", 80) >= 0 &&
		       listen_at("127.0.0.1", 8080) >= 0 && listen_at("127.0.0.1", 8081) >= 0 && listen_at("198.18.0.2", 8080) >= 0,
	       "servers");
	test_impostor();
	p = start();
	test_decisions(&p);
	test_others(&p);
	close(p.sock);
	(void)waitpid(p.pid, NULL, 0);
	test_malformed();
	test_credit();
	test_any_port();
	test_udp();
	test_udp_crowd();
	test_last_answers();
	test_end();
	test_lock(&there, &elsewhere);
	return tap_done();
}
