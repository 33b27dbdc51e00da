/* SPDX-License-Identifier: Apache-2.0 */
/* An app's question to the resolver: whatever it is, an answer is well-formed and no longer than it may be. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolve/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct dns_question *q, enum dns_code code, const struct lookup *found, size_t max)
{
	static uint8_t out[UINT16_MAX];
	size_t len = dns_write(q, code, found, NULL, max, out);

	if (len > max || (len && (len < 12 || out[0] != q->id >> 8 || out[1] != (q->id & 0xff) ||
				  !(out[2] & 0x80) || (out[3] & 15) != code)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_question q;
	struct lookup l;
	enum dns_code code;
	enum dns_next next = dns_read(data, size, &q, &code, &l);

	if (next == DNS_DROP)
		return 0;
	if (q.room < 512 || q.room > 1232)
		abort();
	if (next == DNS_REPLY) {
		check(&q, code, NULL, q.room);
		return 0;
	}
	if (l.kind != LOOKUP_ASK || !memchr(l.name, '\0', sizeof l.name) || !*l.name)
		abort();
	/* As many addresses as there can be, and a name as long as one can be. */
	l.ttl = 60;
	l.n = l.what == LOOKUP_NAME ? LOOKUP_ADDRESSES_MAX : 0;
	check(&q, DNS_OK, &l, q.room);
	check(&q, DNS_OK, &l, UINT16_MAX);
	check(&q, DNS_NXDOMAIN, NULL, 512);
	return 0;
}
