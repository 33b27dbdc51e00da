/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library resolver against the dynamic loader itself: for real programs of
 * this machine, what `ld.so --list` prints is what must be found, in the same
 * order. (Only programs of the distribution are asked about: --list runs their
 * libraries' loader, not the program.)
 */
#include <elf.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "pack/libs.h"
#include "tap.h"

static const char *const programs[] = {
	"/usr/bin/env",	      "/usr/bin/redis-server", "/usr/sbin/nginx",
	"/usr/bin/python3",   "/usr/bin/node",	       "/usr/bin/curl",
	"/usr/bin/perl",      "/usr/bin/git",	       "/usr/bin/gdb",
	"/usr/bin/clang-14",  "/usr/bin/apt",	       "/usr/bin/gpg",
	"/usr/sbin/sshd",     "/usr/bin/bwrap",	       "/usr/bin/crun",
	"/usr/bin/dpkg",      "/usr/lib/postgresql/15/bin/postgres",
	"/usr/bin/systemctl", "/usr/bin/vim.basic",    "/usr/lib/postgresql/15/bin/psql",
};

/* Output of `interp --list program`, or NULL. The caller frees. */
static char *list_by_loader(const char *interp, const char *program)
{
	char *argv[] = { strdup(interp), strdup("--list"), strdup(program), NULL };
	char *envp[] = { NULL };
	posix_spawn_file_actions_t fa;
	int p[2], status = -1;
	char *text = NULL;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return NULL;
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_adddup2(&fa, p[1], 1);
	if (posix_spawn(&pid, interp, &fa, NULL, argv, envp) == 0) {
		fd_close(&p[1]);
		if (fd_read_all(p[0], "pipe", 1U << 20, &text, NULL, NULL) < 0)
			text = NULL;
		(void)waitpid(pid, &status, 0);
	}
	(void)posix_spawn_file_actions_destroy(&fa);
	fd_close(&p[0]);
	fd_close(&p[1]);
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	if (status != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* "name => path" of each line, "path" for the loader itself, one a line; no vdso. */
static char *tidy(char *text)
{
	char *save = NULL, *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *end = strstr(l, " (0x");

		l += strspn(l, " \t");
		if (end)
			*end = '\0';
		if (strncmp(l, "linux-vdso", 10) != 0)
			(void)fprintf(f, "%s\n", l);
	}
	(void)fclose(f);
	return out;
}

static char *list_by_us(const struct libs *l)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	/* The loader is the same file on both sides by construction: it is left out of both. */
	for (size_t i = 1; i < l->program.n; i++) {
		const struct lib *lib = l->program.v[i];

		if (lib->how != LIB_INTERP)
			(void)fprintf(f, "%s => %s\n", lib->name, lib->path);
	}
	(void)fclose(f);
	return out;
}

/* Takes the loader's own line out. */
static void drop_line(char *text, const char *interp)
{
	size_t n = strlen(interp);

	for (char *l = text; l && *l;) {
		char *next = strchr(l, '\n');

		if (strncmp(l, interp, n) == 0 && (l[n] == '\n' || l[n] == ' ')) {
			memmove(l, next + 1, strlen(next + 1) + 1);
			continue;
		}
		l = next ? next + 1 : NULL;
	}
}

static bool compare(const struct host *h, const char *program)
{
	char real[PATH_MAX];
	struct err e = { 0 };
	struct libs l;
	char *raw, *want, *got;

	if (host_realpath(h, program, real, &e) < 0)
		return false;
	if (libs_open(&l, h, real, NULL, &e) < 0) {
		TAP_OK(false, "%s: %s", program, e.text);
		return false;
	}
	raw = l.program.v[0]->elf.interp ? list_by_loader(l.program.v[0]->elf.interp, real) : NULL;
	if (!raw) {
		libs_fini(&l);
		return false;
	}
	want = tidy(raw);
	drop_line(want, l.program.v[0]->elf.interp);
	got = list_by_us(&l);
	TAP_STR(got, want, "%s: %zu libraries as the loader finds them", program, l.program.n - 1);
	free(raw);
	free(want);
	free(got);
	libs_fini(&l);
	return true;
}

int main(void)
{
	struct host h;
	struct err e = { 0 };
	unsigned compared = 0;

	if (host_open(&h, "/", &e) < 0)
		return 1;
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
		compared += compare(&h, programs[i]);
	TAP_OK(compared >= 1, "%u programs were there to compare", compared);
	host_close(&h);
	return tap_done();
}
