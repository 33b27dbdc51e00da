/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one decision function. Enforcement, `policy why`, `policy test`,
 * `learn`, reload and audit all call policy_decide(); nothing else may decide.
 *
 * Any matching deny beats any allow, the order of rules does not matter, and
 * what no rule allows is denied. What a rule matches:
 *
 * - A name rule matches a party by any of its names; an address rule by the
 *   address that is connected to, virtual or real. "*" allows every domain,
 *   every host name and every *public* address; it does not allow "host", and
 *   no private, loopback or metadata address. "*" denies everything.
 * - A host name needs a name rule. What it resolves to is matched by address
 *   denies; an address that is not public needs an address rule as well.
 * - An IPv4 deny also matches IPv6 addresses that carry such an address inside
 *   (NAT64, 6to4, Teredo ...); an allow never does.
 * - The domain's own loopback and addresses are allowed unless denied, to
 *   connect to and to listen at. A listener is heard by the domain itself, and
 *   by those that the "from" of an allowing rule lets in.
 * - A query of another type for a host name needs a rule that forwards that type
 *   and allows the name. Nobody else's names have such records.
 * - A deny for listening without "from" forbids the listener; one with "from"
 *   keeps those parties out of it.
 */
#ifndef VRUN_MODEL_POLICY_DECIDE_H
#define VRUN_MODEL_POLICY_DECIDE_H

#include "model/policy.h"

enum party_kind {
	PARTY_OWN,      /* the domain itself: its loopback, its addresses */
	PARTY_DOMAIN,   /* another domain of the fabric */
	PARTY_NAME,     /* a host name, as the resolver gave it out */
	PARTY_ADDR,     /* a real address, with no name */
	PARTY_HOST,     /* the machine outside */
	PARTY_RESOLVER, /* vrun's own resolver: port 53 is always open, what it answers is RESOLVE's */
};

struct policy_party {
	enum party_kind kind;
	const char *const *names; /* in their one form (name_parse()): a domain's; or the host name */
	size_t n_names;
	const struct addr *addr; /* connected to, or come from; NULL while not known */
};

enum attempt_kind {
	ATTEMPT_CONNECT, /* peer, port */
	ATTEMPT_LISTEN,  /* local, port: TCP listen(), or UDP bind() to a port that was asked for */
	ATTEMPT_ACCEPT,  /* peer comes to local, port */
	ATTEMPT_RESOLVE, /* a look-up of peer's name; the port it is likely for, or 0 */
};

/* What a connection's ClientHello says (clienthello.h). */
struct policy_tls {
	const char *name; /* of the server that it wants, in its one form; "": none to be seen */
	const char *why;  /* it is not to be believed, or there is none: why; else "" */
};

struct policy_attempt {
	enum attempt_kind kind;
	enum policy_proto proto;
	uint16_t port; /* not 0 but for RESOLVE */
	struct policy_party peer;
	const struct addr *local; /* NULL or unspecified: the wildcard */
	uint16_t query; /* of RESOLVE: a DNS query type that is to be passed on ("forward"); 0: the name's addresses */
	const struct policy_tls *tls; /* of CONNECT; NULL: not known yet, and not decided on */
};

enum policy_reason {
	POLICY_BY_RULE,         /* allowed or denied: the rule says so */
	POLICY_BY_OWN,          /* allowed: the domain's own, or the resolver */
	POLICY_BY_DEFAULT,      /* denied: no rule allows it */
	POLICY_BY_ADDRESS,      /* denied: the name is allowed, the address it has is not public */
	POLICY_BY_HOST,         /* denied: name and address are allowed, but it is the machine's loopback */
	POLICY_BY_NET_NONE,     /* denied: "net": "none" */
	POLICY_BY_NET_LOOPBACK, /* denied: "net": "loopback" */
	POLICY_BY_TRANSPORT,    /* denied: allowed by both sides, but one has wires and the other has not */
	POLICY_BY_TLS,          /* denied: the rule allows TLS to the names that it lists alone */
	POLICY_REASONS
};

struct policy_verdict {
	bool allow;
	enum policy_reason reason;
	const struct policy_rule *rule;      /* with BY_RULE; with BY_ADDRESS and BY_HOST the name's rule; or NULL */
	const struct policy_rule *addr_rule; /* the rule that allowed a name's address, or NULL */
	const struct policy *policy;         /* whose decision this is */
};

/* Total: every attempt has a verdict. Keeps no pointer to the attempt. */
void policy_decide(const struct policy *p, const struct policy_attempt *a,
		   struct policy_verdict *ret);

/*
 * A policy under a ceiling (or NULL): allowed only if both allow. The verdict
 * is the policy's own when it denies or both allow, else the ceiling's.
 */
void policy_decide_bounded(const struct policy *p, const struct policy *ceiling,
			   const struct policy_attempt *a, struct policy_verdict *ret);

struct policy_side {
	const struct policy *policy;
	const struct policy *ceiling; /* or NULL */
	const struct addr *addr;      /* the virtual address this side uses; NULL: not known */
	const char *const *names;     /* NULL: the policy's */
	size_t n_names;
};

struct policy_pair_verdict {
	bool allow;
	struct policy_verdict client, server;
};

/*
 * One domain connects to a port of another: both decide, both verdicts are
 * filled. A stream that both allow needs the same transport on both sides; the
 * client's verdict says so.
 */
void policy_decide_pair(const struct policy_side *client, const struct policy_side *server,
			enum policy_proto proto, uint16_t port, struct policy_pair_verdict *ret);

/*
 * What a flow is under: the strictest of the rules that a verdict names (least
 * rate, burst, bytes and connections; the first's record and TLS names). Zero
 * for none.
 */
void policy_verdict_options(const struct policy_verdict *v, struct policy_options *ret);

/*
 * The same of a policy under a ceiling (or NULL), for an attempt that both
 * allow: what one of the two asks for holds. TLS names are the policy's, or else
 * the ceiling's: either way the attempt's name is decided on by both.
 */
void policy_bounded_options(const struct policy *p, const struct policy *ceiling, const struct policy_attempt *a,
			    struct policy_options *ret);

/*
 * What the app gets; `v` is a denial. `own`: by its own policy or ceiling; another domain's
 * has nobody killed but its own.
 */
enum policy_on_deny policy_verdict_on_deny(const struct policy_verdict *v, bool own);
/* The same as an errno, or 0 for POLICY_DENY_KILL. */
int policy_verdict_errno(const struct policy_verdict *v, bool own);

/* The name that a look-up or ClientHello gives against "tls": {"names"}. */
bool policy_tls_name_allowed(const struct policy_options *o, const char *name);

#endif
