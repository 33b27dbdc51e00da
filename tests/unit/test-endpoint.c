/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, names, ports and endpoints: what is read, how it is written back, what is refused. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/addr.h"
#include "model/endpoint.h"
#include "tap.h"

static struct arena arena;

static struct addr addr(const char *text)
{
	struct addr a = { 0 };
	struct err e;

	if (addr_parse(text, &a, &e) < 0)
		TAP_OK(false, "test's own address %s", text);
	return a;
}

static struct prefix prefix(const char *text)
{
	struct prefix p = { 0 };
	struct err e;

	if (prefix_parse(text, &p, &e) < 0)
		TAP_OK(false, "test's own prefix %s", text);
	return p;
}

static void test_addr_text(void)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::FFFF:c000:201", "192.0.2.1" },
		{ "0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "::", "::" },
		{ "::1", "::1" },
	};
	static const struct {
		const char *in, *hint;
	} bad[] = {
		{ "", "192.0.2.1 or" },
		{ "1.2.3", "did you mean 1.2.0.3?" },
		{ "1.2.3.4.5", "192.0.2.1 or" },
		{ "127.1", "did you mean 127.0.0.1?" },
		{ "2130706433", "did you mean 127.0.0.1?" },
		{ "0x7f000001", "did you mean 127.0.0.1?" },
		{ "0x7f.1", "did you mean 127.0.0.1?" },
		{ "0177.0.0.1", "did you mean 127.0.0.1?" },
		{ "010.0.0.1", "did you mean 8.0.0.1?" },
		{ "256.0.0.1", "192.0.2.1 or" },
		{ "1.2.3.-4", "192.0.2.1 or" },
		{ "1.2.3.4 ", "192.0.2.1 or" },
		{ " 1.2.3.4", "192.0.2.1 or" },
		{ "1.2.3.4.", "192.0.2.1 or" },
		{ "1..2.3", "192.0.2.1 or" },
		{ "fe80::1%eth0", "leave it out" },
		{ ":::", "192.0.2.1 or" },
		{ "1::2::3", "192.0.2.1 or" },
		{ "[::1]", "192.0.2.1 or" },
		{ "12345::", "192.0.2.1 or" },
		{ "::ffff:010.0.0.1", "192.0.2.1 or" },
	};
	char buf[ADDR_TEXT_MAX];
	struct addr a, before = addr_v4(9, 9, 9, 9);
	struct err e;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		TAP_INT(addr_parse(good[i].in, &a, &e), 0, "%s is an address", good[i].in);
		TAP_STR(addr_format(&a, buf, sizeof buf), good[i].out, "and written %s", good[i].out);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		a = before;
		TAP_INT(addr_parse(bad[i].in, &a, &e), -EINVAL, "\"%s\" is refused", bad[i].in);
		TAP_HAS(e.hint, bad[i].hint, "with a hint");
		TAP_OK(addr_equal(&a, &before), "and the output stays");
	}
}

static void test_prefix(void)
{
	static const struct {
		const char *in, *out, *hint; /* out NULL: refused */
	} v[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", NULL },
		{ "0.0.0.0/0", "0.0.0.0/0", NULL },
		{ "::/0", "::/0", NULL },
		{ "192.0.2.1", "192.0.2.1", NULL },
		{ "192.0.2.1/32", "192.0.2.1", NULL },
		{ "2001:db8::/32", "2001:db8::/32", NULL },
		{ "2001:db8::1/128", "2001:db8::1", NULL },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8", NULL },
		{ "10.1.2.3/8", NULL, "did you mean 10.0.0.0/8?" },
		{ "10.0.0.128/24", NULL, "did you mean 10.0.0.0/24?" },
		{ "2001:db8::1/64", NULL, "did you mean 2001:db8::/64?" },
		{ "10.0.0.0/33", NULL, "0 to 32" },
		{ "::/129", NULL, "0 to 128" },
		{ "10.0.0.0/", NULL, "0 to 32" },
		{ "10.0.0.0/08", NULL, "0 to 32" },
		{ "10.0.0.0/-1", NULL, "0 to 32" },
		{ "10.0.0.0/255.0.0.0", NULL, "0 to 32" },
		{ "10/8", NULL, "did you mean 0.0.0.10?" },
		{ "/8", NULL, "192.0.2.1" },
	};
	char buf[PREFIX_TEXT_MAX];
	struct prefix p;
	struct err e;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		int rc = prefix_parse(v[i].in, &p, &e);

		if (v[i].out) {
			TAP_INT(rc, 0, "%s is a prefix", v[i].in);
			TAP_STR(prefix_format(&p, buf, sizeof buf), v[i].out, "and written %s", v[i].out);
		} else {
			TAP_INT(rc, -EINVAL, "%s is refused", v[i].in);
			TAP_HAS(e.hint, v[i].hint, "with a hint");
		}
	}
}

