/* SPDX-License-Identifier: Apache-2.0 */
/* Loading policies and deciding by them. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/policy_decide.h"
#include "model/policy_write.h"
#include "tap.h"

static struct err e;
static struct policy_warnings warnings;

static int load(struct policy *p, const char *text)
{
	struct json_doc doc;
	int rc;

	policy_init_none(p); /* what a failed test looks at next */
	e = (struct err){ 0 };
	policy_warnings_fini(&warnings);
	rc = json_doc_parse(&doc, "p.json", text, strlen(text), &e);
	if (rc < 0)
		return rc;
	rc = policy_read(p, &doc, &warnings, &e);
	json_doc_fini(&doc);
	return rc;
}

#define RULES(rules) "{\"version\":1,\"domain\":\"web\",\"net\":{\"address\":[\"10.88.0.10\"],\"rules\":[" rules "]}}"

static void test_example(void)
{
	static const char text[] =
		"{\n"
		"  \"version\": 1,\n"
		"  \"domain\": \"web\",\n"
		"  \"net\": {\n"
		"    \"address\": [\"10.88.0.10\"],\n"
		"    \"names\": [\"web\", \"www\"],\n"
		"    \"transport\": \"wire\",\n"
		"    \"rules\": [\n"
		"      { \"allow\": \"connect\", \"to\": \"db:5432\" },\n"
		"      { \"allow\": \"connect\", \"to\": \"*.example.com:443\", \"rate\": \"10MB/s\" },\n"
		"      { \"deny\":  \"connect\", \"to\": \"192.0.2.0/24:*\", \"id\": \"no-test-net\",\n"
		"        \"onDeny\": \"kill\", \"message\": \"never\" },\n"
		"      { \"allow\": \"listen\",  \"at\": \":8080\", \"from\": [\"lb\", \"host\"],\n"
		"        \"publish\": \"127.0.0.1:18080\" }\n"
		"    ]\n"
		"  },\n"
		"  \"limits\": { \"memory\": \"512M\", \"pids\": 128, \"sockets\": 1024 },\n"
		"  \"audit\": { \"denied\": true, \"allowed\": true },\n"
		"  \"onDeny\": \"ECONNREFUSED\"\n"
		"}\n";
	struct policy p = { 0 };
	char buf[ENDPOINT_TEXT_MAX];

	if (!TAP_OK(load(&p, text) == 0, "a whole policy loads")) {
		printf("# %s\n", e.text);
		return;
	}
	TAP_INT(warnings.n, 0, "without a warning");
	TAP_STR(p.file, "p.json", "its file");
	TAP_STR(p.domain, "web", "its domain");
	TAP_INT(p.net, POLICY_NET_RULES, "net is an object");
	TAP_INT(p.transport, POLICY_TRANSPORT_WIRE, "its transport");
	TAP_INT(p.n_addresses, 1, "one address");
	TAP_INT(p.n_names, 2, "two names");
	TAP_STR(p.names[1], "www", "the second");
	TAP_INT(p.n_rules, 4, "four rules");
	TAP_STR(endpoint_format(&p.rules[1].endpoints[0], buf, sizeof buf), "*.example.com:443", "rule 2");
	TAP_INT(p.rules[1].options.rate, 10000000, "its rate in bytes");
	TAP_INT(p.rules[2].line, 11, "the line of rule 3");
	TAP_STR(p.rules[2].id, "no-test-net", "its given id");
	TAP_INT(p.rules[2].on_deny, POLICY_DENY_KILL, "its onDeny");
	TAP_STR(p.rules[2].message, "never", "its message");
	TAP_INT(p.rules[3].n_from, 2, "from of rule 4");
	TAP_OK(p.rules[3].publish && p.rules[3].publish_port == 18080, "publish of rule 4");
	TAP_INT(p.limits.memory, 512 << 20, "memory in bytes");
	TAP_INT(p.limits.sockets, 1024, "sockets");
	TAP_OK(p.audit.denied && p.audit.allowed, "audit");
	TAP_INT(p.on_deny, POLICY_DENY_ECONNREFUSED, "onDeny");
	TAP_INT(policy_needs(&p), POLICY_NEEDS_SUPERVISOR | POLICY_NEEDS_GATEWAY | POLICY_NEEDS_RESOLVER |
					  POLICY_NEEDS_WIRE | POLICY_NEEDS_PUBLISH | POLICY_NEEDS_RELAY,
		"what it needs");
	policy_fini(&p);
}

static void test_short_forms(void)
{
	struct policy p = { 0 };

	policy_init_none(&p);
	TAP_INT(p.net, POLICY_NET_NONE, "no policy is none");
	TAP_OK(p.audit.denied && !p.audit.allowed, "that audits denials");
	policy_fini(&p);
	TAP_INT(load(&p, "{\"version\":1}"), 0, "a policy without net");
	TAP_INT(p.net, POLICY_NET_NONE, "is none");
	TAP_INT(policy_needs(&p), 0, "and needs nothing");
	policy_fini(&p);
	TAP_INT(load(&p, "{\"version\":1,\"net\":\"none\"}"), 0, "net none");
	policy_fini(&p);
	TAP_INT(load(&p, "{\"version\":1,\"net\":\"loopback\"}"), 0, "net loopback");
	TAP_INT(p.net, POLICY_NET_LOOPBACK, "is loopback");
	policy_fini(&p);
	TAP_INT(load(&p, "{\"version\":1,\"net\":{}}"), 0, "an empty object");
	TAP_INT(p.net, POLICY_NET_RULES, "is rules, none of them");
	TAP_INT(policy_needs(&p), POLICY_NEEDS_SUPERVISOR, "and needs a supervisor");
	policy_fini(&p);
}

