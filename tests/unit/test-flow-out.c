/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of datagrams to the outside, between an app's frames and a gateway that is the test's own:
 * batches, silence, limits, and answers that no gateway gives; and the silence of flows to another
 * domain. The clock is the test's, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "tap.h"

static int64_t now = 1000000;

/* What the linker puts in the place of loop_now(), for all but the loop itself. */
int64_t __wrap_loop_now(void);
int64_t __wrap_loop_now(void)
{
	return now;
}

static struct sup s;
static struct domain d;
static struct addr own;
static int app, gateway; /* what the app's interface and the gateway are here */
static int complaints;

static void complain(const struct err *e)
{
	complaints += e->text[0] != '\0';
}

static const char text[] = "{\"version\": 1, \"net\": {\"rules\": [{\"allow\": \"connect\", \"proto\": \"udp\", "
			   "\"to\": \"192.0.2.0/24:7\"}, {\"allow\": \"connect\", \"proto\": \"udp\", "
			   "\"to\": \"10.88.0.3:7\"}]}}";
static const char peer_text[] = "{\"version\": 1, \"net\": {\"rules\": [{\"allow\": \"listen\", \"proto\": \"udp\", "
				"\"at\": \":7\", \"from\": \"10.88.0.2\"}]}}";

static bool load(struct policy *p, const char *json)
{
	char path[] = "/tmp/test-flow-out-XXXXXX";
	AUTO_FD int fd = mkstemp(path);
	struct err e;
	bool ok = fd >= 0 && write(fd, json, strlen(json)) == (ssize_t)strlen(json) &&
		  policy_load(p, AT_FDCWD, path, NULL, &e) == 0;

	(void)unlink(path);
	return ok;
}

static void pair_of(int type, int *a, int *b)
{
	int v[2] = { -1, -1 };

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, v) < 0)
		exit(1);
	*a = v[0];
	*b = v[1];
}

static void begin(void)
{
	int theirs;

	own = addr_v4(10, 88, 0, 2);
	d = (struct domain){ .sup = &s, .id = (char *)(uintptr_t)"app", .virtual = &own, .n_virtual = 1, .generation = 1,
			     .records_since = INT64_MAX / 2, .n_records = DOMAIN_RECORDS_MAX };
	TAILQ_INIT(&d.flows);
	TAP_OK(load(&d.policy, text), "a policy");
	d.hits = calloc(d.policy.n_rules, sizeof *d.hits);
	pair_of(SOCK_DGRAM, &app, &d.net.packets);
	pair_of(SOCK_SEQPACKET, &gateway, &theirs);
	s.complain = complain;
	LIST_INIT(&s.domains);
	LIST_INSERT_HEAD(&s.domains, &d, link);
	flows_init(&s.flows);
	TAP_INT(gateway_init(&d.gateway, &s, theirs), 0, "its gateway");
	TAP_INT(flow_add_domain(&s, &d), 0, "its interface");
}

static void finish(void)
{
	flow_remove_domain(&s, &d);
	gateway_fini(&d.gateway);
	LIST_REMOVE(&d, link);
	loop_clear_alarm(&s.flows.sweep);
	policy_fini(&d.policy);
	free(d.hits);
	close(app);
	close(gateway);
}

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		(void)loop_turn(&s.loop, 0);
}

/* --- the app -------------------------------------------------------------------------------- */

static struct frame_ends ends(uint8_t host, uint16_t port)
{
	return (struct frame_ends){ own, addr_v4(192, 0, 2, host), port, 7 };
}

static void sends(int from, const struct frame_ends *e, uint32_t what)
{
	static uint8_t frame[FRAME_MAX];
	size_t len;

	memcpy(frame + FRAME_PAYLOAD(true), &what, sizeof what);
	len = frame_write(frame, e, sizeof what);
	if (send(from, frame, len, 0) != (ssize_t)len)
		exit(1);
}

