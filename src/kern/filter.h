/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Installing seccomp filters, and what this kernel's seccomp can do
 * (seccomp(2), kernel/seccomp.c). The names avoid "seccomp_", which is
 * libseccomp's.
 */
#ifndef VRUN_KERN_FILTER_H
#define VRUN_KERN_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kern/bpf.h"

/*
 * Installs the program for the calling thread (all threads with
 * SECCOMP_FILTER_FLAG_TSYNC) and everything it starts, for ever. The caller
 * has set no_new_privs or holds CAP_SYS_ADMIN in its user namespace.
 *
 * `flags`: SECCOMP_FILTER_FLAG_*. With ret_listener_fd (else NULL) a listener
 * for SECCOMP_RET_USER_NOTIF is made; the caller owns it, it is close-on-exec.
 *
 * -EACCES: neither of the two; -EBUSY: another listener is in place already;
 * -EINVAL: flags or a program that this kernel does not know; -ESRCH: with
 * TSYNC, a thread that has a filter of its own.
 */
int filter_load(const struct bpf_prog *p, unsigned flags, int *ret_listener_fd, struct err *e);

/* What the kernel offers; each field is found by asking, not by its version. */
struct filter_features {
	bool filter; /* filters at all; the rest is false without */
	/* actions: SECCOMP_GET_ACTION_AVAIL */
	bool kill_process, kill_thread, trap, ret_errno, user_notif, trace, log;
	/* flags: SECCOMP_FILTER_FLAG_* */
	bool tsync, flag_log, spec_allow, new_listener, tsync_esrch, wait_killable;
	/* sizes of the kernel's structs: SECCOMP_GET_NOTIF_SIZES; 0 without */
	uint16_t notif_size, resp_size, data_size;
	/* what happened when a child process tried it: 0 or an errno number */
	int load_error;     /* installing a filter */
	int listener_error; /* installing one with a listener; EBUSY: this process is under one */
	bool sync_wake_up;  /* the listener takes SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP */
};

/*
 * Fills the features. Starts a child process to try what cannot be undone, so
 * it is for single-threaded callers. Fails only when that child cannot be
 * started.
 */
int filter_probe(struct filter_features *ret, struct err *e);

#endif
