/* SPDX-License-Identifier: Apache-2.0 */
#include "run/doctor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "run/state.h"

const char *doctor_status_name(enum doctor_status s)
{
	static const char *const names[] = { [DOCTOR_OK] = "ok",
					     [DOCTOR_DEGRADED] = "degraded",
					     [DOCTOR_MISSING] = "missing" };

	return names[s];
}

/* --- facts --- */

/*
 * A line "name:x:uid:gid:..." of /etc/passwd. Read here, since a static program
 * has no NSS; users of a directory service are given by number.
 */
static bool passwd_line(char *line, const char *name, uint64_t uid, bool by_uid,
			struct probe_user *u)
{
	char *field[4];
	uint64_t line_uid, gid;

	for (size_t i = 0; i < 4; i++) {
		field[i] = strsep(&line, ":");
		if (!field[i])
			return false;
	}
	if (num_parse_u64(field[2], 0, UINT32_MAX - 1, &line_uid) < 0 ||
	    num_parse_u64(field[3], 0, UINT32_MAX - 1, &gid) < 0)
		return false;
	if (by_uid ? line_uid != uid : strcmp(field[0], name) != 0)
		return false;
	u->uid = (uid_t)line_uid;
	u->gid = (gid_t)gid;
	(void)snprintf(u->name, sizeof u->name, "%s", field[0]);
	return true;
}

/* Fills name and gid of a user that is given by name, or else by number. False: unknown. */
static bool look_up(struct probe_user *u, const char *name, uint64_t uid, bool by_uid)
{
	AUTO_FREE char *text = NULL;
	char *rest;

	if (fd_read_file(AT_FDCWD, "/etc/passwd", 16U << 20, &text, NULL, NULL) < 0)
		return false;
	rest = text;
	while (rest)
		if (passwd_line(strsep(&rest, "\n"), name, uid, by_uid, u))
			return true;
	return false;
}

static int add_other(struct doctor_facts *f, const char *other, struct err *e)
{
	struct probe_user *u = &f->users[f->n_users];
	uint64_t uid;

	if (!look_up(u, other, 0, false)) {
		if (num_parse_u64(other, 0, UINT32_MAX - 1, &uid) < 0)
			return err_set(e, ENOENT, "no user of that name in /etc/passwd");
		u->uid = (uid_t)uid;
		u->gid = (gid_t)uid;
		(void)look_up(u, NULL, uid, true);
	}
	if (u->uid == f->caller)
		return 0;
	if (f->caller != 0)
		return err_set(e, EPERM, "only root may examine the host for another user");
	f->n_users++;
	return 0;
}

static void look_at_state_dir(struct doctor_facts *f)
{
	AUTO_FREE char *path = state_default_root();
	struct stat st;
	char *slash;

	if (!path)
		return;
	(void)snprintf(f->state_dir, sizeof f->state_dir, "%s", path);
	f->state_in_tmp = strncmp(path, "/tmp/", 5) == 0;
	if (lstat(path, &st) == 0) {
		if (!S_ISDIR(st.st_mode) || st.st_uid != f->caller || (st.st_mode & 077))
			f->state_error = EPERM;
		return;
	}
	if (errno != ENOENT) {
		f->state_error = errno;
		return;
	}
	/* It is made at the first run: what matters is whether it can be. */
	slash = strrchr(path, '/');
	*slash = '\0';
	if (faccessat(AT_FDCWD, *path ? path : "/", W_OK | X_OK, AT_EACCESS) < 0)
		f->state_error = errno;
}

