/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam: a Unix socket to which an OCI runtime sends a container's state
 * and the listener of its filter (runtime-spec, config-linux.md, "listenerPath"
 * and "The Container Process State"). One connection carries one container:
 * JSON with the descriptors beside its first byte. The agent hangs up when it has
 * taken or refused it; runtimes hang up then, before, or much later.
 *
 * vrun's own launcher is told in lines of JSON what became of it, and stays to
 * hear of the end: {"taken": true, "names": [...], "addresses": [...]} or
 * {"error": ..., "hint": ..., "number": errno}, then {"ended": true, ...}.
 */
#ifndef VRUN_SUP_AGENT_H
#define VRUN_SUP_AGENT_H

#include <sys/queue.h>

#include "sup/sup.h"

#define AGENT_STATE_MAX (16 << 20) /* bytes of JSON; vrun's launcher sends policies with it */
#define AGENT_PEERS_MAX 512        /* connections at once; more wait */

struct agent {
	struct watch watch;
	struct sup *sup;
	int fd;             /* owned; the listening socket */
	int spaces[2];      /* borrowed; the user and the pid namespace in which vrun's launcher makes
			       containers, or -1 */
	const char *path;   /* borrowed; removed at the end; NULL: others do that */
	const char *policy; /* borrowed; for every container, or NULL: its own */
	unsigned n_peers;
	bool listening;
	bool has_door; /* connections come from elsewhere, too (door.h) */
	bool over; /* the last launcher of ours has left */
	LIST_HEAD(, agent_peer) peers;
	void (*complain)(const struct err *e); /* a container that was refused */
};

/*
 * Binds a Unix socket to the path with mode 0600. It must not exist; a socket
 * that nobody listens at is replaced. -EADDRINUSE.
 */
int agent_bind(int fd, const char *path, struct err *e);

/* Takes the socket, at which it does not listen yet. */
void agent_init(struct agent *a, struct sup *s, int fd, const char *path, const char *policy,
		void (*complain)(const struct err *e));
/*
 * Takes containers from then on at the socket, which has been bound. Only the
 * supervisor's own user and root are heard.
 */
int agent_listen(struct agent *a, struct err *e);
/* Takes a connection that was made otherwise, closed on failure. `launcher`: of vrun's launcher, for which
 * the supervisor stops listening before it hangs up, when it was the last. 0 or -errno. */
int agent_adopt(struct agent *a, int fd, bool launcher);
void agent_fini(struct agent *a);

#endif
