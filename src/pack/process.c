/* SPDX-License-Identifier: Apache-2.0 */
/* What the program will be started with. */
#include "pack/pack.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "pack/ociconfig.h"

/* Variables that are always set, unless --env says otherwise. */
enum { VAR_PATH, VAR_HOME, VAR_LANG, VARS };

static int no_memory(struct err *e)
{
	return err_num(e, ENOMEM, "packing");
}

static bool has_dir(const char *list, const char *dir, size_t n)
{
	while (list) {
		size_t len = strcspn(list, ":");

		if (len == n && strncmp(list, dir, n) == 0)
			return true;
		list = list[len] ? list + len + 1 : NULL;
	}
	return false;
}

/* The default PATH, with the directories in front where env(1) has to find interpreters. */
static const char *make_path(struct pack *p)
{
	const char *path = arena_printf(&p->arena, "PATH=%s", PROGRAM_DEFAULT_PATH);

	for (size_t i = 0; path && i < p->program.n; i++) {
		const char *file = p->program.step[i].path;
		size_t n = strlen(file) - strlen(path_base(file)) - 1;

		if ((i == 0 || p->program.step[i].by_name) && !has_dir(path + 5, file, n))
			path = arena_printf(&p->arena, "PATH=%.*s:%s", (int)n, file, path + 5);
	}
	return path;
}

static const char *home_of(struct pack *p)
{
	const struct account_user *u = accounts_by_uid(&p->accounts, p->uid);

	if (u && u->home[0] == '/' && path_is_normal(u->home))
		return u->home;
	return p->uid == 0 ? "/root" : "/";
}

static int make_env(struct pack *p, struct err *e)
{
	static const char *const names[VARS] = { "PATH=", "HOME=", "LANG=" };
	const char *values[VARS], *home = home_of(p);
	size_t n = p->o->env.n;
	const char **v = arena_array(&p->arena, n + VARS, sizeof *v);

	values[VAR_PATH] = make_path(p);
	values[VAR_HOME] = arena_printf(&p->arena, "HOME=%s", home);
	values[VAR_LANG] = "LANG=C.UTF-8";
	if (!v || !values[VAR_PATH] || !values[VAR_HOME])
		return no_memory(e);
	for (size_t i = 0; i < VARS; i++) {
		bool given = false;

		for (size_t k = 0; k < n; k++)
			given = given || strncmp(p->o->env.v[k], names[i], strlen(names[i])) == 0;
		if (!given)
			v[p->env.n++] = values[i];
	}
	for (size_t k = 0; k < n; k++)
		v[p->env.n++] = p->o->env.v[k];
	p->env.v = v;
	/* Empty: what lies in a home directory is nobody's to take along unasked. */
	return place_mkdir(&p->place, home, p->uid == 0 ? 0700 : 0755, WHY_SYSTEM, NULL, e);
}

static int make_args(struct pack *p, struct err *e)
{
	const char **v = arena_array(&p->arena, p->o->args.n + 1, sizeof *v);

	if (!v)
		return no_memory(e);
	v[0] = p->program.step[0].path;
	for (size_t i = 0; i < p->o->args.n; i++)
		v[i + 1] = p->o->args.v[i];
	p->args.v = v;
	p->args.n = p->o->args.n + 1;
	return 0;
}

/* --cwd; or, when relative paths were packed, the directory that they are relative to; or "/". */
static int decide_cwd(struct pack *p, struct err *e)
{
	bool relative = p->o->program[0] != '/' && strchr(p->o->program, '/');
	char cwd[PATH_MAX];

	for (size_t i = 0; i < p->o->n_adds; i++)
		relative = relative || (p->o->adds[i].from[0] != '/' && !p->o->adds[i].to);
	for (size_t i = 0; i < p->o->n_data; i++)
		relative = relative || (p->o->data[i].from[0] != '/' && !p->o->data[i].to);
	p->cwd = "/";
	if (p->o->cwd) {
		p->cwd = p->o->cwd;
	} else if (relative && strcmp(p->o->root, "/") == 0) {
		if (!getcwd(cwd, sizeof cwd))
			return err_sys(e, "the current directory");
		p->cwd = arena_strdup(&p->arena, cwd);
	}
	return p->cwd ? 0 : no_memory(e);
}

static int decide_name(struct pack *p, struct err *e)
{
	char buf[64], quoted[256];

	if (p->o->name) {
		if (!ociconfig_name_ok(p->o->name))
			return err_set(e, EINVAL,
				       "--name %s: not a name of letters a-z, digits and hyphens",
				       log_quote(quoted, sizeof quoted, p->o->name));
		p->name = p->o->name;
		return 0;
	}
	p->name = arena_strdup(&p->arena, ociconfig_name(path_base(p->program.step[0].path), buf));
	return p->name ? 0 : no_memory(e);
}

int process_decide(struct pack *p, struct err *e)
{
	int rc = 0;

	if (p->o->user)
		rc = accounts_resolve(&p->accounts, p->o->user, &p->uid, &p->gid, e);
	if (rc == 0)
		rc = decide_name(p, e);
	if (rc == 0)
		rc = decide_cwd(p, e);
	if (rc == 0)
		rc = make_args(p, e);
	return rc == 0 ? make_env(p, e) : rc;
}