static void test_refused(void)
{
	static const struct {
		const char *json, *text, *hint;
	} bad[] = {
		{ "[]", "p.json:1: (document): expected an object", "" },
		{ "{}", "\"version\" is missing", "\"version\": 1" },
		{ "{\"version\":2}", "version: version 2 is not known", "" },
		{ "{\"version\":\"1\"}", "version: expected an integer", "" },
		{ "{\"version\":1,\n\"domian\":\"a\"}", "p.json:2: domian: unknown key", "\"domain\"" },
		{ "{\"version\":1,\"version\":1}", "duplicate", "" },
		{ "{\"version\":1,\"net\":null}", "net: null says nothing", "leave the key out" },
		{ "{\"version\":1,\"net\":\"nome\"}", "net: \"nome\" is not none or loopback", "\"none\"" },
		{ "{\"version\":1,\"net\":[]}", "net: expected \"none\", \"loopback\" or an object", "" },
		{ "{\"version\":1,\"domain\":\"a.b\"}", "domain: \"a.b\" has dots", "real hosts" },
		{ "{\"version\":1,\"domain\":\"host\"}", "reserved", "" },
		{ "{\"version\":1,\"net\":{\"address\":[\"127.0.0.1\"]}}", "loopback address", "10.88" },
		{ "{\"version\":1,\"net\":{\"address\":[\"10.0.0.0/8\"]}}", "not an IP address", "" },
		{ "{\"version\":1,\"net\":{\"address\":[\"198.18.3.4\"]}}", "resolver's pool", "pools" },
		{ "{\"version\":1,\"net\":{\"address\":[\"10.0.0.1\",\"::ffff:10.0.0.1\"]}}",
		  "net.address[1]: is given twice", "" },
		{ "{\"version\":1,\"net\":{\"address\":\"10.0.0.1\"}}", "expected an array", "" },
		{ "{\"version\":1,\"net\":{\"names\":[\"a\",\"A\"]}}", "net.names[1]: is given twice", "" },
		{ "{\"version\":1,\"net\":{\"transport\":\"udp\"}}", "is not tcp or wire", "" },
		{ "{\"version\":1,\"net\":{\"resolver\":{\"pools\":[\"8.0.0.0/8\"]}}}", "hide real hosts", "" },
		{ "{\"version\":1,\"net\":{\"resolver\":{\"pools\":[\"10.0.0.0/30\"]}}}", "/8 to /28", "" },
		{ "{\"version\":1,\"limits\":{\"memory\":0}}", "limits.memory: 0 lets nothing", "" },
		{ "{\"version\":1,\"limits\":{\"pids\":0}}", "out of range", "" },
		{ "{\"version\":1,\"limits\":{\"memory\":\"lots\"}}", "not a size", "512M" },
		{ "{\"version\":1,\"audit\":{\"denied\":1}}", "expected a boolean", "" },
		{ "{\"version\":1,\"onDeny\":\"EPERM\"}", "is not EACCES, ECONNREFUSED", "" },
		{ RULES("5"), "net.rules[0]: expected an object", "" },
		{ RULES("{}"), "must say \"allow\" or \"deny\"", "" },
		{ RULES("{\"allow\":\"connect\",\"deny\":\"connect\",\"to\":\"a:1\"}"), "both", "" },
		{ RULES("{\"allow\":\"connects\",\"to\":\"a:1\"}"), "is not connect or listen", "\"connect\"" },
		{ RULES("{\"allow\":\"connect\"}"), "\"to\" is missing", "db:5432" },
		{ RULES("{\"allow\":\"listen\"}"), "\"at\" is missing", ":8080" },
		{ RULES("{\"allow\":\"connect\",\"to\":[]}"), "an empty list", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":7}"), "a string or a list of strings", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":[\"a:1\",2]}"), "net.rules[0].to[1]: expected a string", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":[\"a:1\",\"A:1-5\"]}"), "to[1]: overlaps element 0", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:0\"}"), "port 0", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"from\":\"b\"}"), "from: belongs to listen", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"publish\":\"127.0.0.1:1\"}"), "publish: belongs", "" },
		{ RULES("{\"allow\":\"connect\",\"at\":\":1\"}"), "at: belongs to listen rules", "" },
		{ RULES("{\"deny\":\"connect\",\"to\":\"a:1\",\"rate\":\"1M/s\"}"), "rate: belongs to rules that allow", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"onDeny\":\"kill\"}"), "belongs to rules that deny", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"proto\":\"sctp\"}"), "\"tcp\" or \"udp\"", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"proto\":[\"tcp\",\"tcp\"]}"), "given twice", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"rate\":\"0/s\"}"), "rate of 0", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"rate\":\"10MB\"}"), "bytes per second", "10MB/s" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"burst\":\"1M\"}"), "without a rate", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"maxConnections\":0}"), "out of range", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":{}}"), "\"file\" is missing", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\"\"}"), "a plain file name", "--record DIR" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\".x\"}"), "a plain file name", "--record DIR" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\"a/b\"}"), "a plain file name", "--record DIR" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\"../a\"}"), "a plain file name", "--record DIR" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\"a b\"}"), "a plain file name", "--record DIR" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\"a\\n\"}"), "a plain file name", "--record DIR" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":\"x\"},"
			"{\"allow\":\"connect\",\"to\":\"b:1\",\"record\":{\"file\":\"x\",\"format\":\"raw\"}}"),
		  "another rule has this file in another format", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"record\":{\"file\":\"x\",\"format\":\"pcap\"}}"),
		  "is not pcapng or raw", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"tls\":{\"names\":[]}}"), "at least one", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"tls\":{\"name\":[]}}"), "unknown key", "\"names\"" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"proto\":\"udp\",\"tls\":{\"names\":[\"a.b\"]}}"),
		  "TLS over TCP", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a.b:1\",\"forward\":\"A\"}"), "always answered", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a.b:1\",\"forward\":\"ANY\"}"), "not a query type", "TXT" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"forward\":\"TXT\"}"), "names no real host", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"id\":\"a b\"}"), "an id has", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"message\":\"\"}"), "a message has", "" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"a.b\"}"), "known by address", "" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"a\",\"A\"]}"), "from[1]: is given twice", "" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"a\"],\"publish\":\"127.0.0.1:80\"}"),
		  "lets nobody outside in", "host" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":80-81\",\"from\":\"*\",\"publish\":\"127.0.0.1:80\"}"),
		  "one host port", "" },
		{ RULES("{\"allow\":\"listen\",\"at\":\"10.9.9.9:80\",\"from\":\"a\"}"), "does not have this address", "" },
		{ RULES("{\"allow\":\"listen\",\"at\":\"127.0.0.1:80\",\"from\":\"a\"}"), "loopback", ":PORT" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"224.0.0.1:1\"}"), "can never match: multicast", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"198.18.0.9:1\"}"), "pool stand for names", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"0.0.0.0:1\"}"), "nobody's address", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":[\"a:1\",\"b:2\"]},\n{\"allow\":\"connect\",\"to\":[\"B:2\",\"a:1\"]}"),
		  "p.json:2: net.rules[1]: says the same as the rule of line 1", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1\",\"id\":\"x\"},{\"allow\":\"connect\",\"to\":\"b:1\",\"id\":\"x\"}"),
		  "the id \"x\" is that of", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a.b.c:80\"},\n{\"deny\":\"connect\",\"to\":\"*.c:1-100\"}"),
		  "p.json:1: net.rules[0].to: never allows anything: the rule of line 2", "beats any allow" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"10.1.0.0/16:80\"},{\"deny\":\"connect\",\"to\":\"10.0.0.0/8:*\"}"),
		  "never allows anything", "" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"a\"},{\"deny\":\"listen\",\"at\":\":*\"}"),
		  "never allows anything", "" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a:1-2\",\"rate\":\"1M/s\"},{\"allow\":\"connect\",\"to\":\"a:2-3\"}"),
		  "overlaps the rule of line 1", "one of them" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"*\",\"publish\":\"0.0.0.0:80\"},"
			"{\"allow\":\"listen\",\"at\":\":81\",\"from\":\"*\",\"publish\":\"127.0.0.1:80\"}"),
		  "publishes there", "" },
	};
	struct policy p = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int rc = load(&p, bad[i].json);

		if (rc == 0)
			policy_fini(&p);
		TAP_INT(rc, -EINVAL, "refused: %.60s", bad[i].text);
		TAP_HAS(e.text, bad[i].text, "for its reason");
		TAP_HAS(e.hint, bad[i].hint, "with a hint");
	}
}

