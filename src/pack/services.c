/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/services.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "pack/path.h"

#define TMPFILES_FIELDS 5 /* type, path, mode, user, group */

static mode_t parse_mode(const char *text, mode_t otherwise)
{
	uint64_t v;

	text += strspn(text, ":~");
	return num_parse_octal(text, 07777, &v) == 0 ? (mode_t)v : otherwise;
}

/* "-" stands for the default. */
static const char *or_null(const char *text)
{
	return text && *text && strcmp(text, "-") != 0 ? text : NULL;
}

static int tmpfiles_line(char *line, const struct services_wish *wish)
{
	char *field[TMPFILES_FIELDS] = { NULL }, *save = NULL, path[PATH_MAX];
	size_t n = 0;

	line[strcspn(line, "#")] = '\0';
	for (char *w = strtok_r(line, " \t", &save); w && n < TMPFILES_FIELDS;
	     w = strtok_r(NULL, " \t", &save))
		field[n++] = w;
	/* d, D, v, q, Q make directories; modifiers ("!", "-", "=", "~", "^") may follow. */
	if (n < 2 || !strchr("dDvqQ", field[0][0]) || strlen(field[1]) >= sizeof path)
		return 0;
	/* /var/run is what /run was called before. */
	if (path_below(field[1], "/var/run"))
		(void)snprintf(path, sizeof path, "/run%s", field[1] + 8);
	else
		(void)snprintf(path, sizeof path, "%s", field[1]);
	if (!path_is_normal(path) || strchr(path, '%') || !wish->dir)
		return 0;
	return wish->dir(wish->ctx, path, n > 2 ? parse_mode(field[2], 0755) : 0755,
			 n > 3 ? or_null(field[3]) : NULL, n > 4 ? or_null(field[4]) : NULL);
}

int services_read_tmpfiles(char *text, const struct services_wish *wish)
{
	char *save = NULL;
	int rc = 0;

	for (char *l = strtok_r(text, "\n", &save); l && rc >= 0; l = strtok_r(NULL, "\n", &save))
		rc = tmpfiles_line(l, wish);
	return rc;
}

/* systemd.exec(5): where each of these settings' relative names lie. */
static const struct {
	const char *key, *mode_key, *base;
} directories[] = {
	{ "RuntimeDirectory", "RuntimeDirectoryMode", "/run" },
	{ "StateDirectory", "StateDirectoryMode", "/var/lib" },
	{ "CacheDirectory", "CacheDirectoryMode", "/var/cache" },
	{ "LogsDirectory", "LogsDirectoryMode", "/var/log" },
};
#define N_DIRECTORIES (sizeof directories / sizeof *directories)

struct unit {
	const char *user, *group;
	const char *names[N_DIRECTORIES];
	mode_t mode[N_DIRECTORIES];
};

static void unit_setting(struct unit *u, const char *key, const char *value)
{
	for (size_t i = 0; i < N_DIRECTORIES; i++) {
		if (strcmp(key, directories[i].key) == 0)
			u->names[i] = value;
		else if (strcmp(key, directories[i].mode_key) == 0)
			u->mode[i] = parse_mode(value, 0755);
	}
	if (strcmp(key, "User") == 0)
		u->user = or_null(value);
	else if (strcmp(key, "Group") == 0)
		u->group = or_null(value);
}

/* Names are separated by spaces; "name:link" gives it a second name, which is nothing to us. */
static int unit_directories(const struct unit *u, const struct services_wish *wish)
{
	char path[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; i < N_DIRECTORIES && wish->dir; i++) {
		const char *p = u->names[i];

		while (p && *(p += strspn(p, " \t"))) {
			size_t n = strcspn(p, " \t"), name = strcspn(p, " \t:");
			int len = snprintf(path, sizeof path, "%s/%.*s", directories[i].base, (int)name,
					   p);

			p += n;
			if (len < 0 || (size_t)len >= sizeof path || !path_is_normal(path) ||
			    strchr(path, '%'))
				continue;
			rc = wish->dir(wish->ctx, path, u->mode[i], u->user, u->group);
			if (rc < 0)
				return rc;
		}
	}
	return rc;
}

int services_read_unit(char *text, const struct services_wish *wish)
{
	struct unit u = { .mode = { 0755, 0755, 0755, 0755 } };
	bool service = false;
	char *save = NULL;
	int rc = 0;

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *eq;

		l += strspn(l, " \t");
		if (l[0] == '[')
			service = strncmp(l, "[Service]", 9) == 0;
		eq = strchr(l, '=');
		if (!service || l[0] == '#' || l[0] == ';' || !eq)
			continue;
		*eq = '\0';
		l[strcspn(l, " \t")] = '\0';
		unit_setting(&u, l, eq + 1 + strspn(eq + 1, " \t"));
	}
	if (u.user && !strchr(u.user, '%') && wish->user)
		rc = wish->user(wish->ctx, u.user, u.group);
	return rc < 0 ? rc : unit_directories(&u, wish);
}
