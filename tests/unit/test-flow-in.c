/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams that come to a published port, between a gateway that is the test's own, and lies, and an
 * app's frames. The clock is the test's, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
static struct domain d, other;
static struct addr own[2], others;
static int app, gateway, port; /* what the app's interface, the gateway and the port's pair are here */
static int begun;

static const char text[] = "{\"version\": 1, \"net\": {\"rules\": [{\"allow\": \"connect\", \"proto\": \"udp\", "
			   "\"to\": \"192.0.2.0/24:7000-7999\"}, {\"allow\": \"listen\", \"proto\": [\"tcp\", \"udp\"], "
			   "\"at\": \":53\", \"from\": [\"host\", \"192.0.2.0/24\", \"10.0.0.0/8\", \"198.18.0.0/15\", \"224.0.0.0/4\"], "
			   "\"publish\": \"0.0.0.0:5353\"}]}}";

static bool load(struct policy *p, const char *json)
{
	char path[] = "/tmp/test-flow-in-XXXXXX";
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

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		(void)loop_turn(&s.loop, 0);
}

/* --- the gateway ----------------------------------------------------------------------------- */

static struct gateway_request hear(void)
{
	struct gateway_request r;

	turn();
	if (recv(gateway, &r, sizeof r, MSG_DONTWAIT) != sizeof r)
		r.kind = 255;
	return r;
}

static void answer(const struct gateway_answer *a, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)(uintptr_t)a, sizeof *a };
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

struct visit {
	struct gateway_visit head;
	uint32_t what;
};

static void visits(struct addr from, uint16_t from_port, uint32_t what)
{
	const struct visit v = { .head = { .peer = from, .at = addr_v4(198, 51, 100, 2), .port = from_port }, .what = what };

	if (send(port, &v, sizeof v, 0) != sizeof v)
		exit(1);
	turn();
}

/* --- the app ------------------------------------------------------------------------------------ */

static void app_sends(struct addr to, uint16_t to_port, uint16_t from_port, uint32_t what)
{
	const struct frame_ends e = { own[0], to, from_port, to_port };
	static uint8_t frame[FRAME_MAX];
	size_t len;

	memcpy(frame + FRAME_PAYLOAD(true), &what, sizeof what);
	len = frame_write(frame, &e, sizeof what);
	if (send(app, frame, len, 0) != (ssize_t)len)
		exit(1);
	turn();
}

/* What it gets next from there, at its port 53; 0: nothing, or from somebody else. */
static uint32_t app_gets(struct addr from, uint16_t from_port)
{
	static uint8_t frame[FRAME_MAX];
	struct frame_ends e;
	size_t payload = 0;
	uint32_t what = 0;
	ssize_t n = recv(app, frame, sizeof frame, MSG_DONTWAIT);

	if (n < 0 || frame_read(frame, (size_t)n, &e, &payload) != FRAME_DATAGRAM || payload != sizeof what ||
	    e.from_port != from_port || e.to_port != 53 || !addr_equal(&e.from, &from) || !addr_equal(&e.to, &own[0]))
		return 0;
	memcpy(&what, frame + frame_payload_at(frame), sizeof what);
	return what;
}

/* What the gateway is given for somebody. */
static uint32_t answered(struct addr to, uint16_t to_port)
{
	struct visit v;

	if (recv(port, &v, sizeof v, MSG_DONTWAIT) != sizeof v || !addr_equal(&v.head.peer, &to) || v.head.port != to_port)
		return 0;
	return v.what;
}

/* --- what is tested -------------------------------------------------------------------------------- */

static void has_begun(struct domain *of, const struct err *e)
{
	(void)of;
	begun += e ? 100 : 1;
}