static void test_warnings(void)
{
	static const struct {
		const char *json, *text;
	} v[] = {
		{ RULES("{\"allow\":\"connect\",\"to\":\"web:1\"}"), "the domain itself" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"10.88.0.10:1\"}"), "the domain itself" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"0.0.0.0/0:1\"}"), "cloud metadata" },
		{ RULES("{\"allow\":\"connect\",\"to\":\"a.b:1\"},{\"allow\":\"connect\",\"to\":\"*.b:*\"}"), "adds nothing" },
		{ RULES("{\"deny\":\"connect\",\"to\":\"a.b:1\"},{\"deny\":\"connect\",\"to\":\"*:*\"}"), "adds nothing" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":1\"}"), "only the domain itself" },
		{ RULES("{\"allow\":\"listen\",\"at\":\":1\",\"from\":[\"a\",\"*\"]}"), "from[0]: adds nothing" },
		{ "{\"version\":1,\"net\":{\"address\":[\"8.8.8.8\"]}}", "a public address" },
	};
	struct policy p = { 0 };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!TAP_OK(load(&p, v[i].json) == 0, "loads: %s", v[i].text)) {
			printf("# %s\n", e.text);
			continue;
		}
		TAP_OK(warnings.n >= 1, "with a warning");
		TAP_HAS(warnings.n ? warnings.v[0].text : "", v[i].text, "that says why");
		policy_fini(&p);
	}
	TAP_INT(load(&p, RULES("{\"allow\":\"connect\",\"to\":\"host:1\"},{\"allow\":\"connect\",\"to\":\"*:*\"}")), 0,
		"\"*\" and host");
	TAP_INT(warnings.n, 0, "are not the same");
	policy_fini(&p);
}

/* --- decisions ------------------------------------------------------------------- */

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): the order in which a line reads */
struct try {
	const char *kind; /* "connect", "listen", "accept", "resolve" */
	enum party_kind party;
	const char *name, *addr; /* or NULL */
	unsigned port;
	bool allow;
	enum policy_reason reason;
};

