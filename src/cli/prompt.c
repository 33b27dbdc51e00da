/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prompt.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "cli/ask.h"
#include "model/policy_edit.h"

#define TERMINAL "/dev/tty"
#define IN_FORCE "in-force.json"
#define LOOK_MS 20 /* until the run has a supervisor that can be asked */

struct asker {
	const struct prompt *p;
	const char *supervisor; /* path of its socket */
	int terminal;           /* owned */
	char **lines;           /* owned; rules that were said yes to */
	size_t n;
};

bool prompt_possible(void)
{
	AUTO_FD int fd = open(TERMINAL, O_RDWR | O_CLOEXEC | O_NOCTTY);

	return fd >= 0;
}

void prompt_clean(const char *dir)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/" IN_FORCE, dir);
	(void)unlink(path);
}

/* --- answers ----------------------------------------------------------------------------- */

static int write_policy(const struct asker *a, const char *path, struct err *e)
{
	AUTO_FREE char *text = NULL;
	AUTO_FD int fd = -1;
	struct json_doc doc;
	int rc = json_doc_load(&doc, AT_FDCWD, a->p->policy, NULL, e);

	if (rc < 0)
		return rc;
	rc = policy_edit_add(&doc, a->lines, a->n, &text, e);
	json_doc_fini(&doc);
	if (rc < 0)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	return rc < 0 ? err_num(e, -rc, "%s", path) : 0;
}

/* "vrun policy apply": the supervisor's and the gateway's policy are changed together there. Its complaint is its own. */
static bool apply(const struct asker *a, const char *path)
{
	const char *const argv[] = { "vrun", "policy", "apply", a->p->id, path, a->p->root ? "--root" : NULL, a->p->root, NULL };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0)
			(void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
		_exit(1);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The rule of a yes is in force when this is true. */
static bool allow(struct asker *a, const char *line)
{
	char **v = realloc(a->lines, (a->n + 1) * sizeof *v), path[256];
	struct err e = { 0 };

	if (!v)
		return false;
	a->lines = v;
	v[a->n] = strdup(line);
	if (!v[a->n])
		return false;
	a->n++;
	(void)snprintf(path, sizeof path, "%s/" IN_FORCE, a->p->dir);
	if (write_policy(a, path, &e) < 0)
		log_err(&e);
	else if (apply(a, path))
		return true;
	free(v[--a->n]);
	return false;
}

/* Anything but a clear yes is a no, the end of the terminal too. */
static bool is_yes(struct asker *a, const char *program, const char *attempt)
{
	char line[64] = "";
	ssize_t n;

	(void)dprintf(a->terminal, "vrun: %s wants to %s. Allow it? [y/N] ", program, attempt);
	do
		n = read(a->terminal, line, sizeof line - 1); /* a terminal gives lines */
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

static int nothing(void *ctx, json_t *o)
{
	(void)ctx;
	(void)o;
	return 0;
}

static int each_question(void *ctx, json_t *o)
{
	struct asker *a = ctx;
	char program[128], attempt[800];
	struct err e = { 0 };
	bool yes;

	(void)log_quote(program, sizeof program, ask_string(o, "program"));
	(void)log_quote(attempt, sizeof attempt, ask_string(o, "attempt"));
	yes = is_yes(a, *program ? program : "it", attempt);
	if (yes && !allow(a, ask_string(o, "line"))) {
		(void)dprintf(a->terminal, "vrun: that cannot be allowed now; it is denied\n");
		yes = false;
	}
	/* Its own ends may have ended the run meanwhile: that shows as the end of the questions. */
	(void)ask_question(a->supervisor,
			   json_pack("{s:s, s:s, s:I, s:b}", "query", "answer", "id", a->p->id, "number",
				     (json_int_t)ask_int(o, "number"), "allow", yes),
			   false, nothing, NULL, &e);
	return 0;
}

/* --- questions ----------------------------------------------------------------------------- */

/* Whether the run goes on, after a moment. */
static bool goes_on(int pidfd)
{
	struct pollfd f = { .fd = pidfd, .events = POLLIN };

	return poll(&f, 1, LOOK_MS) == 0;
}

static void ask_supervisor(struct asker *a, int pidfd, const char *path)
{
	struct err e = { 0 };
	int rc;

	a->supervisor = path;
	do {
		rc = ask_each(path, "asks", a->p->id, true, each_question, a, &e);
	} while (rc == -ENOENT && goes_on(pidfd)); /* it does not serve the run yet */
}

int prompt_serve(const struct prompt *p, struct err *e)
{
	const struct ask_whom whom = { .root = p->root, .id = p->id };
	AUTO_FD int pidfd = sys_pidfd_open(p->pid, 0);
	struct asker a = { .p = p, .terminal = open(TERMINAL, O_RDWR | O_CLOEXEC | O_NOCTTY) };
	struct ask_targets t = { 0 };
	int rc = 0;

	if (pidfd < 0 || a.terminal < 0)
		rc = err_sys(e, TERMINAL);
	while (rc == 0 && t.n == 0 && goes_on(pidfd)) {
		struct err early = { 0 };

		if (ask_whom(&whom, &t, &early) < 0)
			t.n = 0; /* it has no record yet */
	}
	if (rc == 0 && t.n)
		ask_supervisor(&a, pidfd, t.v[0].path);
	ask_targets_fini(&t);
	for (size_t i = 0; i < a.n; i++)
		free(a.lines[i]);
	free(a.lines);
	fd_close(&a.terminal);
	return rc;
}
