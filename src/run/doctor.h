/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `vrun doctor`: what the host gives, judged. A report is a list of findings;
 * each says what was found, what vrun does about it, and the commands that
 * change it. The judging is a pure function of the facts, so that hosts which
 * are not at hand can be tested.
 */
#ifndef VRUN_RUN_DOCTOR_H
#define VRUN_RUN_DOCTOR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "kern/probe.h"

/* ok: all of it. degraded: vrun runs, with less. missing: vrun cannot run. */
enum doctor_status { DOCTOR_OK, DOCTOR_DEGRADED, DOCTOR_MISSING };

const char *doctor_status_name(enum doctor_status s);

#define DOCTOR_USERS 2
#define DOCTOR_FIXES 4

struct doctor_facts {
	struct probe_host host;
	struct probe_user users[DOCTOR_USERS];
	size_t n_users;
	uid_t caller;
	char state_dir[PATH_MAX]; /* where the caller's records go */
	int state_error;          /* 0, or why they cannot */
	bool state_in_tmp;        /* for want of a runtime directory */
	char lsm[PROBE_TEXT];     /* /sys/kernel/security/lsm; "" unknown */
	char self[PATH_MAX];      /* the running vrun's path */
};

struct doctor_finding {
	const char *id;    /* "user-namespaces": stable, for programs */
	const char *title; /* "user namespaces" */
	const struct probe_user *user; /* NULL: the host */
	enum doctor_status status;
	const char *found;  /* "made, one id mapped" */
	const char *effect; /* what vrun does therefore; "" when everything works */
	const char *fix[DOCTOR_FIXES]; /* shell commands, to be run in this order */
	size_t n_fix;
	bool fix_as_root; /* they need root */
};

struct doctor_report {
	struct arena arena; /* owns the texts */
	struct doctor_finding *v;
	size_t n;
	enum doctor_status worst;
};

/*
 * Collects the facts: for the caller, and for `other` when it is not NULL, by
 * name or number (root only, -EPERM otherwise; -ENOENT: no such user). Uses
 * short-lived children and leaves nothing behind.
 */
int doctor_examine(struct doctor_facts *ret, const char *other, struct err *e);

/* Judges. The facts have to outlive the report; doctor_report_fini() afterwards. -ENOMEM. */
int doctor_judge(struct doctor_report *ret, const struct doctor_facts *f, struct err *e);
void doctor_report_fini(struct doctor_report *r);

/* --- for its own files --- */

struct doctor_judge {
	struct doctor_report *r;
	const struct doctor_facts *f;
	size_t room;
	bool no_memory;
};

/* Appends a finding that is ok so far, with a formatted `found`. Never NULL: out of memory is noted. */
struct doctor_finding *doctor_add(struct doctor_judge *j, const struct probe_user *user,
				  const char *id, const char *title, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Makes a finding worse and says what vrun does then. */
void doctor_worse(struct doctor_judge *j, struct doctor_finding *d, enum doctor_status s,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Adds a command. "SUDO" at the word's place becomes "sudo " for a caller who is not root. */
void doctor_fix(struct doctor_judge *j, struct doctor_finding *d, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "Operation not permitted", "killed by a system-call filter" ... */
const char *doctor_reason(int result);

void doctor_judge_host(struct doctor_judge *j);                             /* doctor_host.c */
void doctor_judge_user(struct doctor_judge *j, const struct probe_user *u); /* doctor_user.c */

#endif
