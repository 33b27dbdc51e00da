/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses and prefixes as values.
 *
 * Every address is 16 bytes; IPv4 is held in its mapped form ::ffff:a.b.c.d.
 * So 10.0.0.1 and ::ffff:10.0.0.1 are the same value, and nothing that decides
 * has to remember to make them so. The one trap is a short IPv6 prefix: ::/0
 * would contain all of IPv4; prefix_match() and prefix_covers() keep the
 * families apart.
 */
#ifndef VRUN_BASE_ADDR_H
#define VRUN_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

struct addr {
	uint8_t b[16];
};

struct prefix {
	struct addr addr; /* bits behind the prefix are zero */
	uint8_t bits;     /* 0 to 128, counted over the 16 bytes: an IPv4 /8 has 104 */
};

#define ADDR_TEXT_MAX 48   /* bytes with the terminator */
#define PREFIX_TEXT_MAX 52 /* bytes with the terminator */
#define ADDR_V4_BITS 96    /* where IPv4's own bits begin */

/* What an address is for (RFC 6890 and its registry; the providers' manuals for metadata). */
enum addr_kind {
	ADDR_PUBLIC,      /* routed, and the documentation ranges */
	ADDR_UNSPECIFIED, /* 0.0.0.0/8, :: */
	ADDR_LOOPBACK,
	ADDR_LINK_LOCAL,
	ADDR_PRIVATE,  /* RFC 1918, unique local, site local, local NAT64 */
	ADDR_SHARED,   /* 100.64.0.0/10, carrier-grade NAT */
	ADDR_METADATA, /* the well-known addresses of clouds' instance metadata */
	ADDR_MULTICAST,
	ADDR_BROADCAST,
	ADDR_RESERVED, /* anything that is assigned to nobody */
	ADDR_KINDS
};

/* "private", "metadata" ...; never NULL. */
const char *addr_kind_name(enum addr_kind kind);

/*
 * The kind of an address. One that carries an IPv4 address inside (6to4,
 * Teredo, NAT64, IPv4-compatible, ISATAP) has the kind of what it carries
 * unless that is public.
 */
enum addr_kind addr_kind(const struct addr *a);

#define ADDR_SPECIAL_MAX 48
/* The prefixes whose addresses are not ADDR_PUBLIC by themselves. Returns how many were written. */
size_t addr_special(struct prefix ret[ADDR_SPECIAL_MAX]);

#define ADDR_EMBEDDED_MAX 5
/*
 * The IPv4 addresses that an IPv6 address carries and that a translator or
 * tunnel on the way would send to. Returns how many were written, 0 for plain
 * ones and for IPv4 itself.
 */
size_t addr_embedded(const struct addr *a, struct addr ret[ADDR_EMBEDDED_MAX]);

#define PREFIX_CARRIERS 6
/*
 * The other way round: the IPv6 prefixes whose addresses carry those of an IPv4
 * prefix, where that makes a prefix: not ISATAP and clients of Teredo.
 */
void prefix_carriers(const struct prefix *v4, struct prefix ret[PREFIX_CARRIERS]);

/*
 * Text to value, strictly: IPv4 as four decimal numbers without leading zeros,
 * IPv6 as inet_pton(3) reads it, no zone, no brackets. -EINVAL with a hint
 * that holds the right form where there is one.
 */
int addr_parse(const char *text, struct addr *ret, struct err *e);

/* "ADDRESS" or "ADDRESS/BITS". Bits set behind the prefix are an error, with the right prefix as hint. */
int prefix_parse(const char *text, struct prefix *ret, struct err *e);

/* Whether text was meant as an IPv4 address, if a bad one: its last label is a number ("127.1"). */
bool addr_looks_v4(const char *text);

/* Text forms; both return buf. RFC 5952; IPv4 in dots; a whole-address prefix without "/BITS". */
const char *addr_format(const struct addr *a, char *buf, size_t size);
const char *prefix_format(const struct prefix *p, char *buf, size_t size);

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
bool addr_is_v4(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);

/* The prefix of that length around an address; bits as in struct prefix. */
struct prefix prefix_of(const struct addr *a, uint8_t bits);
bool prefix_match(const struct prefix *p, const struct addr *a);
/* Every address of `inner` is one of `outer`. */
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);

/*
 * AF_INET or AF_INET6 socket address to value and port (host order). A zone
 * (sin6_scope_id) is ignored. -EAFNOSUPPORT, or -EINVAL when len is too short.
 */
int addr_from_sockaddr(const struct sockaddr *sa, size_t len, struct addr *ret, uint16_t *ret_port);

/* Value to socket address in the family asked for; returns its length, or 0 when IPv6 does not fit
 * AF_INET. In AF_INET6, IPv4 keeps its mapped form. */
socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, int family,
			   struct sockaddr_storage *ret);

#endif
