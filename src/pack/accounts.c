/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/accounts.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define FILE_MAX_BYTES (16U << 20)
#define LINES_MAX 65536U
#define STATIC_ID_MAX 99U /* allocated once for all by the distributions (Debian policy 9.2.2) */
#define NOBODY 65534U

static bool always_wanted(uint32_t id)
{
	return id <= STATIC_ID_MAX || id == NOBODY;
}

static size_t count_lines(const char *text)
{
	size_t n = 1;

	for (; text && *text; text++)
		n += *text == '\n';
	return n < LINES_MAX ? n : LINES_MAX;
}

/* Splits a line at colons, in place. False unless it has exactly n fields. */
static bool split(char *line, char **field, size_t n)
{
	size_t k = 0;

	field[k++] = line;
	for (char *p = line; *p; p++) {
		if (*p != ':')
			continue;
		*p = '\0';
		if (k == n)
			return false;
		field[k++] = p + 1;
	}
	return k == n && *field[0];
}

static bool get_id(const char *text, uint32_t *ret)
{
	uint64_t v;

	if (num_parse_u64(text, 0, UINT32_MAX - 1, &v) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static void add_user(struct accounts *a, char *line)
{
	struct account_user u = { 0 };
	char *f[7];

	if (!split(line, f, 7) || !get_id(f[2], &u.uid) || !get_id(f[3], &u.gid))
		return;
	u.name = f[0];
	u.home = f[5];
	u.shell = f[6];
	u.wanted = always_wanted(u.uid);
	a->users[a->n_users++] = u;
}

static void add_group(struct accounts *a, char *line)
{
	struct account_group g = { 0 };
	char *f[4];

	if (!split(line, f, 4) || !get_id(f[2], &g.gid))
		return;
	g.name = f[0];
	g.members = f[3];
	g.wanted = always_wanted(g.gid);
	a->groups[a->n_groups++] = g;
}

static int each_line(struct accounts *a, const char *text, void (*add)(struct accounts *, char *))
{
	char *copy = arena_strdup(&a->arena, text), *save = NULL;
	size_t n = 0;

	if (!copy)
		return -ENOMEM;
	for (char *l = strtok_r(copy, "\n", &save); l && n < LINES_MAX; l = strtok_r(NULL, "\n", &save))
		if (l[0] != '#' && l[0] != '+' && l[0] != '-')
			add(a, l), n++;
	return 0;
}

int accounts_parse(struct accounts *a, const char *passwd, const char *group, struct err *e)
{
	struct accounts v = { 0 };

	/* And one that only --user knows (add_nameless). */
	v.users = arena_array(&v.arena, count_lines(passwd) + 1, sizeof *v.users);
	v.groups = arena_array(&v.arena, count_lines(group) + 1, sizeof *v.groups);
	if (!v.users || !v.groups || (passwd && each_line(&v, passwd, add_user) < 0) ||
	    (group && each_line(&v, group, add_group) < 0)) {
		accounts_fini(&v);
		return err_num(e, ENOMEM, "reading /etc/passwd");
	}
	*a = v;
	return 0;
}

int accounts_read(struct accounts *a, const struct host *h, struct err *e)
{
	AUTO_FREE char *passwd = NULL;
	AUTO_FREE char *group = NULL;
	int rc = host_read(h, "/etc/passwd", FILE_MAX_BYTES, &passwd, NULL, e);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = host_read(h, "/etc/group", FILE_MAX_BYTES, &group, NULL, e);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return accounts_parse(a, passwd, group, e);
}

void accounts_fini(struct accounts *a)
{
	arena_fini(&a->arena);
	*a = (struct accounts){ 0 };
}

const struct account_user *accounts_by_uid(const struct accounts *a, uid_t uid)
{
	for (size_t i = 0; i < a->n_users; i++)
		if (a->users[i].uid == uid)
			return &a->users[i];
	return NULL;
}

const struct account_user *accounts_by_name(const struct accounts *a, const char *name)
{
	for (size_t i = 0; i < a->n_users; i++)
		if (strcmp(a->users[i].name, name) == 0)
			return &a->users[i];
	return NULL;
}

static const struct account_group *group_by_name(const struct accounts *a, const char *name)
{
	for (size_t i = 0; i < a->n_groups; i++)
		if (strcmp(a->groups[i].name, name) == 0)
			return &a->groups[i];
	return NULL;
}

void accounts_want_gid(struct accounts *a, gid_t gid)
{
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i].gid == gid)
			a->groups[i].wanted = true;
}

void accounts_want_uid(struct accounts *a, uid_t uid)
{
	for (size_t i = 0; i < a->n_users; i++) {
		if (a->users[i].uid != uid)
			continue;
		a->users[i].wanted = true;
		accounts_want_gid(a, a->users[i].gid);
	}
}

void accounts_want_name(struct accounts *a, const char *user, const char *group)
{
	const struct account_user *u = user ? accounts_by_name(a, user) : NULL;
	const struct account_group *g = group ? group_by_name(a, group) : NULL;

	if (u)
		accounts_want_uid(a, u->uid);
	if (g)
		accounts_want_gid(a, g->gid);
}

