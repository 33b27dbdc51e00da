/* SPDX-License-Identifier: Apache-2.0 */
/* vrun up: the bundles of a file, each a "vrun run" of its own, as one fabric. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/up_output.h"
#include "model/upfile.h"
#include "run/state.h"

static const char help[] =
	"Usage: vrun up [OPTIONS] FILE\n\n"
	"Runs the bundles that FILE lists as one fabric, in the order of their dependencies,\n"
	"until all have ended, one has failed, or Ctrl-C.\n\n"
	"      --timeout SECONDS   longest wait for one to get ready (default: 60)\n"
	"      --stop SECONDS      time to end after SIGTERM, before SIGKILL (default: 10)\n"
	"      --record DIR        where \"record\" of rules writes its files: in a directory for each bundle\n"
	"      --record-max SIZE   bytes of each file (default: 1GiB)\n"
	"      --root DIR          directory of the records\n"
	"  -h, --help\n";

#define LOOK_MS 50 /* between two looks whether one is ready: no event tells */

enum phase { WAITING, STARTED, READY, ENDED };

struct app {
	const struct upfile_bundle *b;
	enum phase phase;
	pid_t pid;
	int64_t since; /* ms, of the start */
	int code;
	char id[STATE_ID_MAX + 1];
};

struct up {
	struct upfile file;
	const char *dir; /* of the file: what its paths are relative to */
	const char *record, *record_max; /* as they were given; NULL: not */
	char *root;
	int root_fd, sigfd;
	pid_t self;
	int64_t timeout, grace; /* ms */
	int64_t stopping;       /* ms, when that began; 0: not */
	bool killed;
	int code;
	struct up_output output;
	struct app apps[UPFILE_BUNDLES_MAX];
};

static int64_t now_ms(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- one ------------------------------------------------------------------------------ */

struct paths {
	char *bundle, *policy, *record; /* owned; NULL: not given */
};

static void paths_free(struct paths *p)
{
	free(p->bundle);
	free(p->policy);
	free(p->record);
}

#define RUN_ARGS_MAX 16

static void make_args(const struct up *u, const struct app *a, const struct paths *p, const char **argv)
{
	const char *const all[][2] = { { "vrun", "--root" },   { u->root, "run" },          { "--fabric", u->file.fabric },
				       { "--id", a->id },      { p->policy ? "-p" : NULL, p->policy },
				       { p->record ? "--record" : NULL, p->record },
				       { u->record_max ? "--record-max" : NULL, u->record_max }, { p->bundle, NULL } };
	size_t n = 0;

	_Static_assert(2 * sizeof all / sizeof *all <= RUN_ARGS_MAX, "argv has room for all");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (!all[i][0])
			continue;
		argv[n++] = all[i][0];
		argv[n++] = all[i][1];
	}
}