static void decide(const struct policy *p, const struct try *t, struct policy_verdict *v)
{
	static const char *const kinds[] = { "connect", "listen", "accept", "resolve" };
	struct policy_attempt a = { .proto = POLICY_TCP, .port = (uint16_t)t->port };
	struct addr addr;
	struct err ignored;

	while (strcmp(kinds[a.kind], t->kind) != 0)
		a.kind++;
	a.peer.kind = t->party;
	a.peer.names = &t->name;
	a.peer.n_names = t->name != NULL;
	if (t->addr && addr_parse(t->addr, &addr, &ignored) == 0) {
		if (a.kind == ATTEMPT_LISTEN)
			a.local = &addr;
		else
			a.peer.addr = &addr;
	}
	policy_decide(p, &a, v);
}

static void decide_all(const struct policy *p, const struct try *t, size_t n)
{
	struct policy_verdict v;

	for (size_t i = 0; i < n; i++) {
		decide(p, &t[i], &v);
		TAP_OK(v.allow == t[i].allow && v.reason == t[i].reason, "%s %s %s %s:%u",
		       t[i].allow ? "allow" : "deny", t[i].kind, t[i].name ? t[i].name : "",
		       t[i].addr ? t[i].addr : "", t[i].port);
		if (v.allow != t[i].allow || v.reason != t[i].reason)
			printf("#   got:  %d %d\n#   want: %d %d\n", v.allow, v.reason, t[i].allow, t[i].reason);
	}
}

static void test_decide(void)
{
	static const char text[] =
		RULES("{\"allow\":\"connect\",\"to\":\"db:5432\"},"
		      "{\"allow\":\"connect\",\"to\":\"10.88.0.20:6379\"},"
		      "{\"allow\":\"connect\",\"to\":[\"*.example.com:443\",\"example.org:1-100\"]},"
		      "{\"deny\":\"connect\",\"to\":\"evil.example.com:*\"},"
		      "{\"deny\":\"connect\",\"to\":\"203.0.113.0/24:*\"},"
		      "{\"allow\":\"connect\",\"to\":\"10.1.0.0/16:443\"},"
		      "{\"allow\":\"connect\",\"to\":\"host:5000\"},"
		      "{\"deny\":\"connect\",\"to\":\"127.0.0.1:22\"},"
		      "{\"deny\":\"connect\",\"to\":\"example.org:1-50\"},"
		      "{\"deny\":\"connect\",\"to\":\"example.org:51-100\",\"proto\":\"udp\"},"
		      "{\"allow\":\"connect\",\"to\":\"one.example.org:1-80\"},"
		      "{\"deny\":\"connect\",\"to\":\"one.example.org:1-79\"},"
		      "{\"allow\":\"connect\",\"to\":\"none.example.org:1-80\"},"
		      "{\"deny\":\"connect\",\"to\":\"none.example.org:1-79\"},"
		      "{\"deny\":\"connect\",\"to\":\"none.example.org:80-90\"},"
		      "{\"allow\":\"listen\",\"at\":\":8080\",\"from\":[\"lb\",\"host\",\"192.0.2.0/24\"]},"
		      "{\"deny\":\"listen\",\"at\":\":8080\",\"from\":[\"192.0.2.66\"]},"
		      "{\"deny\":\"listen\",\"at\":\":9\"},"
		      "{\"deny\":\"listen\",\"at\":\"10.88.0.10:10\"}");
	static const struct try t[] = {
		{ "connect", PARTY_DOMAIN, "db", "10.88.0.11", 5432, true, POLICY_BY_RULE },
		{ "connect", PARTY_DOMAIN, "db", NULL, 5432, true, POLICY_BY_RULE },
		{ "connect", PARTY_DOMAIN, "db", "10.88.0.11", 5433, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_DOMAIN, "db2", "10.88.0.11", 5432, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_DOMAIN, "cache", "10.88.0.20", 6379, true, POLICY_BY_RULE },
		{ "connect", PARTY_DOMAIN, "db", "203.0.113.5", 5432, false, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "api.example.com", "198.51.100.1", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "a.b.example.com", NULL, 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "example.com", NULL, 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_NAME, "evil.example.com", NULL, 443, false, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "sub.evil.example.com", NULL, 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "api.example.com", "203.0.113.7", 443, false, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "api.example.com", "64:ff9b::203.0.113.7", 443, false, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "api.example.com", "2002:cb00:7107::1", 443, false, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "api.example.com", "127.0.0.1", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_NAME, "api.example.com", "10.2.0.1", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_NAME, "api.example.com", "10.1.0.1", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "api.example.com", "64:ff9b::10.1.0.1", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_NAME, "api.example.com", "169.254.169.254", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_NAME, "api.example.com", "fd00:ec2::254", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_NAME, "api.example.com", "::ffff:10.2.0.1", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_NAME, "internal.corp.example", "10.1.0.1", 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_ADDR, NULL, "10.1.2.3", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_ADDR, NULL, "::ffff:10.1.2.3", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_ADDR, NULL, "10.2.2.3", 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_ADDR, NULL, "198.51.100.1", 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_HOST, NULL, NULL, 5000, true, POLICY_BY_RULE },
		{ "connect", PARTY_HOST, NULL, NULL, 5001, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_OWN, "web", "127.0.0.1", 80, true, POLICY_BY_OWN },
		{ "connect", PARTY_OWN, "web", "10.88.0.10", 80, true, POLICY_BY_OWN },
		{ "connect", PARTY_OWN, "web", "127.0.0.1", 22, false, POLICY_BY_RULE },
		{ "connect", PARTY_OWN, "web", "127.0.0.2", 22, true, POLICY_BY_OWN },
		{ "resolve", PARTY_NAME, "api.example.com", NULL, 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_NAME, "evil.example.com", NULL, 0, false, POLICY_BY_RULE },
		{ "resolve", PARTY_NAME, "example.com", NULL, 0, false, POLICY_BY_DEFAULT },
		{ "resolve", PARTY_NAME, "example.org", NULL, 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_NAME, "one.example.org", NULL, 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_NAME, "none.example.org", NULL, 0, false, POLICY_BY_RULE },
		{ "resolve", PARTY_DOMAIN, "db", NULL, 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_DOMAIN, "cache", "10.88.0.20", 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_DOMAIN, "cache", "10.88.0.21", 0, false, POLICY_BY_DEFAULT },
		{ "resolve", PARTY_HOST, NULL, NULL, 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_OWN, "web", NULL, 0, true, POLICY_BY_OWN },
		{ "listen", PARTY_OWN, NULL, NULL, 8080, true, POLICY_BY_RULE },
		{ "listen", PARTY_OWN, NULL, "::", 8080, true, POLICY_BY_RULE },
		{ "listen", PARTY_OWN, NULL, "127.0.0.1", 8081, true, POLICY_BY_OWN },
		{ "listen", PARTY_OWN, NULL, "10.88.0.10", 9, false, POLICY_BY_RULE },
		{ "listen", PARTY_OWN, NULL, "0.0.0.0", 9, false, POLICY_BY_RULE },
		{ "listen", PARTY_OWN, NULL, "0.0.0.0", 10, false, POLICY_BY_RULE },
		{ "listen", PARTY_OWN, NULL, "127.0.0.1", 10, true, POLICY_BY_OWN },
		{ "accept", PARTY_DOMAIN, "lb", NULL, 8080, true, POLICY_BY_RULE },
		{ "accept", PARTY_DOMAIN, "db", NULL, 8080, false, POLICY_BY_DEFAULT },
		{ "accept", PARTY_DOMAIN, "lb", NULL, 8081, false, POLICY_BY_DEFAULT },
		{ "accept", PARTY_HOST, NULL, "127.0.0.1", 8080, true, POLICY_BY_RULE },
		{ "accept", PARTY_ADDR, NULL, "192.0.2.65", 8080, true, POLICY_BY_RULE },
		{ "accept", PARTY_ADDR, NULL, "192.0.2.66", 8080, false, POLICY_BY_RULE },
		{ "accept", PARTY_ADDR, NULL, "198.51.100.1", 8080, false, POLICY_BY_DEFAULT },
		{ "accept", PARTY_OWN, "web", "127.0.0.1", 8080, true, POLICY_BY_OWN },
		{ "accept", PARTY_OWN, "web", "127.0.0.1", 9, false, POLICY_BY_RULE },
	};
	struct policy p = { 0 };

	if (!TAP_OK(load(&p, text) == 0, "a policy of many rules")) {
		printf("# %s\n", e.text);
		return;
	}
	decide_all(&p, t, sizeof t / sizeof *t);
	policy_fini(&p);
}