int doctor_examine(struct doctor_facts *ret, const char *other, struct err *e)
{
	struct doctor_facts *f = ret;
	AUTO_FREE char *lsm = NULL;
	ssize_t n;
	int rc;

	*f = (struct doctor_facts){ .caller = geteuid(), .n_users = 1 };
	f->users[0].uid = f->caller;
	f->users[0].gid = getegid();
	if (look_up(&f->users[0], NULL, f->caller, true))
		f->users[0].gid = getegid();
	rc = other ? add_other(f, other, e) : 0;
	if (rc == 0)
		rc = probe_host(&f->host, NULL, e);
	for (size_t i = 0; rc == 0 && i < f->n_users; i++)
		rc = probe_user(&f->users[i], e);
	if (rc < 0)
		return rc;
	look_at_state_dir(f);
	if (fd_read_file(AT_FDCWD, "/sys/kernel/security/lsm", 4096, &lsm, NULL, NULL) == 0)
		(void)snprintf(f->lsm, sizeof f->lsm, "%s", lsm);
	n = readlink("/proc/self/exe", f->self, sizeof f->self - 1);
	f->self[n < 0 ? 0 : n] = '\0';
	return 0;
}

/* --- the report --- */

static const char *format(struct doctor_judge *j, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static const char *format(struct doctor_judge *j, const char *fmt, va_list ap)
{
	char buf[2048];
	const char *text;

	(void)vsnprintf(buf, sizeof buf, fmt, ap);
	text = arena_strdup(&j->r->arena, buf);
	if (!text) {
		j->no_memory = true;
		return "";
	}
	return text;
}

struct doctor_finding *doctor_add(struct doctor_judge *j, const struct probe_user *user,
				  const char *id, const char *title, const char *fmt, ...)
{
	static struct doctor_finding spare; /* when memory has run out; the report is not used then */
	struct doctor_finding *d = &spare;
	va_list ap;

	if (j->r->n < j->room)
		d = &j->r->v[j->r->n++];
	else
		j->no_memory = true;
	*d = (struct doctor_finding){ .id = id, .title = title, .user = user, .effect = "" };
	va_start(ap, fmt);
	d->found = format(j, fmt, ap);
	va_end(ap);
	return d;
}

void doctor_worse(struct doctor_judge *j, struct doctor_finding *d, enum doctor_status s,
		  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	d->effect = format(j, fmt, ap);
	va_end(ap);
	if (s > d->status)
		d->status = s;
	if (s > j->r->worst)
		j->r->worst = s;
}

void doctor_fix(struct doctor_judge *j, struct doctor_finding *d, const char *fmt, ...)
{
	const char *text, *at;
	va_list ap;

	if (d->n_fix == DOCTOR_FIXES)
		return;
	va_start(ap, fmt);
	text = format(j, fmt, ap);
	va_end(ap);
	while (text && (at = strstr(text, "SUDO "))) {
		d->fix_as_root = true;
		text = arena_printf(&j->r->arena, "%.*s%s%s", (int)(at - text), text,
				    j->f->caller == 0 ? "" : "sudo ", at + 5);
	}
	if (text)
		d->fix[d->n_fix++] = text;
	else
		j->no_memory = true;
}

const char *doctor_reason(int result)
{
	switch (result) {
	case 0:
		return "works";
	case PROBE_UNTRIED:
		return "not tried: what it needs failed";
	case PROBE_TIMEOUT:
		return "no answer within seconds";
	case PROBE_KILLED(SIGSYS):
		return "killed by a system-call filter";
	case ENOSYS:
		return "not in this kernel, or hidden by a system-call filter";
	default:
		return result < 0 ? "the try was killed" : err_text(result);
	}
}

#define FINDINGS_MAX 64

int doctor_judge(struct doctor_report *ret, const struct doctor_facts *f, struct err *e)
{
	struct doctor_report r = { 0 };
	struct doctor_judge j = { .r = &r, .f = f, .room = FINDINGS_MAX };

	r.v = arena_array(&r.arena, FINDINGS_MAX, sizeof *r.v);
	if (!r.v)
		return err_num(e, ENOMEM, "doctor");
	doctor_judge_host(&j);
	for (size_t i = 0; i < f->n_users; i++)
		doctor_judge_user(&j, &f->users[i]);
	if (j.no_memory) {
		arena_fini(&r.arena);
		return err_num(e, ENOMEM, "doctor");
	}
	*ret = r;
	return 0;
}

void doctor_report_fini(struct doctor_report *r)
{
	arena_fini(&r->arena);
	*r = (struct doctor_report){ 0 };
}
