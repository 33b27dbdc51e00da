/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/ids.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

#define SUBID_FILE_MAX (1U << 20)
#define MAP_LINES_MAX 340 /* the kernel's own bound, user_namespaces(7) */
#define MAP_TEXT_MAX (MAP_LINES_MAX * (size_t)36)

static bool line_is_for(const char *owner, const char *user, uid_t uid)
{
	uint64_t n;

	if (user && strcmp(owner, user) == 0)
		return true;
	return num_parse_u64(owner, 0, UINT32_MAX - 1, &n) == 0 && n == uid;
}

int ids_find_subordinate(int etc_fd, bool gids, const char *user, uid_t uid, uint32_t least,
			 uint32_t *ret_first, uint32_t *ret_count, struct err *e)
{
	const char *file = gids ? "subgid" : "subuid";
	AUTO_FREE char *text = NULL;
	char *save = NULL;
	int rc = fd_read_file(etc_fd, file, SUBID_FILE_MAX, &text, NULL, e);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *first = strchr(line, ':'), *count = first ? strchr(first + 1, ':') : NULL;
		uint64_t f, c;

		if (!count || line[0] == '#')
			continue;
		*first++ = '\0';
		*count++ = '\0';
		if (!line_is_for(line, user, uid) ||
		    num_parse_u64(first, 1, UINT32_MAX - 1, &f) < 0 ||
		    num_parse_u64(count, 1, UINT32_MAX - f, &c) < 0 || c < least)
			continue;
		*ret_first = (uint32_t)f;
		*ret_count = (uint32_t)c;
		return 1;
	}
	return 0;
}

static int map_text(const struct idmap *map, char *buf, size_t size)
{
	size_t at = 0;

	if (map->n == 0 || map->n > MAP_LINES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < map->n; i++) {
		int n = snprintf(buf + at, size - at, "%u %u %u\n", map->v[i].inside,
				 map->v[i].outside, map->v[i].size);

		if (n < 0 || (size_t)n >= size - at)
			return -E2BIG;
		at += (size_t)n;
	}
	return 0;
}

static int write_map(int proc_pid_fd, const char *file, const struct idmap *map, struct err *e)
{
	char text[MAP_TEXT_MAX];
	int rc = map_text(map, text, sizeof text);

	if (rc == 0)
		rc = fd_write_file(proc_pid_fd, file, text);
	if (rc == 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return err_num(e, -rc, "id map \"%s\"%s for %s", text, map->n > 1 ? " ..." : "", file);
}

int ids_write_maps(int proc_pid_fd, const struct idmap *uids, const struct idmap *gids,
		   bool deny_setgroups, struct err *e)
{
	int rc = write_map(proc_pid_fd, "uid_map", uids, e);

	if (rc < 0)
		return rc;
	if (deny_setgroups) {
		rc = fd_write_file(proc_pid_fd, "setgroups", "deny");
		if (rc < 0)
			return err_num(e, -rc, "switching setgroups off in the user namespace");
	}
	return write_map(proc_pid_fd, "gid_map", gids, e);
}

static int spawn_helper(const char *program, pid_t pid, const struct idmap *map, pid_t *ret_child,
			struct err *e)
{
	static char *const no_env[] = { NULL };
	const char *argv[2 + 3 * MAP_LINES_MAX + 1];
	char text[MAP_LINES_MAX * 3][12], pid_text[12];
	size_t n = 0, t = 0;
	char path[64];
	int rc;

	if (map->n > MAP_LINES_MAX)
		return err_num(e, EINVAL, "%s", program);
	argv[n++] = program;
	(void)snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
	argv[n++] = pid_text;
	for (size_t i = 0; i < map->n; i++) {
		const uint32_t v[3] = { map->v[i].inside, map->v[i].outside, map->v[i].size };

		for (size_t k = 0; k < 3; k++, t++) {
			(void)snprintf(text[t], sizeof text[t], "%u", v[k]);
			argv[n++] = text[t];
		}
	}
	argv[n] = NULL;
	/* Fixed places: a PATH of the caller's must not choose a program that runs with privilege. */
	(void)snprintf(path, sizeof path, "/usr/bin/%s", program);
	rc = posix_spawn(ret_child, path, NULL, NULL, (char *const *)(uintptr_t)argv, no_env);
	if (rc == 0)
		return 0;
	(void)err_num(e, rc, "%s", path);
	return err_hint(e, "install the package uidmap, or map a single id");
}

static int wait_helper(const char *program, pid_t child, struct err *e)
{
	int status;
	pid_t got;

	do
		got = waitpid(child, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	(void)err_set(e, EPERM, "%s refused the id map", program);
	return err_hint(e, "compare the ranges in /etc/%s with the bundle's mappings",
			strcmp(program, "newuidmap") == 0 ? "subuid" : "subgid");
}

int ids_run_helpers(pid_t pid, const struct idmap *uids, const struct idmap *gids, struct err *e)
{
	pid_t u = -1, g = -1;
	struct err ignored;
	int rc, rc2 = 0;

	rc = spawn_helper("newuidmap", pid, uids, &u, e);
	if (rc < 0)
		return rc;
	rc = spawn_helper("newgidmap", pid, gids, &g, e);
	if (rc == 0)
		rc = wait_helper("newgidmap", g, e);
	rc2 = wait_helper("newuidmap", u, rc < 0 ? &ignored : e);
	return rc < 0 ? rc : rc2;
}

int64_t ids_to_outside(const struct idmap *map, uint32_t inside)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_entry *m = &map->v[i];

		if (inside >= m->inside && inside - m->inside < m->size)
			return (int64_t)m->outside + (inside - m->inside);
	}
	return -1;
}

int ids_read_map(const char *file, struct idmap_entry *ret, size_t room, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t n = 0;
	char *rest;
	int rc = fd_read_file(AT_FDCWD, file, MAP_TEXT_MAX, &text, NULL, NULL);

	if (rc < 0)
		return err_num(e, -rc, "%s", file);
	rest = text;
	for (char *line = strsep(&rest, "\n"); line && n < room; line = strsep(&rest, "\n")) {
		char *at = line;

		if (!*line)
			continue;
		ret[n].inside = (uint32_t)strtoul(at, &at, 10);
		ret[n].outside = (uint32_t)strtoul(at, &at, 10);
		ret[n].size = (uint32_t)strtoul(at, &at, 10);
		if (*at || ret[n].size == 0)
			return err_set(e, EPROTO, "%s: not three numbers", file);
		n++;
	}
	return (int)n;
}

bool ids_is_nested(void)
{
	struct idmap_entry first;

	return ids_read_map("/proc/self/uid_map", &first, 1, NULL) == 1 &&
	       (first.inside != 0 || first.outside != 0 || first.size != UINT32_MAX);
}