/* A bundle's policy may be anybody's, and "policy show" writes it to a terminal. */
static void test_controls(void)
{
	static const char text[] =
		RULES("{\"id\":\"m\",\"deny\":\"connect\",\"to\":\"*:25\",\"message\":\"\\u001b[1m \\u009b31m \\u007f \\u202e \\u2069 gr\\u00f6\\u00dfe\"}");
	AUTO_FREE char *out = NULL, *again = NULL;
	struct policy p, q;

	TAP_OK(load(&p, text) == 0 && policy_format(&p, &out, &e) == 0, "a policy with control characters is written");
	if (!out)
		return;
	TAP_OK(strstr(out, "\\u001B[1m \\u009b31m \\u007f \\u202e \\u2069 gr\xc3\xb6\xc3\x9f" "e") != NULL,
	       "with none of them as it is, and other text as it is");
	printf("# %s\n", out);
	if (TAP_OK(load(&q, out) == 0 && policy_format(&q, &again, &e) == 0, "and is read again")) {
		TAP_STR(again, out, "as the same");
		policy_fini(&q);
	}
	policy_fini(&p);
}

/* A rule for 127.0.0.1 is about the domain's own; the machine's is host. */
static void test_machine(void)
{
	static const char text[] =
		RULES("{\"allow\":\"connect\",\"to\":[\"a.example:*\",\"127.0.0.0/8:*\",\"[::1]:*\"]},"
		      "{\"allow\":\"connect\",\"to\":\"host:80-90\"},"
		      "{\"deny\":\"connect\",\"to\":\"host:85\"}");
	static const struct try t[] = {
		{ "connect", PARTY_NAME, "a.example", "127.0.0.1", 443, false, POLICY_BY_HOST },
		{ "connect", PARTY_NAME, "a.example", "::1", 443, false, POLICY_BY_HOST },
		{ "connect", PARTY_NAME, "a.example", "127.0.0.1", 80, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "a.example", "127.0.0.1", 85, false, POLICY_BY_HOST },
		{ "connect", PARTY_NAME, "a.example", "192.0.2.1", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_OWN, "web", "127.0.0.1", 443, true, POLICY_BY_RULE },
	};
	struct policy p;

	if (!TAP_OK(load(&p, text) == 0, "a policy about loopback loads"))
		return;
	decide_all(&p, t, sizeof t / sizeof *t);
	policy_fini(&p);
}