static void begin(void)
{
	struct gateway_request tcp, udp;
	int theirs;

	own[0] = addr_v4(10, 88, 0, 2);
	own[1] = (struct addr){ { 0xfd, [15] = 2 } };
	others = addr_v4(10, 88, 0, 3);
	d = (struct domain){ .sup = &s, .id = (char *)(uintptr_t)"app", .virtual = own, .n_virtual = 2, .generation = 1,
			     .records_since = INT64_MAX / 2, .n_records = DOMAIN_RECORDS_MAX };
	TAILQ_INIT(&d.flows);
	d.index = calloc(2, sizeof *d.index);
	other = (struct domain){ .sup = &s, .id = (char *)(uintptr_t)"other", .virtual = &others, .n_virtual = 1 };
	other.index = calloc(1, sizeof *other.index);
	domain_index(&d);
	domain_index(&other);
	TAP_OK(load(&d.policy, text), "a policy");
	d.hits = calloc(d.policy.n_rules, sizeof *d.hits);
	pair_of(SOCK_DGRAM, &app, &d.net.packets);
	pair_of(SOCK_SEQPACKET, &gateway, &theirs);
	LIST_INSERT_HEAD(&s.domains, &d, link);
	flows_init(&s.flows);
	TAP_INT(gateway_init(&d.gateway, &s, theirs), 0, "its gateway");
	TAP_INT(flow_add_domain(&s, &d), 0, "its interface");
	TAP_INT(publish_begin(&d, has_begun), 0, "its ports");
	tcp = hear();
	udp = hear();
	TAP_OK(tcp.kind == GATEWAY_PUBLISH && udp.kind == GATEWAY_BIND && udp.port == 5353 && udp.local_port == 53,
	       "one is asked for, for each protocol");
	answer(&(struct gateway_answer){ .kind = GATEWAY_PUBLISHED, .id = tcp.id, .port = 5353 }, -1);
	pair_of(SOCK_SEQPACKET, &port, &theirs);
	answer(&(struct gateway_answer){ .kind = GATEWAY_CONNECTED, .id = udp.id, .port = 5353 }, theirs);
	TAP_INT(begun, 1, "both are there");
}

static void finish(void)
{
	flow_remove_domain(&s, &d);
	publish_end(&d);
	gateway_fini(&d.gateway);
	LIST_REMOVE(&d, link);
	domain_unindex(&d);
	domain_unindex(&other);
	loop_clear_alarm(&s.flows.sweep);
	policy_fini(&d.policy);
	free(d.hits);
	free(d.index);
	free(other.index);
	close(app);
	close(gateway);
	close(port);
}

static void test_way(void)
{
	const struct addr peer = addr_v4(192, 0, 2, 1), loopback = addr_v4(127, 0, 0, 1), host = addr_v4(198, 18, 0, 2);

	visits(peer, 4000, 11);
	TAP_INT(app_gets(peer, 4000), 11, "who comes is heard");
	app_sends(peer, 4000, 53, 12);
	TAP_INT(answered(peer, 4000), 12, "and answered");
	app_sends(peer, 4000, 54, 13);
	TAP_INT(answered(peer, 4000), 0, "from that port alone");
	app_sends(peer, 4001, 53, 14);
	TAP_INT(answered(peer, 4001), 0, "and nobody else at that address");
	app_sends(addr_v4(192, 0, 2, 2), 4000, 53, 15);
	TAP_INT(answered(addr_v4(192, 0, 2, 2), 4000), 0, "or another");
	visits(loopback, 4000, 16);
	TAP_INT(app_gets(host, 4000), 16, "the machine's loopback is \"host\"");
	app_sends(host, 4000, 53, 17);
	TAP_INT(answered(loopback, 4000), 17, "to which answers go");
	TAP_INT((int)d.n_flows, 3, "flows of the app's, which were denied");
}

