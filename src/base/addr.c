/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr){ .b = { [10] = 0xff, [11] = 0xff, a, b, c, d } };
}

static struct addr v4_at(const uint8_t *p)
{
	return addr_v4(p[0], p[1], p[2], p[3]);
}

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->b, mapped, sizeof mapped) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

struct prefix prefix_of(const struct addr *a, uint8_t bits)
{
	struct prefix p = { .addr = *a, .bits = bits };
	unsigned whole = bits / 8;

	if (whole < 16) {
		p.addr.b[whole] &= (uint8_t)(0xff00U >> (bits % 8));
		memset(p.addr.b + whole + 1, 0, 15 - whole);
	}
	return p;
}

bool prefix_match(const struct prefix *p, const struct addr *a)
{
	if (p->bits < ADDR_V4_BITS && addr_is_v4(a))
		return false;
	return bits_equal(p->addr.b, a->b, p->bits);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->bits <= inner->bits && prefix_match(outer, &inner->addr);
}

/* --- kinds ---------------------------------------------------------------- */

/* First match wins, so single addresses come before the ranges around them. */
static const struct {
	uint8_t b[4];
	uint8_t bits;
	enum addr_kind kind;
} v4_kinds[] = {
	{ { 169, 254, 169, 254 }, 32, ADDR_METADATA }, /* AWS, GCP, Azure, OpenStack ... */
	{ { 169, 254, 170, 2 }, 32, ADDR_METADATA },   /* AWS containers */
	{ { 169, 254, 170, 23 }, 32, ADDR_METADATA },  /* AWS pods */
	{ { 168, 63, 129, 16 }, 32, ADDR_METADATA },   /* Azure, a public address */
	{ { 100, 100, 100, 200 }, 32, ADDR_METADATA }, /* Alibaba */
	{ { 192, 0, 0, 192 }, 32, ADDR_METADATA },     /* Oracle */
	{ { 0, 0, 0, 0 }, 8, ADDR_UNSPECIFIED },
	{ { 127, 0, 0, 0 }, 8, ADDR_LOOPBACK },
	{ { 169, 254, 0, 0 }, 16, ADDR_LINK_LOCAL },
	{ { 10, 0, 0, 0 }, 8, ADDR_PRIVATE },
	{ { 172, 16, 0, 0 }, 12, ADDR_PRIVATE },
	{ { 192, 168, 0, 0 }, 16, ADDR_PRIVATE },
	{ { 100, 64, 0, 0 }, 10, ADDR_SHARED },
	{ { 192, 0, 0, 0 }, 24, ADDR_RESERVED },
	{ { 192, 88, 99, 0 }, 24, ADDR_RESERVED },
	{ { 198, 18, 0, 0 }, 15, ADDR_RESERVED },
	{ { 224, 0, 0, 0 }, 4, ADDR_MULTICAST },
	{ { 255, 255, 255, 255 }, 32, ADDR_BROADCAST },
	{ { 240, 0, 0, 0 }, 4, ADDR_RESERVED },
};

static const struct {
	uint8_t b[16];
	uint8_t bits;
	enum addr_kind kind;
} v6_kinds[] = {
	{ { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54 }, 128, ADDR_METADATA },    /* AWS */
	{ { 0xfd, 0, 0x0e, 0xc2, [15] = 0x23 }, 128, ADDR_METADATA },          /* AWS pods */
	{ { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54 }, 128, ADDR_METADATA }, /* GCP */
	{ { 0xfd, 0, 0x00, 0x42, [15] = 0x42 }, 128, ADDR_METADATA },          /* Scaleway */
	{ { 0 }, 128, ADDR_UNSPECIFIED },
	{ { [15] = 1 }, 128, ADDR_LOOPBACK },
	{ { 0xfe, 0x80 }, 10, ADDR_LINK_LOCAL },
	{ { 0xfe, 0xc0 }, 10, ADDR_PRIVATE },
	{ { 0xfc }, 7, ADDR_PRIVATE },
	{ { 0xff }, 8, ADDR_MULTICAST },
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, ADDR_PRIVATE },
	{ { 0x20, 0x01, 0, 0x02 }, 48, ADDR_RESERVED }, /* benchmarks */
	{ { 0x20, 0x01, 0, 0x10 }, 28, ADDR_RESERVED }, /* ORCHID */
	{ { 0x20, 0x01, 0, 0x20 }, 28, ADDR_RESERVED }, /* ORCHIDv2 */
};

