/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor and a domain's gateway say to each other: messages of
 * two fixed forms over a SOCK_SEQPACKET socket (GATEWAY_RECORDS alone has more behind it). The gateway is the only process
 * with the host's network. It has the domain's policy and ceiling from the
 * launcher, not from the supervisor, and decides on each request by
 * policy_decide_bounded() itself: what a supervisor under somebody else's control asks
 * for is what the policy allows or gets GATEWAY_DENIED.
 *
 * Requests carry an id of the supervisor's; each is answered once at least, in
 * any order. A message of another size, or with values that are none of these,
 * ends the gateway. A descriptor comes with the answers that say so.
 */
#ifndef VRUN_MODEL_GATEWAY_H
#define VRUN_MODEL_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "model/endpoint.h"
#include "model/policy_decide.h"

#define GATEWAY_SOCK 3   /* the gateway's descriptor of that socket */
#define GATEWAY_POLICY 4 /* a pipe or memfd from which it reads {"policy": {"name", "text"}, "ceiling": {...}} to the end */
#define GATEWAY_CONTROL 5 /* the listening socket of kern/control.h */
#define GATEWAY_ADDRESSES_MAX 32
#define GATEWAY_ARRIVALS_MAX 16
#define GATEWAY_OPTIONS_MAX 48
#define GATEWAY_RECORDS_MAX 4096
#define GATEWAY_OPTION_SIZE 16

enum gateway_kind {
	/* to the gateway */
	GATEWAY_CONNECT,   /* a TCP connection; CONNECTING, RACING, CONNECTED, FAILED or DENIED */
	GATEWAY_RESOLVE,   /* the addresses of `name`; RESOLVED, FAILED or DENIED */
	GATEWAY_PUBLISH,   /* takes addr and port of the machine, as a rule has them (0: any), for local_port of the domain, once
			    * for each such rule; PUBLISHED, FAILED or DENIED */
	GATEWAY_OPEN,      /* id of a PUBLISH: somebody listens in the domain, so the gateway does: PUBLISHED again, the first
			    * time. `port` more connections may come in, ARRIVED; others are left in the kernel's queue.
			    * `nonblock`: as who accepts wants them */
	GATEWAY_SHUT,      /* nobody does any more; the port stays taken. No answer. */
	GATEWAY_FLOW,      /* a UDP flow; of a name by want_v6; CONNECTED with a pair's end, FAILED or DENIED */
	GATEWAY_QUERY,     /* records of `name`, of the DNS query type `port`: RECORDS, FAILED or DENIED */
	GATEWAY_BIND,      /* takes the UDP port of addr and port of the machine for local_port of the domain; CONNECTED with a pair's
			    * end and the port that was taken, FAILED or DENIED */
	GATEWAY_CANCEL,    /* nobody waits for the answer to that id any more. No answer. */
	/* from the gateway */
	GATEWAY_CONNECTING, /* with a TCP socket that is connecting, the only candidate: the last answer */
	GATEWAY_RACING,     /* several candidates, more answers come: CONNECTED or FAILED (only when `nonblock`) */
	GATEWAY_CONNECTED,  /* with a TCP socket that is connected (unless `nonblock`, connect() on it has said so, too); or the flow */
	GATEWAY_FAILED,     /* `error`. After RACING, where there is one, with a socket that has its error pending: error is 0 then */
	GATEWAY_DENIED,     /* by the policy: addresses[0], when there is one, is what it was denied for */
	GATEWAY_RESOLVED,   /* addresses and ttl; none: the name exists and has none of that family. Unknown: FAILED with ENOENT */
	GATEWAY_PUBLISHED,  /* port: the one that was taken; again: it listens there */
	GATEWAY_RECORDS,    /* n bytes of a name server's message come behind the answer; none: there is no such record */
	GATEWAY_ARRIVED,    /* id of the PUBLISH; n arrivals with a TCP socket for each; none: it was denied. No more than
			     * gateway_answer_size() bytes of it are sent */
};