/* Sources that the policy lets in by number, and that are not the outside's. */
static void test_lies(void)
{
	static const struct {
		const char *what, *addr;
		uint16_t port;
	} v[] = {
		{ "the app's own address", "10.88.0.2", 4000 },   { "another domain's", "10.88.0.3", 4000 },
		{ "the resolver's", "198.18.0.1", 4000 },	  { "the pool's address of the machine", "198.18.0.2", 4001 },
		{ "one that may come to stand for a name", "198.18.7.7", 4000 },
		{ "multicast", "224.0.0.1", 4000 },		  { "nobody's", "0.0.0.0", 4000 },
		{ "port 0", "192.0.2.1", 0 },			  { "another family", "2001:db8::1", 4000 },
		{ "one that the policy does not let in", "203.0.113.1", 4000 },
	};
	struct visit denied = { .head = { .peer = addr_v4(192, 0, 2, 7), .port = 4000, .error = EACCES } };
	struct addr a;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		(void)addr_parse(v[i].addr, &a, NULL);
		visits(a, v[i].port, 1);
		TAP_INT(app_gets(a, v[i].port), 0, "%s is not heard", v[i].what);
		app_sends(a.b[10] == 0xff ? a : addr_v4(192, 0, 2, 200), v[i].port, 53, 2);
		TAP_INT(answered(a, v[i].port), 0, "and not answered");
	}
	(void)send(port, &denied, sizeof denied, 0);
	turn();
	TAP_INT(app_gets(denied.head.peer, 4000), 0, "nor who the gateway says it has denied");
	visits(addr_v4(10, 1, 1, 1), 4000, 3);
	TAP_INT(app_gets(addr_v4(10, 1, 1, 1), 4000), 3, "another private address is somebody's outside");
}

/* The app has sent to somebody from that port, who comes by it now. */
static void test_both_ways(void)
{
	const struct addr peer = addr_v4(192, 0, 2, 50);
	struct gateway_request r;

	app_sends(peer, 7001, 53, 1);
	do
		r = hear();
	while (r.kind != 255 && r.kind != GATEWAY_FLOW);
	TAP_OK(r.kind == GATEWAY_FLOW && r.port == 7001, "a flow of the app's own is asked for");
	visits(peer, 7001, 2);
	TAP_INT(app_gets(peer, 7001), 2, "whom it has sent to comes");
	TAP_INT((int)d.n_out, 0, "and is answered the way that they came");
	app_sends(peer, 7001, 53, 3);
	TAP_INT(answered(peer, 7001), 3, "so it is");
}

static void test_silence(void)
{
	const struct addr peer = addr_v4(192, 0, 2, 60);

	visits(peer, 4000, 1);
	(void)app_gets(peer, 4000);
	now += FLOW_SHORT_MS + 1;
	app_sends(peer, 4000, 53, 2);
	TAP_INT(answered(peer, 4000), 0, "who was never answered is not after half a minute");
	now += FLOW_SHORT_MS + 1;
	visits(peer, 4000, 3);
	TAP_INT(app_gets(peer, 4000), 3, "unless they come again");
	app_sends(peer, 4000, 53, 4);
	TAP_INT(answered(peer, 4000), 4, "which they do");
	now += FLOW_LONG_MS - 1;
	app_sends(peer, 4000, 53, 5);
	TAP_INT(answered(peer, 4000), 5, "who was answered is for three minutes");
	now += FLOW_LONG_MS + 1;
	app_sends(peer, 4000, 53, 6);
	TAP_INT(answered(peer, 4000), 0, "and then no more");
}

static void test_crowd(void)
{
	unsigned came = 0, before = (unsigned)d.n_flows;
	const struct addr peer = addr_v4(192, 0, 2, 90), first = addr_v4(192, 0, 2, 91);

	app_sends(peer, 7002, 2000, 1);
	for (unsigned i = 0; i < FLOW_IN_MAX + 10; i++) {
		visits(first, (uint16_t)(10000 + i), i + 1);
		came += app_gets(first, (uint16_t)(10000 + i)) == i + 1;
	}
	TAP_INT(came, FLOW_IN_MAX + 10, "more come than are remembered");
	TAP_INT((int)d.published.v[1]->n_flows, FLOW_IN_MAX, "of whom that many are");
	TAP_INT((int)d.n_flows, (int)before + 1, "what the app has begun is left alone");
	app_sends(first, 10000, 53, 1);
	TAP_INT(answered(first, 10000), 0, "the one who was silent longest is forgotten");
	app_sends(first, 10000 + FLOW_IN_MAX + 9, 53, 2);
	TAP_INT(answered(first, 10000 + FLOW_IN_MAX + 9), 2, "the last one is not");
}