static void test_match(void)
{
	static const struct {
		const char *prefix, *addr;
		bool match;
	} v[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },  { "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true }, { "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },     { "::/0", "2001:db8::1", true },
		{ "::/0", "10.0.0.1", false },             { "::/64", "::ffff:10.0.0.1", false },
		{ "::1", "::1", true },                    { "::1", "::", false },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
	};
	static const struct {
		const char *outer, *inner;
		bool covers;
	} c[] = {
		{ "10.0.0.0/8", "10.1.0.0/16", true }, { "10.1.0.0/16", "10.0.0.0/8", false },
		{ "10.0.0.0/8", "10.0.0.0/8", true },  { "::/0", "10.0.0.0/8", false },
		{ "::/0", "2001:db8::/32", true },     { "0.0.0.0/0", "::/0", false },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct prefix p = prefix(v[i].prefix);
		struct addr a = addr(v[i].addr);

		TAP_INT(prefix_match(&p, &a), v[i].match, "%s and %s", v[i].prefix, v[i].addr);
	}
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		struct prefix o = prefix(c[i].outer), n = prefix(c[i].inner);

		TAP_INT(prefix_covers(&o, &n), c[i].covers, "%s covers %s", c[i].outer, c[i].inner);
	}
}

static void test_kinds(void)
{
	static const struct {
		const char *addr;
		enum addr_kind kind;
	} v[] = {
		{ "8.8.8.8", ADDR_PUBLIC },
		{ "192.0.2.1", ADDR_PUBLIC },
		{ "9.255.255.255", ADDR_PUBLIC },
		{ "0.0.0.0", ADDR_UNSPECIFIED },
		{ "0.1.2.3", ADDR_UNSPECIFIED },
		{ "10.0.0.0", ADDR_PRIVATE },
		{ "172.15.255.255", ADDR_PUBLIC },
		{ "172.16.0.0", ADDR_PRIVATE },
		{ "172.31.255.255", ADDR_PRIVATE },
		{ "172.32.0.0", ADDR_PUBLIC },
		{ "192.168.1.1", ADDR_PRIVATE },
		{ "100.64.0.1", ADDR_SHARED },
		{ "100.127.255.255", ADDR_SHARED },
		{ "100.128.0.0", ADDR_PUBLIC },
		{ "127.0.0.1", ADDR_LOOPBACK },
		{ "127.255.255.255", ADDR_LOOPBACK },
		{ "169.254.1.1", ADDR_LINK_LOCAL },
		{ "169.254.169.254", ADDR_METADATA },
		{ "169.254.170.2", ADDR_METADATA },
		{ "168.63.129.16", ADDR_METADATA },
		{ "100.100.100.200", ADDR_METADATA },
		{ "224.0.0.1", ADDR_MULTICAST },
		{ "239.255.255.255", ADDR_MULTICAST },
		{ "240.0.0.1", ADDR_RESERVED },
		{ "255.255.255.255", ADDR_BROADCAST },
		{ "198.18.0.1", ADDR_RESERVED },
		{ "::", ADDR_UNSPECIFIED },
		{ "::1", ADDR_LOOPBACK },
		{ "2606:4700::1111", ADDR_PUBLIC },
		{ "2001:db8::1", ADDR_PUBLIC },
		{ "fe80::1", ADDR_LINK_LOCAL },
		{ "febf::1", ADDR_LINK_LOCAL },
		{ "fec0::1", ADDR_PRIVATE },
		{ "fc00::1", ADDR_PRIVATE },
		{ "fdff::1", ADDR_PRIVATE },
		{ "fd00:ec2::254", ADDR_METADATA },
		{ "fd20:ce::254", ADDR_METADATA },
		{ "ff02::1", ADDR_MULTICAST },
		{ "::ffff:169.254.169.254", ADDR_METADATA },
		{ "::ffff:8.8.8.8", ADDR_PUBLIC },
		{ "::10.0.0.1", ADDR_PRIVATE },
		{ "::ffff:0:10.0.0.1", ADDR_PRIVATE },
		{ "64:ff9b::10.0.0.1", ADDR_PRIVATE },
		{ "64:ff9b::169.254.169.254", ADDR_METADATA },
		{ "64:ff9b::8.8.8.8", ADDR_PUBLIC },
		{ "64:ff9b:1::8.8.8.8", ADDR_PRIVATE },
		{ "2002:7f00:1::", ADDR_LOOPBACK },
		{ "2002:a9fe:a9fe::1", ADDR_METADATA },
		{ "2002:808:808::1", ADDR_PUBLIC },
		{ "2001:0:a00:1::", ADDR_PRIVATE },
		{ "2001:0:808:808:0:0:80ff:fffe", ADDR_LOOPBACK }, /* client 127.0.0.1, inverted */
		{ "2001:db8::5efe:192.168.0.1", ADDR_PRIVATE },
		{ "2001:db8::200:5efe:192.168.0.1", ADDR_PRIVATE },
		{ "4000::1", ADDR_RESERVED },
		{ "100::1", ADDR_RESERVED },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct addr a = addr(v[i].addr);

		TAP_STR(addr_kind_name(addr_kind(&a)), addr_kind_name(v[i].kind), "%s is %s", v[i].addr,
			addr_kind_name(v[i].kind));
	}
}

