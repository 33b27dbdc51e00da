/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor and its resolver say to each other: messages of one
 * fixed form over a SOCK_SEQPACKET socket, behind which a name server's may come. The resolver reads what apps
 * send and knows nothing; the supervisor knows the names and never sees a packet.
 */
#ifndef VRUN_MODEL_LOOKUP_H
#define VRUN_MODEL_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "model/endpoint.h"

#define LOOKUP_SOCK 3 /* the resolver's descriptor of that socket */
#define LOOKUP_ADDRESSES_MAX 32
#define LOOKUP_DATA_MAX 4096

enum lookup_kind {
	/* to the resolver */
	LOOKUP_SERVE,  /* with a descriptor: questions of that domain come there; `stream`: a connection */
	LOOKUP_FORGET, /* the domain is gone */
	LOOKUP_ANSWER, /* to the question with that id */
	/* from the resolver */
	LOOKUP_ASK,
};

enum lookup_what {
	LOOKUP_NAME,    /* the addresses of `name`: of IPv6 with `v6`, else of IPv4 */
	LOOKUP_EXISTS,  /* as that, of no family: whether there is such a name */
	LOOKUP_REVERSE, /* the name of addresses[0] */
	LOOKUP_NOBODY,  /* `name` is none that anybody can have: it is asked for the record's sake */
};

enum lookup_result {
	LOOKUP_FOUND,   /* addresses, or the name; none of either: it exists and has no such thing */
	LOOKUP_UNKNOWN, /* there is no such name */
	LOOKUP_FAILED,  /* nobody can tell */
};

/* Why, for those who ask for it (RFC 8914). */
enum lookup_why {
	LOOKUP_WHY_NONE,
	LOOKUP_WHY_BLOCKED,  /* the policy does not allow the name */
	LOOKUP_WHY_FILTERED, /* the policy allows none of its addresses */
	LOOKUP_WHY_NETWORK,  /* no name server outside has answered */
};

struct lookup {
	uint8_t kind;   /* enum lookup_kind */
	uint8_t what;   /* enum lookup_what, of ASK and ANSWER */
	uint8_t result; /* enum lookup_result */
	uint8_t why;    /* enum lookup_why */
	bool stream, v6;
	uint16_t type;   /* of EXISTS: what was asked for, a DNS query type */
	uint16_t size;   /* of an ANSWER to that: bytes of a name server's message, which come behind this; 0: none */
	uint32_t domain; /* never used again for another one */
	uint32_t id;     /* of a question: the resolver's */
	uint32_t ttl;    /* seconds */
	uint32_t n;
	struct addr addresses[LOOKUP_ADDRESSES_MAX];
	char name[NAME_TEXT_MAX]; /* in its one form (endpoint.h); of NOBODY with '?' for what is no character of a name's text */
};

#endif