static int resolve_group(const struct accounts *a, const char *text, gid_t *ret, struct err *e)
{
	const struct account_group *g = group_by_name(a, text);
	char quoted[256];

	if (g) {
		*ret = g->gid;
		return 0;
	}
	if (get_id(text, ret))
		return 0;
	return err_set(e, ENOENT, "no group \"%s\"", log_quote(quoted, sizeof quoted, text));
}

static bool group_has_id(const struct accounts *a, gid_t gid)
{
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i].gid == gid)
			return true;
	return false;
}

/*
 * An id that is nobody's here still needs a name: programs ask getpwuid(3) who
 * they are and give up without an answer (PostgreSQL, ssh, git).
 */
static int add_nameless(struct accounts *a, uid_t uid, gid_t gid)
{
	char *name = arena_printf(&a->arena, "user%u", uid);

	if (a->has_nameless)
		return 0;
	if (name && (accounts_by_name(a, name) || group_by_name(a, name)))
		name = arena_printf(&a->arena, "vrun-user%u", uid);
	if (!name)
		return -ENOMEM;
	a->has_nameless = true;
	a->users[a->n_users++] = (struct account_user){ .name = name, .home = "/", .shell = "/bin/sh", .uid = uid, .gid = gid };
	if (!group_has_id(a, gid))
		a->groups[a->n_groups++] = (struct account_group){ .name = name, .members = "", .gid = gid };
	return 0;
}

int accounts_resolve(struct accounts *a, const char *text, uid_t *ret_uid, gid_t *ret_gid,
		     struct err *e)
{
	const char *colon = strchr(text, ':');
	char name[256], quoted[256];
	size_t n = colon ? (size_t)(colon - text) : strlen(text);
	const struct account_user *u;
	uid_t uid;
	gid_t gid;
	int rc;

	if (n == 0 || n >= sizeof name)
		return err_set(e, EINVAL, "--user wants USER[:GROUP]");
	memcpy(name, text, n);
	name[n] = '\0';
	u = accounts_by_name(a, name);
	if (u)
		uid = u->uid;
	else if (!get_id(name, &uid))
		return err_set(e, ENOENT, "no user \"%s\"", log_quote(quoted, sizeof quoted, name));
	u = u ? u : accounts_by_uid(a, uid);
	gid = u ? u->gid : uid;
	if (colon) {
		rc = resolve_group(a, colon + 1, &gid, e);
		if (rc < 0)
			return rc;
	}
	if (!u && add_nameless(a, uid, gid) < 0)
		return err_num(e, ENOMEM, "user %u", uid);
	accounts_want_uid(a, uid);
	accounts_want_gid(a, gid);
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}

/* Those of a comma-separated list who are taken themselves. */
static void write_members(const struct accounts *a, FILE *out, const char *list)
{
	bool first = true;

	while (*list) {
		size_t n = strcspn(list, ",");

		for (size_t i = 0; i < a->n_users; i++) {
			const struct account_user *u = &a->users[i];

			if (!u->wanted || strlen(u->name) != n || strncmp(u->name, list, n) != 0)
				continue;
			(void)fprintf(out, "%s%s", first ? "" : ",", u->name);
			first = false;
			break;
		}
		list += n + (list[n] == ',');
	}
}

static void write_passwd(const struct accounts *a, FILE *out)
{
	if (!accounts_by_uid(a, 0))
		(void)fprintf(out, "root:x:0:0::/root:/bin/sh\n");
	for (size_t i = 0; i < a->n_users; i++) {
		const struct account_user *u = &a->users[i];

		if (u->wanted)
			(void)fprintf(out, "%s:x:%u:%u::%s:%s\n", u->name, u->uid, u->gid, u->home,
				      u->shell);
	}
	if (!accounts_by_uid(a, NOBODY))
		(void)fprintf(out, "nobody:x:%u:%u::/nonexistent:/usr/sbin/nologin\n", NOBODY, NOBODY);
}

static void write_group(const struct accounts *a, FILE *out)
{
	bool root = false, nobody = false;

	for (size_t i = 0; i < a->n_groups; i++) {
		const struct account_group *g = &a->groups[i];

		if (!g->wanted)
			continue;
		root = root || g->gid == 0;
		nobody = nobody || g->gid == NOBODY;
		(void)fprintf(out, "%s:x:%u:", g->name, g->gid);
		write_members(a, out, g->members);
		(void)fputc('\n', out);
	}
	if (!root)
		(void)fprintf(out, "root:x:0:\n");
	if (!nobody)
		(void)fprintf(out, "nogroup:x:%u:\n", NOBODY);
}

static int add_file(const struct accounts *a, struct tree *t, const char *path,
		    void (*write)(const struct accounts *, FILE *), struct err *e)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		return err_num(e, ENOMEM, "%s", path);
	write(a, f);
	rc = fclose(f) == 0 ? tree_add_data(t, path, 0644, text, len, WHY_SYSTEM, e) :
			      err_num(e, ENOMEM, "%s", path);
	free(text);
	return rc < 0 ? rc : 0;
}

int accounts_add(const struct accounts *a, struct tree *t, struct err *e)
{
	int rc = add_file(a, t, "/etc/passwd", write_passwd, e);

	return rc < 0 ? rc : add_file(a, t, "/etc/group", write_group, e);
}
