/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy of one protection domain: what it may connect to, where it may
 * listen and who may come in. vrun-policy(5) has the format, bundle-spec/ the
 * schema. Loading is strict: whatever cannot have been meant is an error with
 * file, line and path. A loaded policy never changes and may be shared.
 *
 * Memory: every string and array belongs to the policy's arena and lives until
 * policy_fini().
 */
#ifndef VRUN_MODEL_POLICY_H
#define VRUN_MODEL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/err.h"
#include "model/endpoint.h"
#include "model/json.h"

/*
 * A bundle's policy is somebody else's text: the checks that compare every
 * rule with every other stay within a few seconds. More is refused.
 */
#define POLICY_RULES_MAX 10000
#define POLICY_ELEMENTS_MAX 10000 /* of "to", "at" and "from" of all rules together */
#define POLICY_RULE_LIST_MAX 1000 /* of one of them */
#define POLICY_RANGES_MAX 20000   /* of ports, of all rules together */
#define POLICY_LIST_MAX 256       /* addresses, names of a domain; TLS names of a rule */
#define POLICY_RECORDS_MAX 8      /* files that rules are recorded to */
#define POLICY_WARNINGS_MAX 100   /* later ones are dropped */

enum policy_net {
	POLICY_NET_NONE,     /* no sockets but AF_UNIX; the default */
	POLICY_NET_LOOPBACK, /* its own loopback and nothing else */
	POLICY_NET_RULES,    /* virtual sockets under rules: needs a supervisor */
};

enum policy_transport { POLICY_TRANSPORT_TCP, POLICY_TRANSPORT_WIRE };

/* Bits, so that a rule can name both. */
enum policy_proto { POLICY_TCP = 1, POLICY_UDP = 2 };

enum policy_op { POLICY_CONNECT, POLICY_LISTEN };

/* What an app gets for a denied call. */
enum policy_on_deny {
	POLICY_DENY_EACCES,
	POLICY_DENY_ECONNREFUSED,
	POLICY_DENY_EHOSTUNREACH,
	POLICY_DENY_KILL,
	POLICY_DENY_INHERIT, /* of a rule: as the policy says */
};

enum policy_record { POLICY_RECORD_NONE, POLICY_RECORD_PCAPNG, POLICY_RECORD_RAW };

/* What a rule asks for beyond yes; a flow under any of these is relayed. Zero: not given. */
struct policy_options {
	uint64_t rate;            /* bytes per second, each direction */
	uint64_t burst;           /* bytes; given only with a rate */
	uint64_t max_bytes;       /* of one flow, both directions together */
	uint32_t max_connections; /* open at once under this rule */
	enum policy_record record;
	const char *record_file; /* a plain name, in the directory that the run was given */
	const char **tls_names;  /* ClientHello must name one of these; "*.zone" allowed */
	size_t n_tls_names;
};

struct policy_rule {
	const char *id; /* given, or "r" and eight hex digits of what it matches */
	bool id_given;
	bool allow;
	enum policy_op op;
	unsigned protos;           /* POLICY_TCP | POLICY_UDP */
	struct endpoint *endpoints; /* "to" or "at", at least one */
	size_t n_endpoints;
	struct host_pattern *from; /* listen only */
	size_t n_from;             /* 0: "from" was left out */
	bool publish;
	struct addr publish_addr; /* of the host */
	uint16_t publish_port;    /* 0: the kernel chooses */
	struct policy_options options;
	uint16_t *forward; /* DNS query types passed on for its names, beside A and AAAA */
	size_t n_forward;
	enum policy_on_deny on_deny; /* of a deny rule */
	const char *message;         /* for people, when the rule decides; or NULL */
	size_t line;                 /* of the rule in the file */
};

/* 0 in a field: no limit given. */
struct policy_limits {
	uint64_t memory; /* bytes */
	uint64_t pids;
	uint64_t files;     /* open files of one process */
	uint64_t sockets;   /* virtual sockets of the domain; POLICY_SOCKETS_DEFAULT */
	uint64_t pending;   /* trapped calls waiting at once; POLICY_PENDING_DEFAULT */
	uint64_t trap_rate; /* trapped calls per second; POLICY_TRAP_RATE_DEFAULT */
};
#define POLICY_SOCKETS_DEFAULT 65536
#define POLICY_PENDING_DEFAULT 4096
#define POLICY_TRAP_RATE_DEFAULT 0 /* fairness alone */

struct policy_audit {
	bool denied;  /* default true */
	bool allowed; /* default false */
};

/*
 * Virtual addresses that stand for host names. The second address of a pool is
 * the resolver's (".1"), the third the machine outside ("host").
 */
struct policy_resolver {
	struct prefix pool4, pool6;
	uint32_t ttl; /* seconds, of the answers */
};
#define POLICY_POOL4_DEFAULT "198.18.0.0/16"
#define POLICY_POOL6_DEFAULT "fd76:7275:6e00::/64"
#define POLICY_TTL_DEFAULT 60

struct policy_index;

struct policy {
	struct arena arena;
	const char *file;   /* what messages call it */
	const char *text;   /* as it was read; NULL: without a document */
	const char *domain; /* NULL: the run gives one */
	enum policy_net net;
	enum policy_transport transport;
	const struct addr *addresses;
	size_t n_addresses; /* 0: one is assigned */
	const char **names; /* the domain's own name first, when it has one */
	size_t n_names;
	struct policy_rule *rules;
	size_t n_rules;
	struct policy_resolver resolver;
	struct policy_limits limits;
	struct policy_audit audit;
	enum policy_on_deny on_deny;
	const struct policy_index *index; /* policy_index.c; built by the loader */
};