static void test_sockaddr(void)
{
	struct sockaddr_storage ss;
	struct addr a = addr("192.0.2.7"), six = addr("2001:db8::7"), back;
	uint16_t port = 0;
	socklen_t len;

	len = addr_to_sockaddr(&a, 80, AF_INET, &ss);
	TAP_INT(len, sizeof(struct sockaddr_in), "IPv4 as AF_INET");
	TAP_INT(addr_from_sockaddr((void *)&ss, len, &back, &port), 0, "and back");
	TAP_OK(addr_equal(&a, &back) && port == 80, "is the same");
	TAP_INT(addr_from_sockaddr((void *)&ss, len - 1, &back, &port), -EINVAL, "a short one is refused");
	len = addr_to_sockaddr(&a, 81, AF_INET6, &ss);
	TAP_INT(len, sizeof(struct sockaddr_in6), "IPv4 as AF_INET6");
	TAP_INT(addr_from_sockaddr((void *)&ss, len, &back, &port), 0, "and back");
	TAP_OK(addr_equal(&a, &back) && port == 81, "is the same value");
	TAP_INT(addr_from_sockaddr((void *)&ss, 24, &back, &port), 0, "without the zone too (RFC 2133)");
	TAP_INT(addr_from_sockaddr((void *)&ss, 23, &back, &port), -EINVAL, "not shorter");
	TAP_INT(addr_to_sockaddr(&six, 80, AF_INET, &ss), 0, "IPv6 does not fit AF_INET");
	ss.ss_family = AF_UNIX;
	TAP_INT(addr_from_sockaddr((void *)&ss, sizeof ss, &back, &port), -EAFNOSUPPORT, "AF_UNIX");
	TAP_INT(addr_from_sockaddr((void *)&ss, 1, &back, &port), -EINVAL, "nothing");
}