static _Noreturn void become_run(const struct up *u, const struct app *a, const struct paths *p, const int *out)
{
	const char *argv[RUN_ARGS_MAX] = { NULL };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	make_args(u, a, p, argv);
	/* Ctrl-C on the terminal is for us: they are stopped in order. */
	(void)setpgid(0, 0);
	/* And should we be killed, nobody else would stop it. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() != u->self)
		_exit(EXIT_VRUN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out[0], 1) < 0 || dup2(out[1], 2) < 0)
		_exit(EXIT_VRUN);
	(void)sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	_exit(EXIT_VRUN);
}

static char *path_of(const struct up *u, const char *path)
{
	char *whole = NULL;

	if (asprintf(&whole, "%s%s%s", *path == '/' ? "" : u->dir, *path == '/' ? "" : "/", path) < 0)
		return NULL;
	return whole;
}

/* Where its records are to lie is made: two bundles may give theirs the same name. */
static int find_paths(const struct up *u, const struct app *a, struct paths *p, struct err *e)
{
	p->bundle = path_of(u, a->b->bundle);
	p->policy = a->b->policy ? path_of(u, a->b->policy) : NULL;
	if (u->record && asprintf(&p->record, "%s/%s", u->record, a->b->name) < 0)
		p->record = NULL;
	if (!p->bundle || (a->b->policy && !p->policy) || (u->record && !p->record))
		return err_num(e, ENOMEM, "%s", a->b->name);
	return p->record && mkdir(p->record, 0700) < 0 && errno != EEXIST ? err_sys(e, "%s", p->record) : 0;
}

static int start_with(struct up *u, struct app *a, const struct paths *p, struct err *e)
{
	int ends[2] = { -1, -1 }, rc = up_output_open(&u->output, a->b->name, ends, e);

	if (rc < 0)
		return rc;
	a->pid = fork();
	if (a->pid == 0)
		become_run(u, a, p, ends);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	if (a->pid < 0)
		return err_sys(e, "%s", a->b->name);
	(void)setpgid(a->pid, a->pid);
	a->phase = STARTED;
	a->since = now_ms();
	return 0;
}

static int start(struct up *u, struct app *a, struct err *e)
{
	struct paths p = { .bundle = NULL };
	int rc = find_paths(u, a, &p, e);

	if (rc == 0)
		rc = start_with(u, a, &p, e);
	paths_free(&p);
	return rc;
}

struct wanted {
	uint16_t port;
	bool there;
};

static int look(void *ctx, json_t *o)
{
	struct wanted *w = ctx;
	const char *status = ask_string(o, "status");
	bool open = strcmp(status, "listening") == 0 || (strcmp(status, "bound") == 0 && strcmp(ask_string(o, "protocol"), "udp") == 0);

	const char *local = ask_string(o, "local"), *colon = strrchr(local, ':');
	uint64_t port;

	if (open && colon && num_parse_u64(colon + 1, 1, 65535, &port) == 0 && port == w->port)
		w->there = true;
	return 0;
}

/* 1, 0 when it is not yet, -errno when it cannot be. */
static int is_ready(const struct up *u, const struct app *a, struct err *e)
{
	struct wanted w = { .port = a->b->ready };
	AUTO_FREE char *path = NULL;
	struct err ignored = { 0 };
	struct state_record r;
	int rc = state_load(u->root_fd, a->id, &r, &ignored);

	if (rc < 0)
		return 0;
	if (!w.port)
		w.there = true;
	else if (!r.supervisor || !*r.supervisor)
		rc = err_set(e, EINVAL, "%s: \"ready\" needs a policy with rules: without, nothing listens", a->b->name);
	else if (asprintf(&path, "%s/%s", u->root, r.supervisor) >= 0)
		(void)ask_each(path, "sockets", a->id, false, look, &w, &ignored);
	state_record_fini(&r);
	return rc < 0 ? rc : w.there;
}

/* --- all ------------------------------------------------------------------------------- */

static void stop(struct up *u, int code)
{
	if (u->stopping)
		return;
	u->stopping = now_ms();
	u->code = code;
	for (size_t i = u->file.n; i-- > 0;)
		if (u->apps[i].phase == STARTED || u->apps[i].phase == READY)
			(void)kill(u->apps[i].pid, SIGTERM);
}

static void reap(struct up *u)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < u->file.n; i++) {
			struct app *a = &u->apps[i];

			if (a->pid != pid)
				continue;
			a->phase = ENDED;
			a->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			log_info("%s ended with %d", a->b->name, a->code);
			if (a->code && !u->stopping) {
				log_error("%s ended with %d: the others are stopped", a->b->name, a->code);
				stop(u, a->code);
			}
		}
	}
}

/* Ended without failure counts as ready: what had to be done is done. */
static bool may_start(const struct up *u, const struct app *a)
{
	for (size_t k = 0; k < a->b->n_after; k++)
		if (u->apps[a->b->after[k]].phase < READY)
			return false;
	return a->phase == WAITING;
}