_Static_assert(sizeof v4_kinds / sizeof *v4_kinds + sizeof v6_kinds / sizeof *v6_kinds + 3 <=
		       ADDR_SPECIAL_MAX,
	       "addr_special() has room");

static enum addr_kind v4_kind(const uint8_t *v4)
{
	for (size_t i = 0; i < sizeof v4_kinds / sizeof *v4_kinds; i++) {
		if (bits_equal(v4_kinds[i].b, v4, v4_kinds[i].bits))
			return v4_kinds[i].kind;
	}
	return ADDR_PUBLIC;
}

size_t addr_embedded(const struct addr *a, struct addr ret[ADDR_EMBEDDED_MAX])
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
	static const uint8_t nat64_local[6] = { 0, 0x64, 0xff, 0x9b, 0, 1 };
	static const uint8_t siit[12] = { [8] = 0xff, 0xff };
	static const uint8_t zero[12];
	const uint8_t *b = a->b;
	size_t n = 0;

	if (addr_is_v4(a))
		return 0;
	if (memcmp(b, zero, 12) == 0) {
		if (memcmp(b + 12, "\0\0\0\0", 4) != 0 && memcmp(b + 12, "\0\0\0\1", 4) != 0)
			ret[n++] = v4_at(b + 12);
		return n;
	}
	if (memcmp(b, nat64, 12) == 0 || memcmp(b, siit, 12) == 0) {
		ret[n++] = v4_at(b + 12);
		return n;
	}
	if (memcmp(b, nat64_local, 6) == 0) {
		/* RFC 6052: where the address lies depends on the length the operator chose. */
		ret[n++] = addr_v4(b[6], b[7], b[9], b[10]);
		ret[n++] = addr_v4(b[7], b[9], b[10], b[11]);
		ret[n++] = addr_v4(b[9], b[10], b[11], b[12]);
		ret[n++] = v4_at(b + 12);
		return n;
	}
	if (b[0] == 0x20 && b[1] == 0x02)
		ret[n++] = v4_at(b + 2);
	if (memcmp(b, "\x20\x01\0\0", 4) == 0) {
		/* RFC 4380: the server, and the client behind its NAT, inverted. */
		ret[n++] = v4_at(b + 4);
		ret[n++] = addr_v4((uint8_t)~b[12], (uint8_t)~b[13], (uint8_t)~b[14], (uint8_t)~b[15]);
	}
	if ((b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe)
		ret[n++] = v4_at(b + 12); /* ISATAP, RFC 5214 */
	return n;
}

void prefix_carriers(const struct prefix *v4, struct prefix ret[PREFIX_CARRIERS])
{
	/* RFC 6052 (with both ends of the lengths that RFC 8215 leaves open), 2765, 3056, 4380. */
	static const struct {
		struct addr start;
		unsigned at; /* the byte where the IPv4 address begins */
	} forms[PREFIX_CARRIERS] = {
		{ { { 0, 0x64, 0xff, 0x9b } }, 12 },	   { { { [8] = 0xff, 0xff } }, 12 },
		{ { { 0, 0x64, 0xff, 0x9b, 0, 1 } }, 12 }, { { { 0, 0x64, 0xff, 0x9b, 0, 1 } }, 6 },
		{ { { 0x20, 0x02 } }, 2 },		   { { { 0x20, 0x01 } }, 4 },
	};
	unsigned bits = v4->bits - ADDR_V4_BITS;

	for (size_t i = 0; i < PREFIX_CARRIERS; i++) {
		unsigned at = forms[i].at;

		ret[i].addr = forms[i].start;
		ret[i].bits = (uint8_t)(at * 8 + bits);
		memcpy(ret[i].addr.b + at, v4->addr.b + 12, 4);
		if (at != 6)
			continue;
		/* Bits 64 to 71 are none of the address's, and zero. */
		memcpy(ret[i].addr.b + 9, v4->addr.b + 14, 2);
		ret[i].addr.b[8] = 0;
		ret[i].bits = (uint8_t)(bits > 16 ? ret[i].bits + 8U : ret[i].bits);
	}
}

enum addr_kind addr_kind(const struct addr *a)
{
	struct addr inner[ADDR_EMBEDDED_MAX];
	size_t n;