/* All of the machine's loopback is "host" to the app: its answers are for who asked last. */
static void test_loopback(void)
{
	const struct addr one = addr_v4(127, 0, 0, 1), two = addr_v4(127, 0, 0, 2), host = addr_v4(198, 18, 0, 2);

	visits(one, 4100, 1);
	TAP_INT(app_gets(host, 4100), 1, "one comes from the machine's loopback");
	visits(two, 4100, 2);
	TAP_INT(app_gets(host, 4100), 2, "another one from the same port of another address of it");
	app_sends(host, 4100, 53, 3);
	TAP_INT(answered(two, 4100), 3, "and is answered, not the first");
}

/* Anybody may send from as many ports as they like. */
static void test_denied_crowd(void)
{
	const struct addr peer = addr_v4(192, 0, 2, 93);
	struct visit denied = { .head = { .peer = addr_v4(203, 0, 113, 7), .error = EACCES } };

	visits(peer, 4000, 1);
	(void)app_gets(peer, 4000);
	for (unsigned i = 0; i < FLOW_IN_MAX + 10; i++) {
		denied.head.port = (uint16_t)(10000 + i);
		(void)send(port, &denied, sizeof denied.head, 0);
		turn();
	}
	app_sends(peer, 4000, 53, 2);
	TAP_INT(answered(peer, 4000), 2, "who is let in is answered, however many are not");
}

/* Somebody outside had that address before. */
static void test_newcomer(void)
{
	static const char none[] = "{\"version\": 1, \"net\": {\"rules\": []}}";
	struct addr at = addr_v4(10, 1, 1, 5);
	struct domain_at index;
	struct domain third = { .sup = &s, .id = (char *)(uintptr_t)"third", .virtual = &at, .n_virtual = 1, .index = &index,
				.records_since = INT64_MAX / 2, .n_records = DOMAIN_RECORDS_MAX };
	const struct frame_ends e = { at, own[0], 4000, 53 };
	static uint8_t frame[FRAME_MAX];
	int theirs;
	size_t len;

	TAILQ_INIT(&third.flows);
	visits(at, 4000, 1);
	TAP_INT(app_gets(at, 4000), 1, "somebody outside comes");
	TAP_OK(load(&third.policy, none), "a domain that may send to nobody");
	third.hits = calloc(1, sizeof *third.hits);
	domain_index(&third);
	LIST_INSERT_HEAD(&s.domains, &third, link);
	pair_of(SOCK_DGRAM, &theirs, &third.net.packets);
	TAP_INT(flow_add_domain(&s, &third), 0, "has their address from now on");
	memset(frame, 0, sizeof frame);
	len = frame_write(frame, &e, 4);
	TAP_INT((int)send(theirs, frame, len, 0), (int)len, "it sends as they did");
	turn();
	TAP_INT(recv(port, frame, sizeof frame, MSG_DONTWAIT), -1, "which does not leave by the port of another domain");
	app_sends(at, 4000, 53, 2);
	TAP_INT(answered(at, 4000), 0, "nor does what the app sends to it");
	flow_remove_domain(&s, &third);
	LIST_REMOVE(&third, link);
	domain_unindex(&third);
	policy_fini(&third.policy);
	free(third.hits);
	close(theirs);
}

static void test_end(void)
{
	TAP_INT(send(port, "x", 1, 0), 1, "what no gateway says");
	turn();
	TAP_OK(!d.published.v[1]->open && d.published.v[1]->n_flows == 0, "is the end of the port and of its flows");
	app_sends(addr_v4(192, 0, 2, 91), 10000 + FLOW_IN_MAX + 9, 53, 1);
	TAP_OK(d.gateway.fd >= 0, "and of nothing else");
}

int main(void)
{
	struct err e;

	if (loop_init(&s.loop, &e) < 0 || vsk_table_init(&s.table) < 0)
		return 1;
	begin();
	test_way();
	test_lies();
	test_both_ways();
	test_silence();
	test_crowd();
	test_loopback();
	test_denied_crowd();
	test_newcomer();
	test_end();
	finish();
	loop_fini(&s.loop);
	vsk_table_fini(&s.table);
	return tap_done();
}