static void app_sends(const struct frame_ends *e, uint32_t what)
{
	sends(app, e, what);
}

/* What comes next; *ret is what it carries. */
static enum frame_kind gets_at(int at, struct frame_ends *ret_ends, uint32_t *ret)
{
	static uint8_t frame[FRAME_MAX];
	size_t payload = 0;
	ssize_t n = recv(at, frame, sizeof frame, MSG_DONTWAIT);
	enum frame_kind k = n < 0 ? FRAME_OTHER : frame_read(frame, (size_t)n, ret_ends, &payload);

	*ret = 0;
	if (k == FRAME_DATAGRAM && payload == sizeof *ret)
		memcpy(ret, frame + frame_payload_at(frame), sizeof *ret);
	return k;
}

static enum frame_kind app_gets(struct frame_ends *ret_ends, uint32_t *ret)
{
	return gets_at(app, ret_ends, ret);
}

/* --- the gateway -------------------------------------------------------------------------------- */

/* The request that it hears; kind 255: none. */
static struct gateway_request hear(void)
{
	struct gateway_request r;

	turn();
	if (recv(gateway, &r, sizeof r, MSG_DONTWAIT) != sizeof r)
		r.kind = 255;
	return r;
}

static void answer(uint32_t id, enum gateway_kind kind, int error, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct gateway_answer a = { .kind = (uint8_t)kind, .id = id, .error = error };
	struct iovec iov = { &a, sizeof a };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = ctl.buf;
		m.msg_controllen = sizeof ctl.buf;
		ctl.align = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	}
	if (sendmsg(gateway, &m, 0) < 0)
		exit(1);
	if (fd >= 0)
		close(fd);
	turn();
}

/* Opens a flow; our end of it. */
static int opened(const struct frame_ends *e)
{
	struct gateway_request r;
	int ours, theirs;

	app_sends(e, 1);
	r = hear();
	if (r.kind != GATEWAY_FLOW)
		return -1;
	pair_of(SOCK_SEQPACKET, &ours, &theirs);
	answer(r.id, GATEWAY_CONNECTED, 0, theirs);
	return ours;
}

struct datagram {
	/* cppcheck-suppress unusedStructMember ; what the other side reads */
	struct gateway_datagram head;
	uint32_t what;
};

/* What has come through a flow, 0 at its end, UINT32_MAX: nothing. */
static uint32_t passed(int flow)
{
	struct datagram g = { .what = 0 };
	ssize_t n = recv(flow, &g, sizeof g, MSG_DONTWAIT);

	return n < 0 ? UINT32_MAX : n == sizeof g ? g.what : 0;
}

static void reply(int flow, uint32_t what)
{
	const struct datagram g = { .what = what };

	if (send(flow, &g, sizeof g, 0) != sizeof g)
		exit(1);
}

/* --- what is tested --------------------------------------------------------------------------- */

static void test_batches(void)
{
	const struct frame_ends e = ends(1, 5000);
	struct gateway_request r;
	struct frame_ends from;
	uint32_t what, right = 0;
	int ours, theirs;

	/* What is sent before there is a flow goes with it, in its order. */
	for (uint32_t i = 1; i <= 40; i++)
		app_sends(&e, i);
	r = hear();
	TAP_OK(r.kind == GATEWAY_FLOW && r.port == 7, "one flow is asked for");
	TAP_INT(hear().kind, 255, "and no other");
	pair_of(SOCK_SEQPACKET, &ours, &theirs);
	answer(r.id, GATEWAY_CONNECTED, 0, theirs);
	for (uint32_t i = 1; i <= 40; i++)
		right += passed(ours) == i;
	TAP_INT(right, 40, "what waited for it goes out in order");
	for (uint32_t i = 1; i <= 100; i++) {
		app_sends(&e, i);
		if (i % 20 == 0)
			turn();
	}
	turn();
	for (uint32_t i = right = 0; i < 100; i++)
		right += passed(ours) == i + 1;
	TAP_INT(right, 100, "a batch out");
	/* A flow has its share of a turn, and no more: others are to be served. */
	for (uint32_t i = 1; i <= 100; i++)
		reply(ours, i);
	(void)loop_turn(&s.loop, 0);
	for (right = 0; app_gets(&from, &what) == FRAME_DATAGRAM; right++)
		if (what != right + 1 || from.from_port != 7 || from.to_port != 5000 || !addr_equal(&from.to, &own))
			break;
	TAP_OK(right > 0 && right <= 64, "a part of a batch in one turn (%u)", right);
	turn();
	for (; app_gets(&from, &what) == FRAME_DATAGRAM; right++)
		if (what != right + 1)
			break;
	TAP_INT(right, 100, "all of it in some, in order");
	close(ours);
}