/* Where a connection or a flow is to go. */
enum gateway_to {
	GATEWAY_TO_ADDRESS, /* addr, port: PARTY_ADDR */
	GATEWAY_TO_NAME,    /* any address of `name` that the policy lets through: PARTY_NAME */
	GATEWAY_TO_HOST,    /* the machine outside, its loopback: PARTY_HOST */
};

struct gateway_option {
	int32_t level, name;
	uint32_t len;
	uint8_t value[GATEWAY_OPTION_SIZE];
};

struct gateway_request {
	uint8_t kind;   /* enum gateway_kind */
	uint8_t to;     /* enum gateway_to */
	/* Truth values are bytes of 0 or 1: they come from somebody who is not believed. */
	uint8_t v6;     /* the app's socket is AF_INET6: the new one is, too (IPv4 goes mapped) */
	uint8_t want_v4, want_v6; /* families of addresses that may be taken; of RESOLVE: which one is asked for */
	uint8_t nonblock; /* the app does not wait: answer CONNECTING or RACING at once */
	uint16_t port;
	uint16_t local_port; /* bound to before connecting, 0: any; of PUBLISH: the domain's */
	uint32_t id;
	struct addr addr;
	uint32_t n_options;
	struct gateway_option options[GATEWAY_OPTIONS_MAX]; /* set before connecting; those of gateway_option_allowed() */
	char name[NAME_TEXT_MAX]; /* in its one form (endpoint.h) */
};

/* Somebody came to a published port. */
struct gateway_arrival {
	struct addr from, at; /* the machine's own address */
	uint16_t port;        /* of the client */
};

struct gateway_answer {
	uint8_t kind; /* enum gateway_kind */
	uint8_t nonblock; /* of ARRIVED: the sockets are; 0 or 1 */
	uint16_t port;
	uint32_t id;
	int32_t error; /* positive errno */
	uint32_t ttl;  /* seconds */
	uint32_t n;
	union {
		struct addr addresses[GATEWAY_ADDRESSES_MAX]; /* of CONNECTED and CONNECTING: the one taken */
		struct gateway_arrival arrivals[GATEWAY_ARRIVALS_MAX];
	};
};

/* The bytes of the message that an answer is. */
size_t gateway_answer_size(const struct gateway_answer *a);

/*
 * What goes through the pair of a flow: a message for each datagram, this and
 * then its bytes. With an error from the gateway, which has no bytes, one that was
 * sent did not arrive.
 */
struct gateway_datagram {
	int32_t error; /* positive errno */
};

/*
 * What goes through the pair of a UDP port: a message for each datagram, this
 * and then its bytes; to the gateway, whom it is for. With an error from the gateway, which
 * has no bytes: somebody came who is not let in.
 */
struct gateway_visit {
	struct addr peer, at; /* at: the machine's own address; nothing to the gateway */
	uint16_t port;        /* of the peer */
	uint16_t unused;
	int32_t error;        /* positive errno */
};

/*
 * Options that a socket which leaves the machine may be given; everything else
 * ends the gateway. The supervisor copies those of the app's socket that differ
 * from a new socket's. gateway_options.c has the table.
 */
struct gateway_option_kind {
	int level, name;
	uint32_t len; /* bytes of the value; 0: a string of up to GATEWAY_OPTION_SIZE */
};
extern const struct gateway_option_kind gateway_option_kinds[];
extern const unsigned gateway_n_option_kinds;
bool gateway_option_allowed(const struct gateway_option *o);

/*
 * Who comes from outside to an address of the machine: the machine itself, "host",
 * where that is its own address, too; else that address. It points to `from`.
 */
struct policy_party gateway_visitor(const struct addr *from, const struct addr *at);

/* "127.0.0.1:8080", "[::1]:8080". Returns buf. */
#define GATEWAY_PLACE_MAX (ADDR_TEXT_MAX + 8)
const char *gateway_place_format(const struct addr *a, uint16_t port, char buf[static GATEWAY_PLACE_MAX]);

/* Why a port of the machine could not be taken for one of the domain, and what to do. Returns -error. */
int gateway_publish_failed(const struct addr *a, uint16_t port, uint16_t local_port, int error, struct err *e);

/* Copies a message out; false for one that ends the gateway. */
bool gateway_request_good(const void *message, size_t len, struct gateway_request *ret);

#endif
