/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/program.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define SHEBANG_MAX 255U /* BINPRM_BUF_SIZE - 1 */

int program_parse_shebang(const char *line, char *ret_interp, char *ret_arg)
{
	const char *p, *end;
	size_t n;

	if (strncmp(line, "#!", 2) != 0)
		return -ENOEXEC;
	end = line + strcspn(line, "\n");
	while (end > line + 2 && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	p = line + 2 + strspn(line + 2, " \t");
	if (p >= end)
		return -ENOEXEC;
	n = strcspn(p, " \t\n");
	if (n >= PATH_MAX)
		return -ENOEXEC;
	memcpy(ret_interp, p, n);
	ret_interp[n] = '\0';
	p += n;
	p += strspn(p, " \t");
	n = p < end ? (size_t)(end - p) : 0;
	if (n >= PATH_MAX)
		return -ENOEXEC;
	memcpy(ret_arg, p, n);
	ret_arg[n] = '\0';
	return 0;
}

/* Options of env(1) whose value is the next word. */
static bool takes_value(const char *word)
{
	static const char *const with[] = { "-u", "--unset", "-C", "--chdir" };

	for (size_t i = 0; i < sizeof with / sizeof *with; i++)
		if (strcmp(word, with[i]) == 0)
			return true;
	return false;
}

int program_parse_env(const char *arg, char *ret_name)
{
	char word[PATH_MAX];
	bool skip = false;

	while (*(arg += strspn(arg, " \t"))) {
		size_t n = strcspn(arg, " \t");

		if (n >= sizeof word)
			return -ENOEXEC;
		memcpy(word, arg, n);
		word[n] = '\0';
		if (skip) {
			skip = false;
		} else if (strncmp(word, "-S", 2) == 0 && n > 2) {
			arg += 2; /* "-Spython3 -u": the words begin right here */
			continue;
		} else if (strncmp(word, "--split-string=", 15) == 0) {
			arg += 15;
			continue;
		} else if (takes_value(word)) {
			skip = true;
		} else if (word[0] != '-' && !strchr(word, '=')) {
			memcpy(ret_name, word, n + 1);
			return 0;
		}
		arg += n;
	}
	return -ENOEXEC;
}

/* Whether a path leads to a regular file that somebody may execute. 0 or -errno. */
static int check_executable(const struct host *h, const char *path, char *ret_real)
{
	struct stat st = { 0 };
	int rc = host_realpath(h, path, ret_real, NULL);

	if (rc == 0)
		rc = host_lstat(h, ret_real, &st);
	if (rc < 0)
		return rc;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) ? 0 : -EACCES;
}

static int search_path(const struct host *h, const char *name, const char *list, char *ret_path,
		       char *ret_real)
{
	int rc = -ENOENT;

	while (list) {
		size_t n = strcspn(list, ":");
		int len = snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)n, list, name), one;

		/* As the shell: a candidate that cannot be executed does not end the search. */
		if (n > 0 && list[0] == '/' && len > 0 && len < PATH_MAX) {
			one = check_executable(h, ret_path, ret_real);
			if (one == 0)
				return 0;
			if (one == -EACCES)
				rc = one;
		}
		list = list[n] ? list + n + 1 : NULL;
	}
	return rc;
}

static int locate(const struct host *h, const char *name, const char *cwd, const char *path,
		  char *ret_path, char *ret_real, struct err *e)
{
	char quoted[PATH_MAX];
	int rc;

	if (!*name)
		return err_set(e, ENOENT, "the program's name is empty");
	if (!strchr(name, '/')) {
		rc = search_path(h, name, path ? path : PROGRAM_DEFAULT_PATH, ret_path, ret_real);
		if (rc < 0)
			(void)err_set(e, -rc, "%s: %s in PATH", log_quote(quoted, sizeof quoted, name),
				      rc == -EACCES ? "only non-executable files" : "no such program");
		return rc;
	}
	if (name[0] == '/')
		rc = snprintf(ret_path, PATH_MAX, "%s", name) < PATH_MAX ? 0 : -ENAMETOOLONG;
	else
		rc = path_join(ret_path, cwd, name);
	if (rc == 0)
		rc = check_executable(h, ret_path, ret_real);
	if (rc == -EACCES)
		return err_set(e, EACCES, "%s: not an executable file",
			       log_quote(quoted, sizeof quoted, name));
	return rc < 0 ? err_num(e, -rc, "%s", log_quote(quoted, sizeof quoted, name)) : 0;
}

