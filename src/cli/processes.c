/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "cli/oci.h"
#include "kern/cgroup.h"

static int add_pid(json_t *list, pid_t pid)
{
	return json_array_append_new(list, json_integer(pid));
}

static int of_cgroup(const struct oci_target *t, json_t *list, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	struct cgroup *cg = NULL;
	size_t n = 0;
	int rc = oci_cgroup(t, &cg, e);

	if (rc == 0)
		rc = cgroup_pids(cg, &pids, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add_pid(list, pids[i]) < 0 ? err_num(e, ENOMEM, "the list") : 0;
	cgroup_free(&cg);
	return rc;
}

/* Without a cgroup: all that share the first one's pid namespace. */
static int of_namespace(const struct oci_target *t, json_t *list, struct err *e)
{
	struct stat own, theirs;
	char path[300];
	struct dirent *d;
	uint64_t pid;
	DIR *proc;

	(void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)t->record.pid);
	if (stat(path, &own) < 0)
		return err_sys(e, "container %s", t->record.id);
	proc = opendir("/proc");
	if (!proc)
		return err_sys(e, "/proc");
	while ((d = readdir(proc)) != NULL) {
		if (num_parse_u64(d->d_name, 1, INT32_MAX, &pid) < 0)
			continue;
		(void)snprintf(path, sizeof path, "/proc/%s/ns/pid", d->d_name);
		if (stat(path, &theirs) == 0 && theirs.st_ino == own.st_ino && theirs.st_dev == own.st_dev)
			(void)add_pid(list, (pid_t)pid);
	}
	(void)closedir(proc);
	return 0;
}

static bool has_pid(const json_t *list, const char *word)
{
	char *end;
	long long pid = strtoll(word, &end, 10);
	const json_t *p;
	size_t i;

	json_array_foreach(list, i, p)
		if (end != word && json_integer_value(p) == pid)
			return true;
	return false;
}

/* Which word of a line is the pid: that is what the heading says. -1: none. */
static int pid_column(const char *heading)
{
	AUTO_FREE char *copy = strdup(heading);
	char *save = NULL;
	int n = 0;

	for (char *w = copy ? strtok_r(copy, " \n", &save) : NULL; w; w = strtok_r(NULL, " \n", &save), n++)
		if (strcmp(w, "PID") == 0)
			return n;
	return -1;
}

static const char *word_at(const char *line, int n)
{
	line += strspn(line, " ");
	for (; n > 0; n--) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return line;
}

static int filter(FILE *from, const json_t *list, struct err *e)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	int column;

	if (getline(&line, &size, from) < 0 || (column = pid_column(line)) < 0)
		return err_set(e, EINVAL, "ps(1) prints no column PID with these options");
	(void)fputs(line, stdout);
	while (getline(&line, &size, from) >= 0)
		if (has_pid(list, word_at(line, column)))
			(void)fputs(line, stdout);
	return fflush(stdout) == 0 ? 0 : err_sys(e, "writing the list");
}

static int print_table(const json_t *list, char **ps_args, struct err *e)
{
	static char name[] = "ps", all[] = "-ef";
	char *plain[] = { name, all, NULL };
	int p[2], rc;
	pid_t pid;
	FILE *from;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return err_sys(e, "ps");
	if (pid == 0) {
		(void)dup2(p[1], 1);
		if (*ps_args) {
			ps_args[-1] = name;
			(void)execvp("ps", ps_args - 1);
		} else {
			(void)execvp("ps", plain);
		}
		_exit(127);
	}
	fd_close(&p[1]);
	from = fdopen(p[0], "r");
	rc = from ? filter(from, list, e) : err_sys(e, "ps");
	if (from)
		(void)fclose(from);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return rc;
}

int processes_print(const char *id, bool json, char **ps_args)
{
	json_t *list = json_array();
	struct err e = { 0 };
	struct oci_target t;
	int rc = oci_open(id, &t, &e);

	if (rc == 0) {
		if (t.status == STATE_STOPPED)
			rc = err_set(&e, EINVAL, "container %s is stopped", id);
		else
			rc = t.record.cgroup ? of_cgroup(&t, list, &e) : of_namespace(&t, list, &e);
		oci_close(&t);
	}
	if (rc == 0 && json)
		return oci_print(list);
	if (rc == 0)
		rc = print_table(list, ps_args, &e);
	json_decref(list);
	return rc < 0 ? oci_fail(&e) : 0;
}