static void test_endpoints(void)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "db:5432", "db:5432" },
		{ "DB:5432", "db:5432" },
		{ "db.:5432", "db:5432" },
		{ "api.Example.COM.:443", "api.example.com:443" },
		{ "*.example.com:443", "*.example.com:443" },
		{ "*:443", "*:443" },
		{ "*:*", "*:*" },
		{ "host:22", "host:22" },
		{ "HOST:22", "host:22" },
		{ "host.example:22", "host.example:22" },
		{ "192.0.2.0/24:*", "192.0.2.0/24:*" },
		{ "192.0.2.1:80", "192.0.2.1:80" },
		{ "192.0.2.1/32:80", "192.0.2.1:80" },
		{ "[2001:db8::1]:80", "[2001:db8::1]:80" },
		{ "[2001:db8::]/32:80", "[2001:db8::/32]:80" },
		{ "[2001:db8::/32]:80", "[2001:db8::/32]:80" },
		{ "[::ffff:10.0.0.0/104]:80", "10.0.0.0/8:80" },
		{ "a:80,443", "a:80,443" },
		{ "a:443,80", "a:80,443" },
		{ "a:8000-8010", "a:8000-8010" },
		{ "a:80,81,82-84", "a:80-84" },
		{ "a:1-65535", "a:*" },
		{ "a:9-9", "a:9" },
		{ "my_db:1", "my_db:1" },
		{ "xn--bcher-kva.example:443", "xn--bcher-kva.example:443" },
		{ "1a:1", "1a:1" },
		{ "3com.com:1", "3com.com:1" },
		{ "0x.com:1", "0x.com:1" },
	};
	static const struct {
		const char *in, *text, *hint;
	} bad[] = {
		{ "", "no port", "db:5432" },
		{ "db", "no port", "db:5432" },
		{ ":80", "no host", "*:443" },
		{ "db:", "not a port", "443" },
		{ "db:0", "port 0", "every port" },
		{ "db:65536", "not a port", "65535" },
		{ "db:080", "not a port", "" },
		{ "db:80-", "not a port", "" },
		{ "db:-80", "not a port", "" },
		{ "db:90-80", "ends before", "" },
		{ "db:80,,81", "not a port", "" },
		{ "db:80,80", "given twice", "" },
		{ "db:80-90,85", "given twice", "" },
		{ "db:*,80", "not a port", "" },
		{ "db: 80", "not a port", "" },
		{ "db:http", "not a port", "" },
		{ "d b:80", "not a name", "" },
		{ "a..b:80", "empty label", "" },
		{ ".a:80", "empty label", "" },
		{ ".:80", "empty label", "" },
		{ "-a.b:80", "'-'", "" },
		{ "a-.b:80", "'-'", "" },
		{ "b\xc3\xbc" "cher.example:80", "outside ASCII", "xn--" },
		{ "a.*.b:80", "'*'", "*.example.com" },
		{ "*a.b:80", "'*'", "*.example.com" },
		{ "*.*.b:80", "more than one", "" },
		{ "*.:80", "empty name", "" },
		{ "**:80", "'*'", "" },
		{ "localhost:80", "own loopback", "127.0.0.0/8" },
		{ "x.localhost:80", "own loopback", "" },
		{ "*.localhost:80", "own loopback", "" },
		{ "127.1:80", "not an IP address", "127.0.0.1" },
		{ "a.1:80", "not an IP address", "" },
		{ "a.0x1f:80", "not an IP address", "" },
		{ "*.10:80", "not an IP address", "" },
		{ "10.0.0.1.:80", "not an IP address", "last dot" },
		{ "10.1.2.3/8:80", "bits set", "10.0.0.0/8" },
		{ "2001:db8::1:80", "too many colons", "brackets" },
		{ "::1:80", "too many colons", "brackets" },
		{ "[::1]", "no port", "" },
		{ "[::1:80", "brackets", "" },
		{ "[::1]x:80", "brackets", "" },
		{ "[10.0.0.1]:80", "not IPv6", "" },
		{ "[db]:80", "not IPv6", "" },
		{ "[::10.0.0.1]:80", "IPv4-compatible", "10.0.0.1" },
		{ "[fe80::1%lo]:80", "zone", "" },
		{ "https://example.com", "URL", "example.com:443" },
		{ "https://example.com:443", "URL", "" },
		{ "example.com/x:443", "not an IP address", "" },
	};
	char buf[ENDPOINT_TEXT_MAX];
	struct endpoint ep, again;
	struct err e;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		if (!TAP_OK(endpoint_parse(good[i].in, &arena, &ep, &e) == 0, "%s is an endpoint", good[i].in)) {
			printf("# %s\n", e.text);
			continue;
		}
		TAP_STR(endpoint_format(&ep, buf, sizeof buf), good[i].out, "and written %s", good[i].out);
		TAP_OK(endpoint_parse(buf, &arena, &again, &e) == 0 && host_equal(&ep.host, &again.host) &&
			       ports_equal(&ep.ports, &again.ports),
		       "which reads back the same");
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e = (struct err){ 0 };
		TAP_INT(endpoint_parse(bad[i].in, &arena, &ep, &e), -EINVAL, "\"%s\" is refused", bad[i].in);
		TAP_HAS(e.text, bad[i].text, "for its reason");
		TAP_HAS(e.hint, bad[i].hint, "with a hint");
	}
}

