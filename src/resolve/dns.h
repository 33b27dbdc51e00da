/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, EDNS of RFC 6891), through ldns: an app's question
 * in, an answer out. No state, no system calls.
 */
#ifndef VRUN_RESOLVE_DNS_H
#define VRUN_RESOLVE_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "model/lookup.h"

#define DNS_MESSAGE_MAX 4096 /* bytes of a question; longer ones are dropped */
#define DNS_OWNER_MAX 256

/* Response codes. */
enum dns_code { DNS_OK = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };

struct dns_question {
	uint16_t id, type, class;
	uint16_t room;     /* bytes of an answer over UDP */
	bool recursion;    /* desired */
	bool checking_off; /* CD */
	bool edns;
	bool has_owner;    /* there is a question to repeat in the answer */
	uint8_t owner[DNS_OWNER_MAX]; /* as it came, in wire form */
	size_t owner_len;
};

enum dns_next {
	DNS_DROP,   /* not a question: no answer */
	DNS_REPLY,  /* with the code, at once */
	DNS_LOOKUP, /* *ret_lookup has what to ask: what, v6, name or address */
};

/* Reads a message. *ret_q is filled unless it is dropped. */
enum dns_next dns_read(const uint8_t *data, size_t len, struct dns_question *ret_q, enum dns_code *ret_code,
		       struct lookup *ret_lookup);

/*
 * Writes the answer, at most `max` bytes (512 or more), and returns its length;
 * 0 without memory. `found` is what a look-up gave, or NULL; `data` the
 * found->size bytes of a name server's message that came with it. What does not fit
 * is left out, and the answer says so (TC).
 */
size_t dns_write(const struct dns_question *q, enum dns_code code, const struct lookup *found, const uint8_t *data,
		 size_t max, uint8_t *out);

/*
 * Adds the records of the question's type that a name server's message has to an
 * answer, as the question's own (records.c): no other types, no other section, and of SVCB and
 * HTTPS no addresses. False: it is none, or no memory.
 */
struct ldns_struct_pkt;
bool records_push(struct ldns_struct_pkt *answer, const struct dns_question *q, const uint8_t *data, size_t len,
		  uint32_t ttl_max);

#endif
