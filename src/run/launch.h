/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launching a container: what is decided before the first clone(2), and the
 * one function that does it. ARCHITECTURE.md ("How a launch goes") has the
 * picture.
 *
 *   monitor   the vrun process that was called: reads, decides, clones,
 *             forwards signals, waits, cleans up. In the caller's namespaces.
 *   container the clone: enters or makes the namespaces, builds the root,
 *             takes on the app's identity, execs the app. With an init it
 *             forks once more and stays as pid 1.
 *   keeper    a fork of the monitor that cleans up should the monitor be
 *             killed; see keeper.c.
 */
#ifndef VRUN_RUN_LAUNCH_H
#define VRUN_RUN_LAUNCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "kern/bpf.h"
#include "kern/profile.h"
#include "model/bundle.h"

struct cgroup;
struct json_doc;
struct policy_applied;

/* What the caller of the launcher chooses. All pointers are borrowed. */
struct launch_options {
	const char *id;         /* checked by state_check_id() */
	const char *state_root; /* directory of the records */
	bool host_users;        /* a root caller's ids stand for themselves */
	bool best_effort;       /* what the host cannot give is listed, not refused */
	bool systemd_cgroup;    /* the service manager makes the cgroup */
	bool init;              /* pid 1 is vrun's, the app its child */
	bool hooks;             /* the bundle may name programs to be run outside, with the caller's rights */
	bool detached;    /* in the background: nothing of the caller's streams is kept */
	bool ask; /* what no rule allows waits until somebody answers (sup/asks.h) */
	bool outlives; /* the parent of the app may end before it: create, and exec in the background */
	bool subordinate; /* an unprivileged caller gets the whole subordinate range when there is one */
	bool create;            /* "vrun create", see below */
	bool engine; /* config.json is an engine's: the network that it joins is what is outside (outside.h) */
	const char *pid_file; /* NULL: none */
	const char *output; /* detached: file for the app's output; NULL: none */
	int started_fd;   /* one byte is written here when the app has been executed; -1 */
	int preserve_fds; /* fds 3 .. 3+n-1 stay open in the app */
	const struct policy_applied *policy;
	const char *record_dir; /* for "record" of rules (records.h); NULL: none */
	uint64_t record_max;    /* bytes of each file; 0: RECORD_MAX_DEFAULT */
	const char *fabric; /* name of the fabric whose supervisor serves the container; NULL: a private one */
	/*
	 * A supervisor's life, in a process of its own: serves at the listening
	 * socket, and the launcher behind the connection, until nobody is left.
	 * Both are taken. `spaces` are its user and its pid namespace, or -1. `outside`: some container
	 * of it may have a gateway.
	 */
	int (*supervise)(int listener, int launcher, int resolver, const int *spaces, bool outside, struct err *e);
	void (*denials)(const struct json_doc *summary); /* what was denied, at the end; NULL: nobody wants to know */
	void (*attempts)(const json_t *list); /* all that was tried (sup/attempts.h), likewise */
	/*
	 * "vrun create": the container is our caller's child, not the monitor's, so that a subreaper above
	 * it collects its exit status; it waits for "vrun start" before the exec, and its record for
	 * "vrun delete". The byte for started_fd is written when it is created. `annotations` is what its
	 * config.json has.
	 */
	const json_t *annotations;
	const char *config; /* the text of config.json, for "vrun exec" and hooks; NULL: a command of the host */
	/* A container of another runtime, for supervisor_hand_over(): nobody has put it behind a wall, and... */
	bool foreign;
	bool relayed; /* ... nobody can tell what its filter lets it do with sockets of the host's */
	const char *console_socket; /* where the terminal's controlling side is sent; NULL: carried here */
};

enum map_writer {
	MAP_NONE,    /* no new user namespace */
	MAP_SELF,    /* one id of the caller's own: the container writes it */
	MAP_PARENT,  /* the monitor is privileged and writes it */
	MAP_HELPERS, /* newuidmap and newgidmap */
};

enum root_kind {
	ROOT_DIR,           /* the bundle's root filesystem */
	ROOT_OVERLAY_TMPFS, /* with a writable layer in memory */
	ROOT_OVERLAY_DIR,   /* with a writable layer in a directory */
	ROOT_HOST,          /* the host's own root, read-only, for `run -- CMD` */
};

/* A directory of the host's by its identity, and what leads from it to the one that is meant. */
struct launch_place {
	dev_t dev;
	ino_t ino;
	const char *below; /* "" for that one itself */
};

/* Everything that is decided before the first process is made. */
struct launch {
	struct bundle *bundle;
	const struct launch_options *opt;

	enum map_writer map_writer;
	bool deny_setgroups;
	bool own_id_mapped;        /* MAP_PARENT: the caller's own id stands for the app's */
	struct idmap uids, gids;   /* of the new user namespace */
	bool sources_in_parent;    /* the monitor opens what is mounted: the container may not reach it */
	bool idmap_sources;        /* ... and maps their owners into the container's range */
	bool apparmor, selinux;    /* the app gets the profile, or the labels, that its bundle names */
	int proc_fd;               /* then, in the container: the caller's /proc; -1 once used */
	bool owner_is_app;         /* files of the bundle's owner belong to the app's user */

	enum root_kind root_kind;
	const char *root_dir;    /* absolute */
	const char *overlay_dir; /* absolute; ROOT_OVERLAY_DIR */
	struct launch_place *state_above; /* the state directory, which must not be visible inside, and those above it */
	size_t n_state_above;

	uint64_t clone_flags;     /* of the clone that is the container */
	bool joins;               /* namespaces are joined: a clone before that one does it */
	bool joins_by_path;       /* ... others' namespaces */
	const char *outside;      /* the network namespace in which its gateway is; NULL: the caller's */
	bool supervised;          /* a supervisor serves the app's sockets */
	const int *outer;         /* its user and pid namespaces, in which the container's are made; -1: none */
	struct bpf_prog traps;    /* loaded before the filter, when that is the bundle's own: the supervisor's
				     rules, or what keeps an app out of a network that is joined */
	bool has_traps;
	bool own_users;           /* the container's user namespace is not the caller's */
	bool network_from_keeper; /* the keeper makes the network namespace */
	int network_sock;         /* in the container: where it comes from; -1 once joined */
	uint64_t caps;            /* of the container's app, which its walls are made for; not what is put in later */
	struct bpf_prog filter;
	unsigned filter_flags;
	bool has_filter;
	char *start_state; /* owned; in the container: what the startContainer hooks are told */
	struct profile_params profile; /* has_filter, but it is not there yet: process_prepare() makes it */
	struct cgroup *cgroup;

	/* Detached mounts, owned; -1 when not a bind. Index as bundle->mounts. */
	int root_fd, overlay_fd;
	int *mount_fds;
};

/*
 * Decides ids, namespaces, root, filter. Reads files but changes nothing.
 * launch_fini() after success or failure.
 */
int launch_plan(struct launch *l, struct bundle *b, const struct launch_options *opt,
		struct err *e);
void launch_fini(struct launch *l);

/*
 * Runs the container and waits for its end. 0 with the app's exit code (0 to
 * 255, 128+signal when it was killed); or -errno with the exit code for vrun:
 * 125, or 127 and 126 as a shell has them when the program does not exist or
 * cannot be executed. Nothing is left behind either way.
 */
int launch_run(struct launch *l, int *ret_exit_code, struct err *e);

#endif
