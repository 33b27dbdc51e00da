/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts from text, as people write them for `policy why` and in expectation
 * files. The supervisor makes its attempts from its own tables; what an
 * address means is decided here and there by the same order:
 * the domain's own, another domain's, the resolver's pool, the real world.
 */
#ifndef VRUN_MODEL_POLICY_ATTEMPT_H
#define VRUN_MODEL_POLICY_ATTEMPT_H

#include "model/policy_decide.h"

#define ATTEMPT_NAMES_MAX 32 /* of another domain; with more, they stay in the order of its policy */

/* An attempt that owns what it points at. Do not copy or move it. */
struct attempt {
	struct policy_attempt a;
	const struct policy *other;        /* the other domain's policy, or NULL when it is not known */
	struct addr peer_addr, local_addr;
	char name[NAME_TEXT_MAX];
	const char *name_list[ATTEMPT_NAMES_MAX];
	struct policy_tls tls;
	char tls_name[NAME_TEXT_MAX];
};

/* The policies around one: the domain asked about and the others of its fabric. */
struct fabric {
	const struct policy *self;
	const struct policy *ceiling; /* over `self`; or NULL */
	const struct policy *const *others;
	const struct policy *const *ceilings; /* over each of the others; or NULL */
	size_t n_others;
};

/*
 * "db:5432", "api.example.com:443", "192.0.2.1:80", "host:22". `resolved` is
 * what a host name is taken to resolve to, or NULL.
 */
int attempt_connect(struct attempt *at, const struct fabric *f, const char *to, const char *resolved,
		    enum policy_proto proto, struct err *e);

/* With the server name of its ClientHello; "": it has none. For an attempt to connect over TCP. */
int attempt_tls(struct attempt *at, const char *name, struct err *e);

/* ":8080", "127.0.0.1:8080". */
int attempt_listen(struct attempt *at, const struct fabric *f, const char *local,
		   enum policy_proto proto, struct err *e);

/* From "lb", "host", "192.0.2.1" to ":8080". */
int attempt_accept(struct attempt *at, const struct fabric *f, const char *from, const char *local,
		   enum policy_proto proto, struct err *e);

/* "db", "api.example.com". */
int attempt_resolve(struct attempt *at, const struct fabric *f, const char *name, struct err *e);

/* For records of that type ("MX") in place of its addresses: of an attempt to resolve a host name. */
int attempt_query(struct attempt *at, const char *type, struct err *e);

/*
 * Decides an attempt. Where both domains are known, both sides decide and
 * ret->allow is their conjunction; else the other side's verdict is a copy of
 * the one side's and ret_both is false.
 */
void attempt_decide(const struct attempt *at, const struct fabric *f,
		    struct policy_pair_verdict *ret, bool *ret_both);

/*
 * Whether the host name (or "host") that it is about stands for nothing in the sandbox: it may not be looked up, or
 * no port is open at the address that it has (NULL: not known). -ENOMEM.
 */
int attempt_is_unknown(const struct attempt *at, const struct fabric *f, const struct addr *addr, bool *ret,
		       struct err *e);

#endif