static void test_any(void)
{
	static const struct try t[] = {
		{ "connect", PARTY_DOMAIN, "db", "10.88.0.11", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "a.example", "8.8.8.8", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_NAME, "a.example", "10.0.0.1", 443, false, POLICY_BY_ADDRESS },
		{ "connect", PARTY_ADDR, NULL, "8.8.8.8", 443, true, POLICY_BY_RULE },
		{ "connect", PARTY_ADDR, NULL, "10.0.0.1", 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_ADDR, NULL, "169.254.169.254", 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_HOST, NULL, NULL, 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_HOST, NULL, "127.0.0.1", 443, false, POLICY_BY_DEFAULT },
		{ "connect", PARTY_HOST, NULL, NULL, 25, false, POLICY_BY_RULE },
		{ "connect", PARTY_OWN, "web", "127.0.0.1", 25, false, POLICY_BY_RULE },
		{ "resolve", PARTY_NAME, "any.thing.example", NULL, 0, true, POLICY_BY_RULE },
		{ "resolve", PARTY_HOST, NULL, NULL, 0, false, POLICY_BY_DEFAULT },
	};
	static const struct try none[] = {
		{ "connect", PARTY_OWN, "web", "127.0.0.1", 80, false, POLICY_BY_NET_NONE },
		{ "listen", PARTY_OWN, NULL, NULL, 80, false, POLICY_BY_NET_NONE },
		{ "resolve", PARTY_NAME, "a.b", NULL, 0, false, POLICY_BY_NET_NONE },
	};
	static const struct try loopback[] = {
		{ "connect", PARTY_OWN, NULL, "127.0.0.1", 80, true, POLICY_BY_OWN },
		{ "connect", PARTY_OWN, NULL, "10.0.0.1", 80, false, POLICY_BY_NET_LOOPBACK },
		{ "connect", PARTY_DOMAIN, "db", NULL, 80, false, POLICY_BY_NET_LOOPBACK },
		{ "listen", PARTY_OWN, NULL, NULL, 80, true, POLICY_BY_OWN },
		{ "listen", PARTY_OWN, NULL, "::1", 80, true, POLICY_BY_OWN },
		{ "listen", PARTY_OWN, NULL, "10.0.0.1", 80, false, POLICY_BY_NET_LOOPBACK },
		{ "accept", PARTY_HOST, NULL, "127.0.0.1", 80, false, POLICY_BY_NET_LOOPBACK },
		{ "resolve", PARTY_NAME, "a.b", NULL, 0, false, POLICY_BY_NET_LOOPBACK },
		{ "resolve", PARTY_OWN, NULL, NULL, 0, true, POLICY_BY_OWN },
	};
	struct policy p = { 0 };

	if (TAP_OK(load(&p, RULES("{\"allow\":\"connect\",\"to\":\"*:443\"},{\"deny\":\"connect\",\"to\":\"*:25\"}")) == 0,
		   "a policy of stars")) {
		decide_all(&p, t, sizeof t / sizeof *t);
		policy_fini(&p);
	}
	policy_init_none(&p);
	decide_all(&p, none, sizeof none / sizeof *none);
	p.net = POLICY_NET_LOOPBACK;
	decide_all(&p, loopback, sizeof loopback / sizeof *loopback);
	policy_fini(&p);
}

/* Of several rules that allow, the one that says most decides, wherever it stands. */
static void test_specific(void)
{
	static const char *const rules[] = {
		"{\"id\":\"any\",\"allow\":\"connect\",\"to\":\"*:443\",\"rate\":\"1/s\"}",
		"{\"id\":\"zone\",\"allow\":\"connect\",\"to\":\"*.example:443\",\"rate\":\"2/s\"}",
		"{\"id\":\"below\",\"allow\":\"connect\",\"to\":\"*.b.example:443\",\"rate\":\"3/s\"}",
		"{\"id\":\"name\",\"allow\":\"connect\",\"to\":\"a.b.example:400-500\",\"rate\":\"4/s\"}",
		"{\"id\":\"port\",\"allow\":\"connect\",\"to\":\"c.b.example:443\",\"rate\":\"5/s\",\"proto\":[\"tcp\",\"udp\"]}",
		"{\"id\":\"ports\",\"allow\":\"connect\",\"to\":\"c.b.example:440-443\",\"rate\":\"6/s\"}",
		"{\"id\":\"tcp\",\"allow\":\"connect\",\"to\":\"c.b.example:443\",\"rate\":\"7/s\"}",
		"{\"id\":\"eight\",\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\",\"rate\":\"8/s\",\"maxBytes\":9}",
		"{\"id\":\"nine\",\"allow\":\"connect\",\"to\":\"10.1.0.0/16:443\",\"rate\":\"1/s\"}",
	};
	static const struct {
		const char *name, *addr, *rule;
		unsigned rate;
	} v[] = {
		{ "x.test", "192.0.2.1", "any", 1 },        { "x.example", "192.0.2.1", "zone", 2 },
		{ "x.b.example", "192.0.2.1", "below", 3 }, { "a.b.example", "192.0.2.1", "name", 4 },
		{ "c.b.example", "192.0.2.1", "tcp", 7 },   { NULL, "10.9.0.1", "eight", 8 },
		{ NULL, "10.1.0.1", "nine", 1 },            { "a.b.example", "10.1.0.1", "name", 1 },
	};
	enum { N = sizeof rules / sizeof *rules };
	struct policy_verdict verdict;
	struct policy_options o;
	struct policy p = { 0 };
	char text[2048];

	for (size_t turn = 0; turn < N; turn++) {
		size_t n = (size_t)snprintf(text, sizeof text, "{\"version\":1,\"net\":{\"rules\":[");

		for (size_t i = 0; i < N; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? "," : "", rules[(i + turn) % N]);
		(void)snprintf(text + n, sizeof text - n, "]}}");
		if (!TAP_OK(load(&p, text) == 0, "rules in order %zu", turn)) {
			printf("# %s\n", e.text);
			return;
		}
		for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
			struct try t = { "connect", v[i].name ? PARTY_NAME : PARTY_ADDR, v[i].name, v[i].addr, 443,
					 true, POLICY_BY_RULE };

			decide(&p, &t, &verdict);
			TAP_STR(verdict.rule ? verdict.rule->id : "none", v[i].rule, "%s %s",
				v[i].name ? v[i].name : "", v[i].addr);
			policy_verdict_options(&verdict, &o);
			TAP_INT(o.rate, v[i].rate, "its rate, the least of name and address");
		}
		policy_fini(&p);
	}
}