/* The one that has got ready may stand behind those that wait for it: so they are looked at afterwards. */
static int go_on(struct up *u, struct err *e)
{
	for (size_t i = 0; i < u->file.n; i++) {
		struct app *a = &u->apps[i];
		int rc = a->phase == STARTED ? is_ready(u, a, e) : 0;

		if (rc > 0)
			a->phase = READY;
		if (rc == 0 && a->phase == STARTED && now_ms() - a->since > u->timeout)
			rc = err_set(e, ETIMEDOUT, "%s does not listen at port %u after %lld s", a->b->name, a->b->ready,
				     (long long)u->timeout / 1000);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < u->file.n; i++) {
		int rc = may_start(u, &u->apps[i]) ? start(u, &u->apps[i], e) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

static void kill_the_slow(struct up *u)
{
	if (!u->stopping || u->killed || now_ms() - u->stopping < u->grace)
		return;
	u->killed = true;
	for (size_t i = 0; i < u->file.n; i++)
		if (u->apps[i].phase == STARTED || u->apps[i].phase == READY)
			(void)kill(u->apps[i].pid, SIGKILL);
}

static void hear_signals(struct up *u)
{
	struct signalfd_siginfo si;

	while (read(u->sigfd, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		if (u->stopping) /* said twice: at once */
			u->grace = 0;
		stop(u, 128 + (int)si.ssi_signo);
	}
}

static bool over(const struct up *u)
{
	for (size_t i = 0; i < u->file.n; i++)
		if (u->apps[i].phase == STARTED || u->apps[i].phase == READY || (u->apps[i].phase == WAITING && !u->stopping))
			return false;
	return true;
}

static bool must_look(const struct up *u)
{
	bool look_again = u->stopping && !u->killed;

	for (size_t i = 0; i < u->file.n; i++)
		look_again = look_again || u->apps[i].phase == STARTED;
	return look_again;
}

static int serve(struct up *u)
{
	struct err e = { 0 };

	while (!over(u)) {
		struct pollfd p[1 + UP_OUTPUT_MAX] = { { .fd = u->sigfd, .events = POLLIN } };
		size_t n;

		if (!u->stopping && go_on(u, &e) < 0) {
			log_err(&e);
			stop(u, EXIT_VRUN);
		}
		n = up_output_poll(&u->output, p + 1);
		(void)poll(p, 1 + (nfds_t)n, must_look(u) ? LOOK_MS : -1);
		up_output_work(&u->output, p + 1, n);
		hear_signals(u);
		reap(u);
		kill_the_slow(u);
	}
	up_output_finish(&u->output);
	return u->code;
}

static int prepare(struct up *u, const char *path, struct err *e)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	char *slash;
	sigset_t set;
	int rc = upfile_load(&u->file, path, e);

	if (rc < 0)
		return rc;
	u->self = getpid();
	u->dir = realpath(path, NULL);
	if (!u->dir)
		return err_sys(e, "%s", path);
	slash = strrchr(u->dir, '/');
	slash[slash == u->dir] = '\0';
	rc = state_root(globals.root, &u->root, e);
	if (rc < 0)
		return rc;
	u->root_fd = open(u->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u->root_fd < 0)
		return err_sys(e, "state directory %s", u->root);
	for (size_t i = 0; i < u->file.n; i++) {
		u->apps[i].b = &u->file.v[i];
		(void)snprintf(u->apps[i].id, sizeof u->apps[i].id, "%s-%s", u->file.fabric, u->file.v[i].name);
	}
	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		(void)sigaddset(&set, wanted[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	u->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return u->sigfd < 0 ? err_sys(e, "signalfd") : 0;
}

int cmd_up(int argc, char **argv)
{
	static const struct option options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "stop", required_argument, NULL, 's' },
		{ "root", required_argument, NULL, 'r' },
		{ "record", required_argument, NULL, 'd' },
		{ "record-max", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct up u = { .timeout = 60000, .grace = 10000 };
	struct err e = { 0 };
	uint64_t n = 0;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == '?')
			return command_usage("up", "unknown option or missing value");
		if (opt == 'm' && (num_parse_size(optarg, INT64_MAX, &n) < 0 || n == 0))
			return command_usage("up", "--record-max takes a size, like 100M");
		if (opt == 'r' || opt == 'd' || opt == 'm') {
			*(opt == 'r' ? &globals.root : opt == 'd' ? &u.record : &u.record_max) = optarg;
			continue;
		}
		if (num_parse_u64(optarg, 0, 86400, &n) < 0)
			return command_usage("up", "--%s takes seconds", opt == 't' ? "timeout" : "stop");
		*(opt == 't' ? &u.timeout : &u.grace) = (int64_t)n * 1000;
	}
	if (argc - optind != 1)
		return command_usage("up", "expected one file");
	return prepare(&u, argv[optind], &e) < 0 ? command_fail(&e) : serve(&u);
}