	if (addr_is_v4(a))
		return v4_kind(a->b + 12);
	for (size_t i = 0; i < sizeof v6_kinds / sizeof *v6_kinds; i++) {
		if (bits_equal(v6_kinds[i].b, a->b, v6_kinds[i].bits))
			return v6_kinds[i].kind;
	}
	n = addr_embedded(a, inner);
	for (size_t i = 0; i < n; i++) {
		enum addr_kind kind = v4_kind(inner[i].b + 12);

		if (kind != ADDR_PUBLIC)
			return kind;
	}
	if (n > 0 || (a->b[0] & 0xe0) == 0x20) /* 2000::/3 is all that is given out */
		return ADDR_PUBLIC;
	return ADDR_RESERVED;
}

size_t addr_special(struct prefix ret[ADDR_SPECIAL_MAX])
{
	/* Outside 2000::/3; what is found inside these by v6_kinds[] is special anyway. */
	static const struct prefix unassigned[] = { { { { 0 } }, 3 }, { { { 0x40 } }, 2 }, { { { 0x80 } }, 1 } };
	size_t n = 0;

	for (size_t i = 0; i < sizeof v4_kinds / sizeof *v4_kinds; i++)
		ret[n++] = (struct prefix){ v4_at(v4_kinds[i].b), (uint8_t)(ADDR_V4_BITS + v4_kinds[i].bits) };
	for (size_t i = 0; i < sizeof v6_kinds / sizeof *v6_kinds; i++) {
		ret[n].bits = v6_kinds[i].bits;
		memcpy(ret[n++].addr.b, v6_kinds[i].b, 16);
	}
	for (size_t i = 0; i < sizeof unassigned / sizeof *unassigned; i++)
		ret[n++] = unassigned[i];
	return n;
}

const char *addr_kind_name(enum addr_kind kind)
{
	static const char *const names[ADDR_KINDS] = {
		[ADDR_PUBLIC] = "public",         [ADDR_UNSPECIFIED] = "unspecified",
		[ADDR_LOOPBACK] = "loopback",     [ADDR_LINK_LOCAL] = "link-local",
		[ADDR_PRIVATE] = "private",       [ADDR_SHARED] = "carrier-grade NAT",
		[ADDR_METADATA] = "metadata",     [ADDR_MULTICAST] = "multicast",
		[ADDR_BROADCAST] = "broadcast",   [ADDR_RESERVED] = "reserved",
	};

	return (unsigned)kind < ADDR_KINDS ? names[kind] : "unknown";
}

/* --- text ----------------------------------------------------------------- */

