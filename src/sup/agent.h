/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam: a Unix socket to which an OCI runtime sends a container's state
 * and the listener of its filter (runtime-spec, config-linux.md, "listenerPath"
 * and "The Container Process State"). One connection carries one container:
 * JSON with the descriptors beside its first byte. The agent hangs up when it has
 * taken or refused it; runtimes hang up then, before, or much later.
 */
#ifndef VRUN_SUP_AGENT_H
#define VRUN_SUP_AGENT_H

#include <sys/queue.h>

#include "sup/sup.h"

#define AGENT_STATE_MAX 65536 /* bytes of JSON */
#define AGENT_PEERS_MAX 16    /* connections at once; more wait */

struct agent {
	struct watch watch;
	struct sup *sup;
	int fd;             /* owned; the listening socket */
	const char *path;   /* borrowed */
	const char *policy; /* borrowed; for every container, or NULL: its bundle's */
	unsigned n_peers;
	LIST_HEAD(, agent_peer) peers;
	void (*complain)(const struct err *e); /* a container that was refused */
};

/*
 * Binds the path (mode 0600, which must not exist; a socket that nobody
 * listens at is replaced) and takes containers from then on. Only the
 * supervisor's own user and root are heard.
 */
int agent_init(struct agent *a, struct sup *s, const char *path, const char *policy,
	       void (*complain)(const struct err *e), struct err *e);
/* Removes the path. */
void agent_fini(struct agent *a);

/* What a state says. Strings belong to the document. */
struct json_doc;
struct agent_state {
	const char *id, *bundle; /* bundle: NULL when it is left out */
	const char *annotation;  /* org.vrun.policy, or NULL */
	size_t listener;         /* which descriptor is the filter's listener */
};
/* -EINVAL with what is wrong; n_fds is how many descriptors came. */
int agent_parse(const struct json_doc *doc, size_t n_fds, struct agent_state *ret, struct err *e);

#endif
