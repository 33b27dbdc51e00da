/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/taskstatus.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "kern/ids.h"

#define MAP_LINES 340 /* user_namespaces(7) */

/* What follows "Key:\t", or NULL. */
static const char *value_of(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? line + strlen(key) : NULL;
}

/* Real, effective, saved, for files. */
static int fourth(const char *text, const char *key, uint32_t *ret)
{
	const char *at = value_of(text, key);
	unsigned v[4];

	/* The kernel's own numbers. NOLINTNEXTLINE(cert-err34-c) */
	if (!at || sscanf(at, "%u %u %u %u", &v[0], &v[1], &v[2], &v[3]) != 4)
		return -ESRCH;
	*ret = v[3];
	return 0;
}

static int read_groups(const char *text, struct taskstatus *t)
{
	const char *at = value_of(text, "\nGroups:\t");
	char *end;

	if (!at)
		return -ESRCH;
	for (;; at = end) {
		unsigned long id;

		while (*at == ' ')
			at++;
		if (*at < '0' || *at > '9')
			return 0;
		id = strtoul(at, &end, 10);
		if (t->n_groups == TASKSTATUS_GROUPS_MAX)
			return -E2BIG;
		t->groups[t->n_groups++] = (uint32_t)id;
	}
}

static int parse(const char *text, struct taskstatus *t)
{
	const char *umask = value_of(text, "\nUmask:\t"), *caps = value_of(text, "\nCapEff:\t");

	if (!umask || !caps || fourth(text, "\nUid:\t", &t->uid) < 0 ||
	    fourth(text, "\nGid:\t", &t->gid) < 0)
		return -ESRCH; /* a zombie has no umask */
	t->umask = (uint32_t)strtoul(umask, NULL, 8);
	t->effective = strtoull(caps, NULL, 16);
	return read_groups(text, t);
}

/* --- numbers -------------------------------------------------------------------------- */

static bool is_own_namespace(pid_t tid)
{
	struct stat its, own;
	char path[48];

	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)tid);
	return stat(path, &its) == 0 && stat("/proc/self/ns/user", &own) == 0 && its.st_ino == own.st_ino &&
	       its.st_dev == own.st_dev;
}

static int inside(const struct idmap_entry *map, int n, uint32_t *id)
{
	for (int i = 0; i < n; i++)
		if (*id >= map[i].outside && *id - map[i].outside < map[i].size) {
			*id = map[i].inside + (*id - map[i].outside);
			return 0;
		}
	return -EOVERFLOW;
}

/* /proc shows ids as the reader's namespace has them, and maps against those. */
static int translate(pid_t tid, const char *which, uint32_t *ids, uint32_t n)
{
	AUTO_FREE struct idmap_entry *map = calloc(MAP_LINES, sizeof *map);
	char path[48];
	int lines, rc = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, which);
	lines = map ? ids_read_map(path, map, MAP_LINES, NULL) : -ENOMEM;
	for (uint32_t i = 0; lines >= 0 && rc == 0 && i < n; i++)
		rc = inside(map, lines, &ids[i]);
	return lines < 0 ? lines : rc;
}

int taskstatus_read(pid_t tid, struct taskstatus *ret)
{
	struct taskstatus t = { 0 };
	AUTO_FREE char *text = NULL;
	char path[48];
	int rc;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	if (fd_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return -ESRCH;
	rc = parse(text, &t);
	if (rc == 0 && !is_own_namespace(tid)) {
		rc = translate(tid, "uid_map", &t.uid, 1);
		if (rc == 0)
			rc = translate(tid, "gid_map", &t.gid, 1);
		if (rc == 0)
			rc = translate(tid, "gid_map", t.groups, t.n_groups);
	}
	if (rc == 0)
		*ret = t;
	return rc;
}
