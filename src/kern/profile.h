/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that an app may make when its bundle has no profile of its
 * own: vrun's default, an allow-list. The list itself is profile_default.c.
 */
#ifndef VRUN_KERN_PROFILE_H
#define VRUN_KERN_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kern/bpf.h"

/* What socket(2) answers for AF_INET and AF_INET6. */
enum profile_net {
	PROFILE_NET_NONE,     /* EACCES; nobody has to be asked */
	PROFILE_NET_LOOPBACK, /* the app's own namespace serves: TCP, UDP, ICMP echo */
	PROFILE_NET_HOST,     /* the same, for a bundle without a network namespace of its own */
};

struct profile_params {
	enum profile_net net;
	/*
	 * Capabilities that the app may hold, as bits by number (its bounding
	 * set). Some calls that the profile shuts are open to an app that keeps
	 * the capability they are for.
	 */
	uint64_t caps;
	/* Rules that come before the profile's own, such as a supervisor's SECCOMP_RET_USER_NOTIF.
	 * Borrowed for the call. */
	const struct bpf_rule *extra;
	size_t n_extra;
};

/*
 * Fills the table with the extra rules and the profile's: what
 * profile_default_build() compiles. The table borrows the extra rules'
 * conditions. -EINVAL: no such net; -E2BIG: too many extra rules.
 */
int profile_default_table(const struct profile_params *p, struct bpf_table *ret, struct err *e);

/* The program; the caller calls bpf_prog_fini(). Takes a few microseconds: nothing is cached. */
int profile_default_build(const struct profile_params *p, struct bpf_prog *ret, struct err *e);

#endif