static void sweep(int64_t ms)
{
	now += ms;
	s.flows.sweep.ring(&s.flows.sweep);
}

static void test_silence(void)
{
	const struct frame_ends e1 = ends(2, 5001), e2 = ends(3, 5002);
	int silent = opened(&e1), talking = opened(&e2);
	size_t n = d.n_out;
	struct frame_ends e;
	uint32_t what;

	TAP_INT(passed(silent), 1, "what is sent first");
	TAP_INT(passed(talking), 1, "on each flow");
	sweep(FLOW_SHORT_MS - 1);
	TAP_INT(passed(silent), UINT32_MAX, "a flow without an answer is there until its time is up");
	app_sends(&e1, 2);
	reply(talking, 3);
	turn();
	sweep(FLOW_SHORT_MS - 1);
	TAP_INT(passed(silent), 2, "each datagram gives it more time");
	TAP_INT(passed(silent), UINT32_MAX, "and it is there");
	sweep(2);
	TAP_INT(passed(silent), 0, "then it ends");
	TAP_INT((int)d.n_out, (int)n - 1, "and takes no descriptor any more");
	TAP_INT(passed(talking), UINT32_MAX, "one with answers lives on");
	sweep(FLOW_LONG_MS - FLOW_SHORT_MS - 2);
	TAP_INT(passed(talking), UINT32_MAX, "for longer");
	app_sends(&e2, 4);
	turn();
	sweep(FLOW_LONG_MS - 1);
	TAP_INT(passed(talking), 4, "and longer when it is used");
	TAP_INT(passed(talking), UINT32_MAX, "and is there");
	sweep(2);
	TAP_INT(passed(talking), 0, "then it ends, too");
	TAP_INT((int)s.flows.n, 0, "nothing is left");
	TAP_OK(app_gets(&e, &what) == FRAME_DATAGRAM && what == 3, "and the app has its answer");
	close(silent);
	close(talking);
}

/* Which number got from one domain to the other; 0: none. */
static uint32_t across(int from, const struct frame_ends *e, int to, uint32_t what)
{
	struct frame_ends got;
	uint32_t n;

	sends(from, e, what);
	turn();
	return gets_at(to, &got, &n) == FRAME_DATAGRAM ? n : 0;
}

