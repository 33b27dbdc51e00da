/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the paths that a trial run used go into the bundle. */
#include "pack/pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"
#include "pack/trace.h"

/* The kernel's, other programs' and passing things; and what the bundle has its own form of. */
static const char *const not_packed[] = {
	"/proc",	   "/sys",	  "/dev",	     "/run",	   "/var/run",
	"/tmp",		   "/var/tmp",	  "/etc/passwd",     "/etc/group", "/etc/hosts",
	"/etc/hostname",   "/etc/mtab",	  "/etc/resolv.conf", "/etc/machine-id",
	"/etc/ld.so.cache", "/etc/ld.so.preload", "/lost+found", "/var/lib/dpkg",
};

/* Kept back even if the program, run as root, read them: whoever wants them in a bundle says so with --add. */
static const char *const secret[] = {
	"/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers",
	"/etc/sudoers.d", "/etc/ssl/private", "/etc/ssh", "/var/lib/private",
};

static bool below_any(const char *path, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (path_below(path, v[i]))
			return true;
	return false;
}

/* People's own files. */
static bool is_home(const char *path)
{
	const char *home = getenv("HOME");

	return path_below(path, "/home") || path_below(path, "/root") ||
	       (home && home[0] == '/' && home[1] && path_below(path, home));
}

struct sorting {
	struct pack *p;
	size_t n_home;
	const char *home; /* the first of them */
};

/* 1: pack it. 0: do not. */
static int wanted(struct sorting *s, const char *path, const char *real)
{
	char quoted[PATH_MAX];

	if (tree_find(&s->p->tree, real))
		return 0; /* by --add or otherwise */
	if (is_home(real) || is_home(path)) {
		if (s->n_home++ == 0)
			s->home = arena_strdup(&s->p->arena, real);
		return 0;
	}
	if (below_any(path, not_packed, sizeof not_packed / sizeof *not_packed) ||
	    below_any(real, not_packed, sizeof not_packed / sizeof *not_packed))
		return 0;
	if (below_any(real, secret, sizeof secret / sizeof *secret)) {
		notes_add(&s->p->notes, "%s: used in the trial run, but secret; --add it if it is needed",
			  log_quote(quoted, sizeof quoted, real));
		return 0;
	}
	return 1;
}

static int take(struct sorting *s, const struct node *used, struct err *e)
{
	char real[PATH_MAX], parent[PATH_MAX];
	const char *path = used->path;
	int rc;

	if (host_realpath(&s->p->host, path, real, NULL) < 0 || !wanted(s, path, real))
		return 0;
	/* What it only writes is not part of it; the place to write to is. */
	if (!(used->mode & TRACE_READ)) {
		size_t n = strlen(real) - strlen(path_base(real));

		memcpy(parent, real, n);
		parent[n > 1 ? n - 1 : n] = '\0';
		path = parent;
	}
	rc = place_path(&s->p->place, path, WHY_TRACE, NULL, e);
	return rc == -ENOMEM || rc == -EINTR ? rc : 0;
}

static int take_all(struct sorting *s, const struct tree *seen, struct err *e)
{
	AUTO_FREE struct node **v = tree_sorted(seen);
	char quoted[PATH_MAX];
	int rc = 0;

	if (!v)
		return err_num(e, ENOMEM, "tracing");
	for (size_t i = 0; rc == 0 && i < seen->n; i++) {
		rc = interrupt_check(e);
		if (rc == 0)
			rc = take(s, v[i], e);
	}
	if (rc == 0 && s->n_home > 0 && s->home)
		notes_add(&s->p->notes,
			  "the trial run used %zu paths of users' own, such as %s; --add what is needed",
			  s->n_home, log_quote(quoted, sizeof quoted, s->home));
	return rc;
}

int collect_trace(struct pack *p, struct err *e)
{
	struct sorting s = { .p = p };
	const char **argv;
	struct tree seen;
	int rc;

	if (!p->o->trace)
		return 0;
	progress_phase(&p->progress, "trial run", 0);
	progress_clear(&p->progress);
	argv = arena_array(&p->arena, p->args.n + 1, sizeof *argv);
	if (!argv)
		return err_num(e, ENOMEM, "tracing");
	for (size_t i = 0; i < p->args.n; i++)
		argv[i] = p->args.v[i];
	tree_init(&seen);
	rc = trace_run(argv, p->o->trace_seconds, &seen, &p->notes, e);
	if (rc == 0)
		rc = take_all(&s, &seen, e);
	tree_fini(&seen);
	return rc;
}