bool addr_looks_v4(const char *text)
{
	const char *dot = strrchr(text, '.');
	const char *last = dot ? dot + 1 : text;

	if (last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
		return last[2 + strspn(last + 2, "0123456789abcdefABCDEF")] == '\0';
	return *last != '\0' && last[strspn(last, "0123456789")] == '\0';
}

static bool parse_v4(const char *text, struct addr *ret)
{
	struct addr a = addr_v4(0, 0, 0, 0);

	for (int i = 0; i < 4; i++) {
		unsigned v = 0, n = 0;

		for (; *text >= '0' && *text <= '9' && n < 3; n++)
			v = v * 10 + (unsigned)(*text++ - '0');
		if (n == 0 || v > 255 || (n > 1 && text[-(int)n] == '0'))
			return false;
		a.b[12 + i] = (uint8_t)v;
		if (*text != (i < 3 ? '.' : '\0'))
			return false;
		text += i < 3;
	}
	*ret = a;
	return true;
}

static int bad_address(const char *text, struct err *e)
{
	char quoted[128], fixed[ADDR_TEXT_MAX];
	const char *zone = strchr(text, '%');
	struct in_addr in;
	struct addr a;

	(void)log_quote(quoted, sizeof quoted, text);
	if (zone && strchr(text, ':')) {
		(void)err_set(e, EINVAL, "\"%s\" has a zone (the part behind the %%)", quoted);
		return err_hint(e, "virtual addresses have no interfaces: leave it out");
	}
	(void)err_set(e, EINVAL, "\"%s\" is not an IP address", quoted);
	/* inet_aton() also stops at white space, which is no number form. */
	if (addr_looks_v4(text) && !strpbrk(text, " \t\r\n\v\f") && inet_aton(text, &in)) {
		memcpy(a.b, mapped, 12);
		memcpy(a.b + 12, &in, 4);
		return err_hint(e, "octal, hexadecimal and short forms are not read; did you mean %s?",
				addr_format(&a, fixed, sizeof fixed));
	}
	return err_hint(e, "write it like 192.0.2.1 or 2001:db8::1");
}

int addr_parse(const char *text, struct addr *ret, struct err *e)
{
	struct addr a;

	if (strchr(text, ':') ? inet_pton(AF_INET6, text, a.b) != 1 : !parse_v4(text, &a))
		return bad_address(text, e);
	*ret = a;
	return 0;
}

int prefix_parse(const char *text, struct prefix *ret, struct err *e)
{
	const char *slash = strchr(text, '/');
	char head[ADDR_TEXT_MAX], quoted[128], fixed[PREFIX_TEXT_MAX];
	struct prefix p;
	uint64_t bits;
	struct addr a;
	int rc;

	if (!slash) {
		rc = addr_parse(text, &a, e);
		if (rc == 0)
			*ret = (struct prefix){ .addr = a, .bits = 128 };
		return rc;
	}
	(void)log_quote(quoted, sizeof quoted, text);
	if ((size_t)(slash - text) >= sizeof head)
		return bad_address(text, e);
	memcpy(head, text, (size_t)(slash - text));
	head[slash - text] = '\0';
	rc = addr_parse(head, &a, e);
	if (rc < 0)
		return rc;
	if (num_parse_u64(slash + 1, 0, strchr(head, ':') ? 128 : 32, &bits) < 0 ||
	    (slash[1] == '0' && slash[2])) {
		(void)err_set(e, EINVAL, "\"%s\" has a bad prefix length", quoted);
		return err_hint(e, strchr(head, ':') ? "0 to 128" : "0 to 32");
	}
	if (!strchr(head, ':'))
		bits += ADDR_V4_BITS;
	p = prefix_of(&a, (uint8_t)bits);
	if (!addr_equal(&p.addr, &a)) {
		(void)err_set(e, EINVAL, "\"%s\" has bits set behind its prefix", quoted);
		return err_hint(e, "did you mean %s?", prefix_format(&p, fixed, sizeof fixed));
	}
	*ret = p;
	return 0;
}

const char *addr_format(const struct addr *a, char *buf, size_t size)
{
	bool v4 = addr_is_v4(a);

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + 12 : a->b, buf, (socklen_t)size) && size)
		buf[0] = '\0';
	return buf;
}

const char *prefix_format(const struct prefix *p, char *buf, size_t size)
{
	char text[ADDR_TEXT_MAX];
	bool v4 = p->bits >= ADDR_V4_BITS && addr_is_v4(&p->addr);

	(void)addr_format(&p->addr, text, sizeof text);
	if (p->bits == 128)
		(void)snprintf(buf, size, "%s", text);
	else
		(void)snprintf(buf, size, "%s/%u", text, (unsigned)p->bits - (v4 ? ADDR_V4_BITS : 0U));
	return buf;
}

/* --- socket addresses ----------------------------------------------------- */

int addr_from_sockaddr(const struct sockaddr *sa, size_t len, struct addr *ret, uint16_t *ret_port)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (len < sizeof sa->sa_family)
		return -EINVAL;
	if (sa->sa_family == AF_INET) {
		if (len < sizeof in)
			return -EINVAL;
		memcpy(&in, sa, sizeof in);
		memcpy(ret->b, mapped, 12);
		memcpy(ret->b + 12, &in.sin_addr, 4);
		*ret_port = ntohs(in.sin_port);
		return 0;
	}
	if (sa->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (len < offsetof(struct sockaddr_in6, sin6_scope_id)) /* RFC 2133 callers; Linux takes it */
		return -EINVAL;
	memcpy(&in6, sa, offsetof(struct sockaddr_in6, sin6_scope_id));
	memcpy(ret->b, &in6.sin6_addr, 16);
	*ret_port = ntohs(in6.sin6_port);
	return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, int family,
			   struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (family == AF_INET6) {
		memcpy(&in6.sin6_addr, a->b, 16);
		memcpy(ret, &in6, sizeof in6);
		return sizeof in6;
	}
	if (family != AF_INET || !addr_is_v4(a))
		return 0;
	memcpy(&in.sin_addr, a->b + 12, 4);
	memcpy(ret, &in, sizeof in);
	return sizeof in;
}