/* Between domains an answer may come as long as the flow lives, and is nobody's afterwards. */
static void test_inside(void)
{
	static struct domain peer;
	static struct addr at;
	const char *names[] = { "peer" };
	struct domain_at app_index, peer_index;
	struct frame_ends e, back;
	int there;

	at = addr_v4(10, 88, 0, 3);
	e = (struct frame_ends){ own, at, 6001, 7 };
	back = (struct frame_ends){ at, own, 7, 6001 };
	peer = (struct domain){ .sup = &s, .id = (char *)(uintptr_t)"peer", .virtual = &at, .n_virtual = 1, .generation = 1,
				.index = &peer_index, .names = names, .n_names = 1, .records_since = INT64_MAX / 2,
				.n_records = DOMAIN_RECORDS_MAX };
	TAILQ_INIT(&peer.flows);
	TAP_OK(load(&peer.policy, peer_text), "the other domain's policy");
	peer.hits = calloc(peer.policy.n_rules + 1, sizeof *peer.hits);
	peer.gateway.fd = -1;
	pair_of(SOCK_DGRAM, &there, &peer.net.packets);
	LIST_INSERT_HEAD(&s.domains, &peer, link);
	d.index = &app_index;
	domain_index(&d);
	domain_index(&peer);
	TAP_INT(flow_add_domain(&s, &peer), 0, "its interface");

	TAP_INT(across(there, &back, app, 1), 0, "nobody has asked it");
	sweep(FLOW_SHORT_MS + 1);
	TAP_INT((int)s.flows.n, 0, "which is forgotten");
	TAP_INT(across(app, &e, there, 2), 2, "the app asks");
	sweep(FLOW_SHORT_MS);
	TAP_INT((int)s.flows.n, 1, "and may wait for an answer");
	sweep(1);
	TAP_INT((int)s.flows.n, 0, "but not for ever");
	TAP_INT(across(there, &back, app, 3), 0, "what comes then is none");
	sweep(FLOW_SHORT_MS + 1);
	TAP_INT(across(app, &e, there, 4), 4, "it asks again");
	now += FLOW_SHORT_MS;
	TAP_INT(across(there, &back, app, 5), 5, "and has its answer in time");
	sweep(FLOW_LONG_MS);
	TAP_INT(across(there, &back, app, 6), 6, "and one much later");
	now += FLOW_LONG_MS + 1; /* without the sweep: it comes some time after that */
	TAP_INT(across(there, &back, app, 7), 0, "and none when nobody has said anything for long");
	sweep(FLOW_LONG_MS + 1);
	TAP_INT((int)s.flows.n, 0, "nothing is left");

	flow_remove_domain(&s, &peer);
	domain_unindex(&peer);
	domain_unindex(&d);
	LIST_REMOVE(&peer, link);
	policy_fini(&peer.policy);
	free(peer.hits);
	close(there);
}

/* The app is told as its kernel would be, by an error about what it sent. */
static bool is_refused(const struct frame_ends *e)
{
	struct frame_ends about;
	uint32_t what;

	return app_gets(&about, &what) == FRAME_ERROR && about.to_port == e->to_port && about.from_port == e->from_port;
}

static void test_refusals(void)
{
	struct frame_ends e = ends(4, 5003), from;
	uint32_t what;
	int ours;

	app_sends(&e, 1);
	complaints = 0;
	d.n_records = 0;
	d.records_since = now;
	answer(hear().id, GATEWAY_FAILED, EMFILE, -1);
	d.n_records = DOMAIN_RECORDS_MAX;
	d.records_since = INT64_MAX / 2;
	TAP_OK(is_refused(&e), "a flow for which there are no descriptors is refused");
	TAP_INT(complaints, 1, "and vrun says why");
	app_sends(&e, 2);
	TAP_INT(hear().kind, 255, "the next datagram asks for none");
	TAP_OK(is_refused(&e), "and is refused, too");
	e.from_port++;
	ours = opened(&e);
	TAP_INT(passed(ours), 1, "a flow");
	close(ours);
	turn();
	app_sends(&e, 2);
	turn();
	TAP_OK(is_refused(&e), "that the gateway ends is refused");
	TAP_INT(app_gets(&from, &what), FRAME_OTHER, "once");
	/* What is sent before its end is heard of. */
	e.from_port++;
	ours = opened(&e);
	app_sends(&e, 2);
	app_sends(&e, 3);
	close(ours);
	turn();
	TAP_OK(is_refused(&e) && is_refused(&e), "what the gateway did not see for its end is refused, too");
	/* An error, and bytes where there are none. */
	e.from_port++;
	ours = opened(&e);
	(void)send(ours, &(struct gateway_datagram){ .error = ECONNREFUSED }, sizeof(struct gateway_datagram), 0);
	turn();
	TAP_OK(is_refused(&e), "what did not arrive is told");
	(void)send(ours, "x", 1, 0);
	turn();
	app_sends(&e, 3);
	turn();
	TAP_OK(is_refused(&e), "a message that is too short ends the flow");
	close(ours);
	sweep(FLOW_LONG_MS + 1);
}

