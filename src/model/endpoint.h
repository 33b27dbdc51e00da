/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints as a policy writes them: HOST:PORTS.
 *
 *   HOST   db                a domain of the fabric (a single label)
 *          api.example.com   a real host, by name
 *          *.example.com     every name below it, one label or more; not example.com
 *          host              the machine outside
 *          192.0.2.1, [2001:db8::1], 10.0.0.0/8, [2001:db8::/32]
 *          *                 anything
 *   PORTS  443   8000-8010   80,443,8000-8010   *
 *
 * Names are held in one form: lower case, no trailing dot. What a name could
 * hide (other alphabets, numbers that resolvers read as addresses) is refused.
 * Nothing here allocates but from the arena it is given.
 */
#ifndef VRUN_MODEL_ENDPOINT_H
#define VRUN_MODEL_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/err.h"

#define NAME_TEXT_MAX 254 /* bytes of a name with the terminator (RFC 1035) */

enum host_kind {
	HOST_ANY,      /* "*" */
	HOST_DOMAIN,   /* a single label */
	HOST_NAME,     /* a dotted name */
	HOST_WILDCARD, /* what follows "*." */
	HOST_OUTSIDE,  /* "host" */
	HOST_PREFIX,   /* an address or prefix */
};

struct host_pattern {
	enum host_kind kind;
	const char *name;     /* DOMAIN, NAME, WILDCARD */
	struct prefix prefix; /* PREFIX */
};

struct port_range {
	uint16_t lo, hi; /* both belong to it; lo >= 1 */
};

/* Sorted, not overlapping, not touching. */
struct port_set {
	const struct port_range *v;
	size_t n;
};

struct endpoint {
	struct host_pattern host;
	struct port_set ports;
};

/*
 * Brings a name into its one form in buf (NAME_TEXT_MAX bytes). Labels of
 * letters, digits, '-' and '_'; 1 to 63 bytes each; a trailing dot goes.
 * ret_labels may be NULL. -EINVAL, with a hint for what is not ASCII.
 */
int name_parse(const char *text, char *buf, size_t *ret_labels, struct err *e);

/* As name_parse() for the name of a domain: one label, not "host", "localhost" or a number. */
int name_parse_domain(const char *text, char *buf, struct err *e);

/* `name` (in its one form) lies below `zone`: "a.b.c" below "c", not "c" itself. */
bool name_is_below(const char *name, const char *zone);

/* HOST without ports, as in "from". IPv6 with or without brackets. */
int host_parse(const char *text, struct arena *arena, struct host_pattern *ret, struct err *e);

/* PORTS. Port 0, empty ranges and ports given twice are errors. */
int ports_parse(const char *text, struct arena *arena, struct port_set *ret, struct err *e);

/* HOST:PORTS. */
int endpoint_parse(const char *text, struct arena *arena, struct endpoint *ret, struct err *e);

/* "at": as above, where an empty HOST stands for any address of the domain; names are refused. */
int endpoint_parse_local(const char *text, struct arena *arena, struct endpoint *ret, struct err *e);

/*
 * ADDRESS:PORT, both single, as in "publish": port may be 0, the address must
 * be written. For AF_INET6 in brackets.
 */
int endpoint_parse_publish(const char *text, struct addr *ret, uint16_t *ret_port, struct err *e);

/*
 * Text forms as the parsers read them, cut when buf is too small; return buf.
 * A port list can be long; ENDPOINT_TEXT_MAX holds every list of up to 16 ranges.
 */
#define ENDPOINT_TEXT_MAX 512
const char *host_format(const struct host_pattern *h, char *buf, size_t size);
const char *ports_format(const struct port_set *s, char *buf, size_t size);
const char *endpoint_format(const struct endpoint *ep, char *buf, size_t size);
const char *endpoint_format_local(const struct endpoint *ep, char *buf, size_t size);

bool ports_have(const struct port_set *s, uint16_t port);
bool ports_cover(const struct port_set *outer, const struct port_set *inner);
bool ports_overlap(const struct port_set *a, const struct port_set *b);
/* How many ports, 1 to 65535. */
unsigned ports_count(const struct port_set *s);
bool ports_equal(const struct port_set *a, const struct port_set *b);

/*
 * Relations between patterns, as written: "*" covers everything, a wildcard
 * the names below it, a prefix the prefixes inside it. A name and an address
 * have nothing to do with each other here.
 */
bool host_covers(const struct host_pattern *outer, const struct host_pattern *inner);
bool host_equal(const struct host_pattern *a, const struct host_pattern *b);

#endif
