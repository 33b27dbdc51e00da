/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers of the resolver, byte by byte. */
#include <string.h>

#include "resolve/dns.h"
#include "tap.h"

struct message {
	uint8_t b[1024];
	size_t len;
};

static void put16(struct message *m, unsigned v)
{
	m->b[m->len++] = (uint8_t)(v >> 8);
	m->b[m->len++] = (uint8_t)v;
}

static void put_name(struct message *m, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		m->b[m->len++] = (uint8_t)n;
		memcpy(m->b + m->len, name, n);
		m->len += n;
		name += n + (name[n] == '.');
	}
	m->b[m->len++] = 0;
}

static struct message question(const char *name, unsigned type, unsigned class, unsigned edns)
{
	struct message m = { .len = 0 };
	const unsigned head[] = { 0x1234, 0x0100, 1, 0, 0, edns ? 1 : 0 };

	for (size_t i = 0; i < 6; i++)
		put16(&m, head[i]);
	put_name(&m, name);
	put16(&m, type);
	put16(&m, class);
	if (edns) { /* RFC 6891, 6.1.2 */
		m.b[m.len++] = 0;
		put16(&m, 41);
		put16(&m, edns);
		put16(&m, 0);
		put16(&m, 0);
		put16(&m, 0);
	}
	return m;
}

static struct dns_question q;
static struct lookup l;
static enum dns_code code;
static uint8_t out[65535];

static enum dns_next read_it(const char *name, unsigned type, unsigned class, unsigned edns)
{
	struct message m = question(name, type, class, edns);

	return dns_read(m.b, m.len, &q, &code, &l);
}

static void test_questions(void)
{
	struct message m;

	TAP_INT(read_it("DB", 1, 1, 0), DNS_LOOKUP, "an address");
	TAP_STR(l.name, "db", "of a name in its one form");
	TAP_OK(l.what == LOOKUP_NAME && !l.v6 && q.room == 512 && !q.edns, "IPv4, 512 bytes");
	TAP_OK(read_it("a.example", 28, 1, 4096) == DNS_LOOKUP && l.v6 && q.edns && q.room == 1232,
	       "IPv6, EDNS with no more than fits any path");
	TAP_OK(read_it("db", 1, 1, 100) == DNS_LOOKUP && q.room == 512, "EDNS with less than DNS has");
	TAP_OK(read_it("db", 15, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_EXISTS, "MX");
	TAP_OK(read_it("db", 255, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_EXISTS, "ANY");
	TAP_OK(read_it("11.0.88.10.in-addr.arpa", 12, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_REVERSE &&
		       l.n == 1 && addr_equal(&l.addresses[0], &(struct addr){ { [10] = 0xff, 0xff, 10, 88, 0, 11 } }),
	       "PTR");
	TAP_OK(read_it("1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.F.ip6.arpa", 12, 1, 0) ==
			       DNS_LOOKUP &&
		       l.what == LOOKUP_REVERSE &&
		       addr_equal(&l.addresses[0], &(struct addr){ { 0xfd, [15] = 0x11 } }),
	       "PTR of IPv6");
	TAP_OK(read_it("011.0.88.10.in-addr.arpa", 12, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_EXISTS,
	       "no address, no PTR");
	TAP_OK(read_it("300.0.88.10.in-addr.arpa", 12, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_EXISTS, "nor that");
	TAP_OK(read_it("a b.C", 1, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_NOBODY, "nobody is called so");
	TAP_STR(l.name, "a?b.C", "which is on record");
	TAP_OK(read_it("-.-.-\"-", 28, 1, 0) == DNS_LOOKUP && l.what == LOOKUP_NOBODY, "nor so");
	TAP_STR(l.name, "-.-.-\"-", "a quotation mark");
	TAP_OK(read_it("db", 1, 3, 0) == DNS_REPLY && code == DNS_REFUSED, "another class");
	TAP_OK(read_it("", 2, 1, 0) == DNS_REPLY && code == DNS_OK, "the root");
	m = question("db", 1, 1, 0);
	m.b[2] |= 0x80;
	TAP_INT(dns_read(m.b, m.len, &q, &code, &l), DNS_DROP, "an answer is no question");
	TAP_INT(dns_read(m.b, 11, &q, &code, &l), DNS_DROP, "nor is less than a head");
	m.b[2] = 0x29;
	TAP_OK(dns_read(m.b, m.len, &q, &code, &l) == DNS_REPLY && code == DNS_NOTIMP, "UPDATE");
	m = question("db", 1, 1, 0);
	TAP_OK(dns_read(m.b, m.len - 1, &q, &code, &l) == DNS_REPLY && code == DNS_FORMERR, "cut");
	m.b[5] = 2;
	TAP_OK(dns_read(m.b, m.len, &q, &code, &l) == DNS_REPLY && code == DNS_FORMERR, "two questions, one there");
	m = question("db", 1, 1, 0);
	m.b[12] = 0xc0;
	m.b[13] = 12;
	TAP_OK(dns_read(m.b, m.len, &q, &code, &l) == DNS_REPLY && code == DNS_FORMERR, "a name that points to itself");
}

static void test_answers(void)
{
	size_t len;

	(void)read_it("Db", 1, 1, 0);
	l.ttl = 60;
	l.n = 2;
	l.addresses[0] = addr_v4(10, 88, 0, 11);
	l.addresses[1] = addr_v4(10, 88, 0, 12);
	len = dns_write(&q, DNS_OK, &l, NULL, q.room, out);
	TAP_OK(len > 12 && out[0] == 0x12 && out[1] == 0x34 && out[2] == 0x81 && out[3] == 0x80, "head");
	TAP_OK(out[5] == 1 && out[7] == 2 && out[11] == 0, "a question, two answers, no EDNS");
	TAP_OK(memcmp(out + 12, "\2Db\0\0\1\0\1", 8) == 0, "the question as it came");
	TAP_OK(memcmp(out + len - 4, "\12\130\0\14", 4) == 0, "the last address at the end");
	len = dns_write(&q, DNS_NXDOMAIN, NULL, NULL, q.room, out);
	TAP_OK(len == 20 && out[3] == 0x83 && out[7] == 0, "no such name");
	(void)read_it("db", 28, 1, 0);
	l.n = LOOKUP_ADDRESSES_MAX;
	len = dns_write(&q, DNS_OK, &l, NULL, q.room, out);
	TAP_OK(len <= 512 && (out[2] & 2) && out[7] == 0, "what does not fit is said to be cut");
	len = dns_write(&q, DNS_OK, &l, NULL, UINT16_MAX, out);
	TAP_OK(len > 512 && !(out[2] & 2) && out[7] == LOOKUP_ADDRESSES_MAX, "and fits a stream");
	(void)read_it("db", 28, 1, 4096);
	l.n = LOOKUP_ADDRESSES_MAX;
	len = dns_write(&q, DNS_OK, &l, NULL, q.room, out);
	TAP_OK(len > 512 && len <= 1232 && out[11] == 1, "or EDNS, which is answered with it");
	(void)read_it("11.0.88.10.in-addr.arpa", 12, 1, 0);
	(void)strcpy(l.name, "db");
	len = dns_write(&q, DNS_OK, &l, NULL, q.room, out);
	TAP_OK(out[7] == 1 && memcmp(out + len - 4, "\2db", 4) == 0, "a name for an address");
}

int main(void)
{
	test_questions();
	test_answers();
	return tap_done();
}