static void test_local(void)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} v[] = {
		{ ":8080", ":8080" },          { "*:8080", ":8080" },
		{ "10.88.0.10:80", "10.88.0.10:80" }, { "[fd00::1]:80-90", "[fd00::1]:80-90" },
		{ ":*", ":*" },                { "web:80", NULL },
		{ "10.0.0.0/8:80", NULL },     { "0.0.0.0:80", NULL },
		{ "[::]:80", NULL },           { "host:80", NULL },
	};
	static const struct {
		const char *in;
		bool ok;
		uint16_t port;
	} pub[] = {
		{ "127.0.0.1:18080", true, 18080 }, { "0.0.0.0:80", true, 80 }, { "[::]:80", true, 80 },
		{ "127.0.0.1:0", true, 0 },         { ":80", false, 0 },        { "::1:80", false, 0 },
		{ "[::1]", false, 0 },              { "db:80", false, 0 },      { "127.0.0.1:80-81", false, 0 },
		{ "127.0.0.1:*", false, 0 },        { "[127.0.0.1]:1", false, 0 }, { "127.0.0.1:08", false, 0 },
		{ "10.0.0.0/8:80", false, 0 },
	};
	char buf[ENDPOINT_TEXT_MAX];
	struct endpoint ep;
	struct addr a;
	uint16_t port;
	struct err e;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		int rc = endpoint_parse_local(v[i].in, &arena, &ep, &e);

		TAP_INT(rc, v[i].out ? 0 : -EINVAL, "\"at\": %s", v[i].in);
		if (rc == 0)
			TAP_STR(endpoint_format_local(&ep, buf, sizeof buf), v[i].out, "written back");
	}
	for (size_t i = 0; i < sizeof pub / sizeof *pub; i++) {
		port = 7;
		TAP_INT(endpoint_parse_publish(pub[i].in, &a, &port, &e), pub[i].ok ? 0 : -EINVAL,
			"\"publish\": %s", pub[i].in);
		TAP_INT(port, pub[i].ok ? pub[i].port : 7, "its port");
	}
}