/* The start of a file, terminated. Its length or an error. */
static ssize_t read_start(const struct host *h, const char *real, char *buf, size_t size,
			  struct err *e)
{
	AUTO_FD int fd = host_openat(h, real, O_RDONLY);
	char quoted[PATH_MAX];
	ssize_t n;

	if (fd < 0)
		return err_num(e, -fd, "%s", log_quote(quoted, sizeof quoted, real));
	n = pread(fd, buf, size - 1, 0);
	if (n < 0)
		return err_sys(e, "%s", log_quote(quoted, sizeof quoted, real));
	buf[n] = '\0';
	return n;
}

static int add_step(struct program *p, const char *path, const char *real, bool by_name,
		    struct err *e)
{
	struct program_step *s;

	if (p->n == PROGRAM_STEPS_MAX)
		return err_set(e, ELOOP, "%s: too many interpreters, one for the other", p->step[0].path);
	s = &p->step[p->n];
	*s = (struct program_step){ .path = arena_strdup(&p->arena, path),
				    .real = arena_strdup(&p->arena, real),
				    .by_name = by_name };
	if (!s->path || !s->real)
		return err_num(e, ENOMEM, "%s", path);
	p->n++;
	return 0;
}

/* Looks at the last step. 1 when it is ELF, 0 when a further step was added. */
static int follow(struct program *p, const struct host *h, const char *path_list, struct err *e)
{
	struct program_step *s = &p->step[p->n - 1];
	char start[SHEBANG_MAX + 1], interp[PATH_MAX], arg[PATH_MAX], name[PATH_MAX];
	char path[PATH_MAX], real[PATH_MAX], quoted[PATH_MAX];
	ssize_t n = read_start(h, s->real, start, sizeof start, e);
	int rc;

	if (n < 0)
		return (int)n;
	if (n >= SELFMAG && memcmp(start, ELFMAG, SELFMAG) == 0)
		return 1;
	(void)log_quote(quoted, sizeof quoted, s->path);
	if (program_parse_shebang(start, interp, arg) < 0 || interp[0] != '/') {
		(void)err_set(e, ENOEXEC, "%s: neither an ELF program nor a script with a \"#!/...\" line",
			      quoted);
		return err_hint(e, "name its interpreter: PROGRAM = interpreter, first ARG = %s", quoted);
	}
	s->script = true;
	rc = locate(h, interp, "/", NULL, path, real, e);
	if (rc < 0)
		return err_wrap(e, "the interpreter of %s", quoted);
	rc = add_step(p, path, real, false, e);
	if (rc < 0 || strcmp(path_base(interp), "env") != 0 || program_parse_env(arg, name) < 0)
		return rc;
	rc = locate(h, name, "/", path_list, path, real, e);
	if (rc < 0)
		return err_wrap(e, "the interpreter of %s", quoted);
	return add_step(p, path, real, !strchr(name, '/'), e);
}

int program_find(struct program *p, const struct host *h, const char *name, const char *cwd,
		 const char *path, struct err *e)
{
	struct program v = { 0 };
	char found[PATH_MAX], real[PATH_MAX];
	int rc = locate(h, name, cwd, path, found, real, e);

	if (rc == 0)
		rc = add_step(&v, found, real, false, e);
	while (rc == 0)
		rc = follow(&v, h, path, e);
	if (rc < 0) {
		program_fini(&v);
		return rc;
	}
	*p = v;
	return 0;
}

void program_fini(struct program *p)
{
	arena_fini(&p->arena);
	*p = (struct program){ 0 };
}