/* Two rules whose eight digits are the same; found by trying. */
#define TWIN_A "d54133:80"
#define TWIN_B "d323693:80"

static void test_ids(void)
{
	struct policy p = { 0 }, q = { 0 };

	if (TAP_OK(load(&p, RULES("{\"allow\":\"connect\",\"to\":[\"a:1\",\"b:2\"]},"
				  "{\"allow\":\"connect\",\"to\":\"c:3\"}")) == 0, "one order")) {
		if (TAP_OK(p.n_rules == 2 && load(&q, RULES("{\"allow\":\"connect\",\"to\":\"c:3\",\"rate\":\"1M/s\"},"
					  "{\"allow\":\"connect\",\"to\":[\"B:2\",\"a:1-1\"],\"proto\":\"tcp\"}")) == 0,
			   "another order") &&
		    q.n_rules == 2) {
			TAP_STR(p.rules[0].id, q.rules[1].id, "the derived id follows the meaning");
			TAP_STR(p.rules[1].id, q.rules[0].id, "and not the options");
			TAP_INT(strlen(p.rules[0].id), 9, "its length");
			policy_fini(&q);
		}
		policy_fini(&p);
	}
	if (TAP_OK(load(&p, RULES("{\"allow\":\"connect\",\"to\":\"" TWIN_A "\"},"
				  "{\"allow\":\"connect\",\"to\":\"" TWIN_B "\"},{\"allow\":\"connect\",\"to\":\"a:1\"}")) == 0 &&
			   p.n_rules == 3,
		   "two rules with the same hash")) {
		TAP_INT(strlen(p.rules[0].id), 17, "get longer ids");
		TAP_OK(strcmp(p.rules[0].id, p.rules[1].id) != 0 && strncmp(p.rules[0].id, p.rules[1].id, 9) == 0,
		       "that differ");
		TAP_INT(strlen(p.rules[2].id), 9, "and others do not");
		policy_fini(&p);
	}
}

static void test_pair_and_ceiling(void)
{
	struct policy client, server, ceiling;
	struct policy_pair_verdict pair;
	struct policy_side c = { .policy = &client }, s = { .policy = &server };

	if (!TAP_OK(load(&client, "{\"version\":1,\"domain\":\"web\",\"net\":{\"rules\":[{\"allow\":\"connect\","
				  "\"to\":[\"db:5432\",\"cache:1\"]}]}}") == 0 &&
			    load(&server, "{\"version\":1,\"domain\":\"db\",\"net\":{\"rules\":[{\"allow\":\"listen\","
					  "\"at\":\":*\",\"from\":\"web\"}]}}") == 0 &&
			    load(&ceiling, "{\"version\":1,\"net\":{\"rules\":[{\"allow\":\"connect\","
					   "\"to\":\"*:443\"}]}}") == 0,
		    "three policies"))
		return;
	policy_decide_pair(&c, &s, POLICY_TCP, 5432, &pair);
	TAP_OK(pair.allow && pair.client.allow && pair.server.allow, "both sides allow");
	policy_decide_pair(&c, &s, POLICY_TCP, 5433, &pair);
	TAP_OK(!pair.allow && !pair.client.allow && pair.server.allow, "the client's side lacks the rule");
	policy_decide_pair(&s, &c, POLICY_TCP, 5432, &pair);
	TAP_OK(!pair.allow && !pair.server.allow, "the other way round");
	policy_decide_pair(&c, &s, POLICY_UDP, 5432, &pair);
	TAP_OK(!pair.allow, "UDP is another matter");
	server.transport = POLICY_TRANSPORT_WIRE;
	policy_decide_pair(&c, &s, POLICY_TCP, 5432, &pair);
	TAP_OK(!pair.allow && pair.client.reason == POLICY_BY_TRANSPORT && pair.client.policy == &client &&
		       pair.server.allow,
	       "a wire does not fit what is none");
	policy_decide_pair(&c, &s, POLICY_TCP, 5433, &pair);
	TAP_INT(pair.client.reason, POLICY_BY_DEFAULT, "a rule that lacks comes first");
	client.transport = POLICY_TRANSPORT_WIRE;
	policy_decide_pair(&c, &s, POLICY_TCP, 5432, &pair);
	TAP_OK(pair.allow, "two wires do");
	/* cppcheck-suppress redundantAssignment ; c and s point to them */
	client.transport = server.transport = POLICY_TRANSPORT_TCP;
	c.ceiling = &ceiling;
	policy_decide_pair(&c, &s, POLICY_TCP, 5432, &pair);
	TAP_OK(!pair.allow && pair.client.policy == &ceiling, "the ceiling forbids and is named");
	policy_fini(&client);
	policy_fini(&server);
	policy_fini(&ceiling);
}