static void test_relations(void)
{
	static const struct {
		const char *outer, *inner;
		bool covers;
	} v[] = {
		{ "*", "db", true },
		{ "*", "host", true },
		{ "*", "10.0.0.0/8", true },
		{ "*.example.com", "api.example.com", true },
		{ "*.example.com", "a.b.example.com", true },
		{ "*.example.com", "example.com", false },
		{ "*.example.com", "badexample.com", false },
		{ "*.example.com", "*.b.example.com", true },
		{ "*.example.com", "*.example.com", true },
		{ "*.b.example.com", "*.example.com", false },
		{ "*.com", "*.example.com", true },
		{ "*.example.com", "*", false },
		{ "db", "db", true },
		{ "db", "db2", false },
		{ "host", "host", true },
		{ "host", "db", false },
		{ "10.0.0.0/8", "10.2.0.0/16", true },
		{ "10.0.0.0/8", "db", false },
	};
	struct host_pattern o, n;
	struct port_set a, b;
	struct err e;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		TAP_OK(host_parse(v[i].outer, &arena, &o, &e) == 0 &&
			       host_parse(v[i].inner, &arena, &n, &e) == 0 &&
			       host_covers(&o, &n) == v[i].covers,
		       "%s %s %s", v[i].outer, v[i].covers ? "covers" : "does not cover", v[i].inner);
	}
	TAP_OK(ports_parse("80,443,8000-8010", &arena, &a, &e) == 0 &&
		       ports_parse("8001-8002,443", &arena, &b, &e) == 0, "two port sets");
	TAP_OK(ports_cover(&a, &b) && !ports_cover(&b, &a), "one covers the other");
	TAP_OK(ports_overlap(&a, &b), "they overlap");
	TAP_INT(ports_count(&a), 13, "how many ports");
	TAP_OK(ports_have(&a, 8010) && !ports_have(&a, 8011) && !ports_have(&a, 79), "single ports");
	TAP_OK(ports_parse("81-442", &arena, &b, &e) == 0 && !ports_overlap(&a, &b), "ports in a gap");
}

static void test_names(void)
{
	char long_label[70], long_name[300], buf[NAME_TEXT_MAX];
	size_t labels = 0;
	struct err e;

	memset(long_label, 'a', 64);
	long_label[64] = '\0';
	TAP_INT(name_parse(long_label, buf, NULL, &e), -EINVAL, "a label of 64 bytes");
	TAP_INT(name_parse(long_label + 1, buf, &labels, &e), 0, "a label of 63 bytes");
	TAP_INT(labels, 1, "is one label");
	for (size_t i = 0; i < 255; i++)
		long_name[i] = i % 2 ? '.' : 'a';
	long_name[254] = '\0';
	TAP_INT(name_parse(long_name, buf, &labels, &e), 0, "253 bytes and a dot");
	long_name[254] = 'a';
	long_name[255] = '\0';
	TAP_INT(name_parse(long_name, buf, &labels, &e), -EINVAL, "255 bytes");
	TAP_INT(name_parse_domain("Web_1", buf, &e), 0, "a domain's name");
	TAP_STR(buf, "web_1", "in its one form");
	TAP_INT(name_parse_domain("host", buf, &e), -EINVAL, "host is reserved");
	TAP_INT(name_parse_domain("LOCALHOST", buf, &e), -EINVAL, "localhost is reserved");
	TAP_INT(name_parse_domain("10", buf, &e), -EINVAL, "a number is none");
	TAP_INT(name_parse_domain("0xa", buf, &e), -EINVAL, "nor a hexadecimal one");
	TAP_INT(name_parse_domain("a.b", buf, &e), -EINVAL, "a dotted name is none");
	TAP_HAS(e.hint, "real hosts", "because that is a real host");
	TAP_OK(name_is_below("a.b.c", "b.c") && name_is_below("a.b.c", "c") &&
		       !name_is_below("b.c", "b.c") && !name_is_below("ab.c", "b.c"),
	       "what lies below a zone");
}

int main(void)
{
	test_addr_text();
	test_prefix();
	test_match();
	test_kinds();
	test_sockaddr();
	test_names();
	test_endpoints();
	test_local();
	test_relations();
	arena_fini(&arena);
	return tap_done();
}