static void test_limit(void)
{
	static int flows[FLOW_OUT_MAX + 1];
	unsigned there = 0, right = 0;
	struct frame_ends e;

	for (unsigned i = 0; i <= FLOW_OUT_MAX; i++) {
		e = ends((uint8_t)(10 + i / 1000), (uint16_t)(10000 + i));
		flows[i] = opened(&e);
		there += flows[i] >= 0;
		right += passed(flows[i]) == 1;
		now++;
	}
	TAP_INT(there, FLOW_OUT_MAX + 1, "one flow more than a domain can have");
	TAP_INT(right, FLOW_OUT_MAX + 1, "gets out");
	TAP_INT((int)d.n_out, FLOW_OUT_MAX, "of which that many are open");
	TAP_INT(passed(flows[0]), 0, "the one that was silent longest is not");
	TAP_INT(passed(flows[1]), UINT32_MAX, "the next one is");
	sweep(FLOW_LONG_MS);
	for (unsigned i = there = 0; i <= FLOW_OUT_MAX; i++) {
		there += passed(flows[i]) != 0;
		close(flows[i]);
	}
	TAP_INT(there, 0, "silence ends all of them");
	TAP_INT((int)d.n_out, 0, "and none is counted");
}

/* How: late, another's, of another kind, with another descriptor, as no gateway answers. */
static void test_false(void)
{
	static const struct {
		const char *what;
		uint32_t id;
		enum gateway_kind kind;
		int domain, type;
		bool ends; /* the gateway */
	} v[] = {
		{ "to another question", 77, GATEWAY_CONNECTED, AF_UNIX, SOCK_SEQPACKET, false },
		{ "that is a stream", 0, GATEWAY_CONNECTED, AF_UNIX, SOCK_STREAM, true },
		{ "that is the host's own socket", 0, GATEWAY_CONNECTED, AF_INET, SOCK_DGRAM, true },
		{ "that somebody arrived", 0, GATEWAY_ARRIVED, AF_UNIX, SOCK_SEQPACKET, true },
		{ "that more comes", 0, GATEWAY_RACING, AF_UNIX, SOCK_SEQPACKET, true },
		{ "of a name", 0, GATEWAY_RESOLVED, AF_UNIX, SOCK_SEQPACKET, true },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		const struct frame_ends e = ends(5, (uint16_t)(6000 + i));
		struct gateway_request r;

		begin();
		app_sends(&e, 1);
		r = hear();
		answer(r.id + v[i].id, v[i].kind, 0, socket(v[i].domain, v[i].type | SOCK_CLOEXEC, 0));
		turn();
		TAP_OK((d.gateway.fd < 0) == v[i].ends, "an answer %s", v[i].what);
		TAP_OK(is_refused(&e) == v[i].ends, "and what becomes of the flow");
		if (!v[i].ends)
			answer(r.id, GATEWAY_FAILED, ENETUNREACH, -1);
		TAP_OK(v[i].ends || is_refused(&e), "the one that was asked for is heard");
		finish();
	}
}

int main(void)
{
	struct rlimit l;
	struct err e;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	if (loop_init(&s.loop, &e) < 0 || vsk_table_init(&s.table) < 0)
		return 1;
	begin();
	test_batches();
	sweep(FLOW_LONG_MS + 1);
	test_silence();
	test_inside();
	test_refusals();
	if (l.rlim_cur > (rlim_t)3 * FLOW_OUT_MAX)
		test_limit();
	finish();
	test_false();
	loop_fini(&s.loop);
	vsk_table_fini(&s.table);
	return tap_done();
}