static void put(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		TAP_OK(false, "writing %s", name);
	if (fd >= 0)
		close(fd);
}

static void test_find(void)
{
	char dir[] = "/tmp/test-policy-XXXXXX", path[64];
	struct policy_sources s = { .bundle_fd = -1, .bundle_dir = dir };
	enum policy_source source = POLICY_FROM_OPTION;
	struct policy p = { 0 };

	if (!TAP_OK(mkdtemp(dir) != NULL, "a directory"))
		return;
	s.bundle_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), 0, "no policy anywhere");
	TAP_OK(source == POLICY_FROM_NOWHERE && p.net == POLICY_NET_NONE, "is none");
	s.annotation = "net.json";
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), -ENOENT, "an annotation that leads nowhere");
	TAP_HAS(e.text, "org.vrun.policy", "is named");
	put(s.bundle_fd, "net.json", "{\"version\":1,\"net\":\"loopback\"}");
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), 0, "an annotation");
	TAP_OK(source == POLICY_FROM_ANNOTATION && p.net == POLICY_NET_LOOPBACK, "is followed");
	policy_fini(&p);
	s.annotation = "/etc/passwd";
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), -EXDEV, "but not out of the bundle");
	s.annotation = "../x";
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), -EXDEV, "by no path");
	TAP_INT(symlinkat("/etc/passwd", s.bundle_fd, "policy.json"), 0, "a link that leads out");
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), -EXDEV, "is refused");
	TAP_INT(unlinkat(s.bundle_fd, "policy.json", 0), 0, "without it");
	put(s.bundle_fd, "policy.json", "{\"version\":1,\"domain\":\"b\"}");
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), 0, "the bundle's own policy");
	TAP_OK(source == POLICY_FROM_BUNDLE, "comes before the annotation");
	policy_fini(&p);
	(void)snprintf(path, sizeof path, "%s/net.json", dir);
	s.option = path;
	TAP_INT(policy_find(&p, &s, &source, NULL, &e), 0, "the option");
	TAP_OK(source == POLICY_FROM_OPTION && p.net == POLICY_NET_LOOPBACK, "comes before all");
	policy_fini(&p);
	TAP_INT(unlinkat(s.bundle_fd, "policy.json", 0) | unlinkat(s.bundle_fd, "net.json", 0), 0, "cleaned up");
	close(s.bundle_fd);
	TAP_INT(rmdir(dir), 0, "and gone");
}

/* A list of n elements, as somebody who means harm would write it. */
static char *many(const char *head, const char *format, size_t n, const char *tail)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	(void)fputs(head, f);
	for (size_t i = 0; i < n; i++) {
		(void)fputs(i ? "," : "", f);
		for (const char *p = format; *p; p++)
			(void)(*p == '#' ? fprintf(f, "%zu", i + 1) : fputc(*p, f));
	}
	(void)fputs(tail, f);
	(void)fclose(f);
	return text;
}

static void test_bounds(void)
{
	static const struct {
		const char *head, *format, *tail;
		size_t max;
		const char *text;
	} v[] = {
		{ "{\"version\":1,\"net\":{\"rules\":[", "{\"allow\":\"connect\",\"to\":\"a:#\"}", "]}}",
		  POLICY_RULES_MAX, "at most 10000" },
		{ "{\"version\":1,\"net\":{\"rules\":[{\"allow\":\"connect\",\"to\":[", "\"a#:1\"", "]}]}}",
		  POLICY_RULE_LIST_MAX, "net.rules[0].to: 1001 elements; at most 1000" },
		{ "{\"version\":1,\"net\":{\"rules\":[{\"allow\":\"listen\",\"at\":\":1\",\"from\":[", "\"a#\"", "]}]}}",
		  POLICY_RULE_LIST_MAX, "net.rules[0].from: 1001 elements; at most 1000" },
		{ "{\"version\":1,\"net\":{\"names\":[", "\"a#\"", "]}}", POLICY_LIST_MAX, "net.names: 257 elements" },
		{ "{\"version\":1,\"net\":{\"rules\":[", "{\"allow\":\"connect\",\"to\":[\"a#:1\",\"b#:1\"]}", "]}}",
		  POLICY_ELEMENTS_MAX / 2, "more than 10000 elements" },
		{ "{\"version\":1,\"net\":{\"rules\":[", "{\"allow\":\"connect\",\"to\":\"a#:1,3,5,7\"}", "]}}",
		  POLICY_RANGES_MAX / 4, "more than 20000 ranges" },
	};
	struct policy p = { 0 };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		AUTO_FREE char *most = many(v[i].head, v[i].format, v[i].max, v[i].tail);
		AUTO_FREE char *more = many(v[i].head, v[i].format, v[i].max + 1, v[i].tail);

		TAP_INT(most ? load(&p, most) : -1, 0, "%zu of %s", v[i].max, v[i].format);
		TAP_OK(warnings.n <= POLICY_WARNINGS_MAX, "not too many warnings");
		policy_fini(&p);
		TAP_INT(more ? load(&p, more) : -1, -EINVAL, "one more");
		TAP_HAS(e.text, v[i].text, "is refused");
	}
}

int main(void)
{
	test_example();
	test_short_forms();
	test_refused();
	test_warnings();
	test_decide();
	test_machine();
	test_controls();
	test_any();
	test_ids();
	test_specific();
	test_pair_and_ceiling();
	test_find();
	test_bounds();
	policy_warnings_fini(&warnings);
	return tap_done();
}
