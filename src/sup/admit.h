/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a container in: from what a launcher says of it to a domain that is
 * served.
 *
 * The message is the OCI "Container Process State" (runtime-spec,
 * config-linux.md). vrun's own launcher adds a member "vrun", with which the
 * policy comes as text: it was found and checked where the caller's files can be
 * read, and the supervisor need not open any.
 *
 *   "vrun": { "policy":  { "name": "/b/policy.json", "text": "{...}" },
 *             "ceiling": { "name": ..., "text": ... },     left out: none
 *             "hostname": "web",                           of its UTS namespace; left out: not known
 *             "landlock": 7,                               the ABI of the app's wall, 0: none
 *             "records": [ { "file": "a.pcapng", "format": "pcapng", "max": 1000 } ],
 *             "relayed": true,                             it is handed no socket of the host's
 *             "listen": true }                             the supervisor's socket has its name
 *
 * Beside "seccompFd" its "fds" has "network", the app's network namespace: the
 * pid is not a number of the supervisor's pid namespace. Where the policy leads outside
 * there is "gateway", too, the socket of the domain's gateway (gateway.h), and "record" for
 * each of the records, in their order.
 */
#ifndef VRUN_SUP_ADMIT_H
#define VRUN_SUP_ADMIT_H

#include "model/json.h"
#include "sup/sup.h"

/* A policy as text. Both NULL: not given. */
struct admit_text {
	const char *name, *text;
};

/* What a message says. Strings belong to the document. */
struct admit_state {
	const char *id, *bundle; /* bundle: NULL when it is left out */
	const char *annotation;  /* org.vrun.policy, or NULL */
	const char *metadata;    /* linux.seccomp.listenerMetadata, or NULL: a policy, when it looks like one */
	size_t listener;         /* which descriptor is the filter's listener */
	size_t network;          /* ... and the network namespace; SIZE_MAX: it is that of pid */
	size_t gateway;          /* ... and its gateway's socket; SIZE_MAX: none */
	size_t record;           /* ... and the first record; SIZE_MAX: none */
	struct jat records;      /* the array */
	size_t n_records, n_fds;
	int64_t pid;             /* of the container's process, where the launcher is; 0: not said */
	bool own;                /* it comes from vrun's own launcher */
	const char *hostname;    /* what the container's processes are told, or NULL */
	struct admit_text policy, ceiling;
	int64_t landlock;
	bool relayed; /* nobody can tell what its filter lets it do with sockets of the host's */
	bool ask; /* what no rule allows waits for an answer */
	bool attempts; /* the launcher wants to know all that was tried */
	bool listen; /* the supervisor's own socket has got its name */
};

/* -EINVAL with what is wrong; n_fds is how many descriptors came. */
int admit_parse(const struct json_doc *doc, size_t n_fds, struct admit_state *ret, struct err *e);

/*
 * Takes the container in: it is served when its network has been set up, which
 * the caller hears by domain.settled of *ret. `policy` is the file for every container,
 * or NULL: the message's, else its bundle's. Takes the listener out of fds (-1
 * is left there). The domain belongs to the supervisor.
 */
int admit_container(struct sup *s, const struct admit_state *a, const char *policy, int *fds,
		    struct domain **ret, struct err *e);

/*
 * A process that was put into a container that is served ("vrun exec", or
 * another runtime's): its filter's listener becomes one more of that domain.
 * True when that is what the message is about, with *ret_rc and the error. It
 * is known by the container's id and its network namespace.
 */
bool admit_process(struct sup *s, const struct admit_state *a, int *fds, int *ret_rc, struct err *e);

/* What this supervisor cannot give is refused: a policy is never carried out in part. -ENOTSUP. */
int admit_check_needs(struct sup *s, const char *id, const struct policy *p, struct err *e);
/* A policy's records have to be among the files that the launcher has made. -ENOTSUP. */
int admit_check_records(const struct domain *d, const struct policy *p, struct err *e);

#endif