/* What is legal and probably not meant. Zeroed is empty; policy_warnings_fini() frees. */
struct policy_warnings {
	struct policy_warning {
		char *text; /* "FILE:LINE: PATH: what" */
		char *hint; /* or NULL */
		size_t line, col;
	} *v;
	size_t n;
};
void policy_warnings_fini(struct policy_warnings *w);

/*
 * Reads a policy. `warnings` may be NULL. On success the caller calls
 * policy_fini(). -ENOENT and the like from the file; -EINVAL with
 * "FILE:LINE: PATH: why" for everything that is wrong in it.
 */
int policy_load(struct policy *p, int dirfd, const char *path, struct policy_warnings *warnings,
		struct err *e);
/* As above from a document. */
int policy_read(struct policy *ret_policy, const struct json_doc *doc, struct policy_warnings *warnings,
		struct err *e);

/* The policy when there is none: "net": "none". Cannot fail; policy_fini() is allowed, not needed. */
void policy_init_none(struct policy *p);
void policy_fini(struct policy *p);

/* Where a policy comes from, first that is there: option, bundle's policy.json, annotation. */
struct policy_sources {
	const char *option;     /* -p FILE, or NULL */
	int bundle_fd;          /* the bundle's directory, or -1 */
	const char *bundle_dir; /* its path, for messages */
	const char *annotation; /* value of org.vrun.policy: a path in the bundle, or a policy; or NULL */
};
#define POLICY_ANNOTATION "org.vrun.policy"
#define POLICY_BUNDLE_FILE "policy.json"

enum policy_source {
	POLICY_FROM_NOWHERE,
	POLICY_FROM_OPTION,
	POLICY_FROM_BUNDLE,
	POLICY_FROM_ANNOTATION,
};

/*
 * Finds and loads. Files of a bundle are opened beneath it: a link that leads
 * out is refused with -EXDEV. Only a missing policy.json is passed over; a
 * named file that is missing is an error. With none, policy_init_none() and
 * POLICY_FROM_NOWHERE. ret_source and warnings may be NULL.
 */
int policy_find(struct policy *p, const struct policy_sources *sources,
		enum policy_source *ret_source, struct policy_warnings *warnings, struct err *e);

/*
 * The first half of that: the text, for policy_read(). The caller calls
 * json_doc_fini(), unless it is from nowhere: then there is no document.
 */
int policy_find_text(struct json_doc *ret, const struct policy_sources *sources,
		     enum policy_source *ret_source, struct err *e);

/* What enforcing a policy needs, as bits: a run refuses what it cannot give. */
enum policy_feature {
	POLICY_NEEDS_SUPERVISOR = 1 << 0,
	POLICY_NEEDS_GATEWAY = 1 << 1, /* names or addresses outside, or a published port */
	POLICY_NEEDS_RESOLVER = 1 << 2,
	POLICY_NEEDS_WIRE = 1 << 3,
	POLICY_NEEDS_UDP = 1 << 4, /* rules for UDP */
	POLICY_NEEDS_PUBLISH = 1 << 5,
	POLICY_NEEDS_RELAY = 1 << 6, /* rate, maxBytes, record, tls */
	POLICY_NEEDS_RECORD = 1 << 7,
	POLICY_NEEDS_TLS = 1 << 8,
	POLICY_NEEDS_FORWARD = 1 << 9,
};
unsigned policy_needs(const struct policy *p);

/* What a rule asks for and a run refuses, since nobody serves it, and what to do; or NULL. */
const char *policy_rule_unserved(const struct policy_rule *r, const char **ret_hint);

/* A rule's options that make its flows pass through the supervisor. */
bool policy_options_need_relay(const struct policy_options *o);
bool policy_options_equal(const struct policy_options *x, const struct policy_options *y);

/* A file that connections are recorded to. The name belongs to the policy. */
struct policy_record_file {
	const char *name;
	enum policy_record format;
};

/*
 * The files of a policy and its ceiling (or NULL), each once. How many; -E2BIG:
 * more than POLICY_RECORDS_MAX, -EINVAL: one in two formats; *ret_at is the rule then (it may be NULL).
 */
int policy_record_files(const struct policy *p, const struct policy *ceiling,
			struct policy_record_file ret[static POLICY_RECORDS_MAX], const struct policy_rule **ret_at);

/* As a deny, one element of a rule leaves nothing of an element of another. */
bool policy_denies_all(const struct policy_rule *deny, const struct endpoint *deny_ep,
		       const struct policy_rule *r, const struct endpoint *ep);

/*
 * Why nothing can be sent to these addresses through a virtual socket
 * (multicast, broadcast, nobody's, the resolver's pool), or NULL when it can.
 */
const char *policy_unreachable(const struct policy *p, const struct prefix *x);

/* Virtual addresses of the resolver and of the machine outside. */
struct addr policy_resolver_addr(const struct policy *p, bool v4);
struct addr policy_host_addr(const struct policy *p, bool v4);

/* Words as the file has them; never NULL. */
const char *policy_net_name(enum policy_net net);
const char *policy_transport_name(enum policy_transport t);
const char *policy_on_deny_name(enum policy_on_deny d);
const char *policy_proto_name(enum policy_proto proto);
const char *policy_record_name(enum policy_record r);
/* "MX"; "TYPE65" for types without a name here. Returns buf. */
const char *policy_query_type_name(uint16_t type, char *buf, size_t size);
/* The types that can be forwarded: by number from 0, 0 behind the last; and by name, 0 for others. */
uint16_t policy_query_type_at(size_t i);
uint16_t policy_query_type_find(const char *name);

/* Every key that the loader knows, by place: for tests of the schema and the manual. NULL ends. */
struct policy_key_table {
	const char *place; /* "", "net", "net.rules[]" ... */
	const char *const *keys;
};
extern const struct policy_key_table policy_key_tables[];

#endif
