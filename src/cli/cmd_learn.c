/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun learn: runs an app as "vrun run" does, and writes a policy that allows
 * what it tried. The run is a process of its own, which knows nothing of this
 * but that it is to write down the attempts.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/prompt.h"
#include "model/learned.h"
#include "model/policy_edit.h"
#include "run/state.h"

static const char help[] =
	"Usage: vrun learn -o FILE [OPTIONS] [RUN OPTIONS] BUNDLE\n"
	"       vrun learn -o FILE [OPTIONS] [RUN OPTIONS] -- CMD [ARGS]\n\n"
	"Runs an app in a sandbox, as \"vrun run\" does, and writes a policy that allows what it tried,\n"
	"and nothing else. Read the policy before you use it.\n\n"
	"  -o FILE            where to write the policy\n"
	"      --base FILE    add to this policy, of an earlier run or your own; may be the same file\n"
	"      --deny         what the base does not allow is denied, and on record (the default)\n"
	"      --ask          you are asked on the terminal about each new destination\n"
	"      --allow-all    everything is allowed that no rule of the base denies\n"
	"  -h, --help\n\n"
	"All options of \"vrun run\" but --policy, --detach, --attempts and --tty go with it.\n";

struct learn_args {
	const char *output, *base;
	const char *root;
	char id[STATE_ID_MAX + 1];
	bool allow_all, ask, own_id;
	char **rest; /* owned list; what run gets */
	int n_rest;
	int n_before; /* words before the command, which run gets too */
};

/* A directory of our own, for the policy in force and the attempts. */
struct workplace {
	char dir[200], policy[232], attempts[232];
};

/* --- the policy in force --------------------------------------------------------------------- */

static int load_base(const struct learn_args *a, struct json_doc *ret, struct err *e)
{
	static const char empty[] = "{ \"version\": 1, \"net\": { \"rules\": [] } }\n";
	struct policy p = { 0 };
	int rc = a->base ? json_doc_load(ret, AT_FDCWD, a->base, NULL, e) :
			   json_doc_parse(ret, "policy", empty, strlen(empty), e);

	if (rc < 0)
		return rc;
	rc = policy_read(&p, ret, NULL, e);
	if (rc == 0 && p.net != POLICY_NET_RULES) {
		(void)err_set(e, EINVAL, "%s: \"net\": \"%s\" has no rules to add to", a->base, policy_net_name(p.net));
		rc = err_hint(e, "write \"net\": {}");
	}
	policy_fini(&p);
	if (rc < 0)
		json_doc_fini(ret);
	return rc;
}

static int write_file(const char *path, int flags, const char *text, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
	int rc = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));

	return rc < 0 ? err_num(e, -rc, "%s", path) : 0;
}

/* What the run is under: the base, and with --allow-all rules for everything. Its denies stay. */
static int write_policy(const struct learn_args *a, const struct json_doc *base, const char *path, struct err *e)
{
	static char names[] = "{ \"allow\": \"connect\", \"to\": \"*:*\", \"proto\": [\"tcp\", \"udp\"] }";
	/* In halves: the loader has a warning for who writes the whole of it, which would be about no line of the user's. */
	static char rest[] = "{ \"allow\": \"connect\", \"to\": [\"0.0.0.0/1:*\", \"128.0.0.0/1:*\", \"[::/1]:*\", "
			     "\"[8000::/1]:*\", \"host:*\"], \"proto\": [\"tcp\", \"udp\"] }";
	static char in[] = "{ \"allow\": \"listen\", \"at\": \":*\", \"from\": \"*\", \"proto\": [\"tcp\", \"udp\"] }";
	/* A run cannot get a way out later. Nothing has this name (RFC 6761). */
	static char out[] = "{ \"allow\": \"connect\", \"to\": \"way-out.invalid:1\", \"proto\": [\"tcp\", \"udp\"] }";
	char *const lines[] = { names, rest, in }, *const way_out[] = { out };
	AUTO_FREE char *text = NULL;

	if (!a->allow_all && !a->ask)
		return write_file(path, O_EXCL, base->text, e);
	if (policy_edit_add(base, a->ask ? way_out : lines, a->ask ? 1 : 3, &text, e) < 0)
		return -ENOMEM;
	return write_file(path, O_EXCL, text, e);
}

static int make_workplace(struct workplace *w, struct err *e)
{
	const char *tmp = getenv("TMPDIR");

	if (snprintf(w->dir, sizeof w->dir, "%s/vrun-learn-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp") >= (int)sizeof w->dir)
		return err_set(e, ENAMETOOLONG, "TMPDIR");
	if (!mkdtemp(w->dir))
		return err_sys(e, "%s", w->dir);
	(void)snprintf(w->policy, sizeof w->policy, "%s/policy.json", w->dir);
	(void)snprintf(w->attempts, sizeof w->attempts, "%s/attempts.json", w->dir);
	return 0;
}

static void remove_workplace(const struct workplace *w)
{
	(void)unlink(w->policy);
	(void)unlink(w->attempts);
	prompt_clean(w->dir);
	(void)rmdir(w->dir);
}

/* --- the run ------------------------------------------------------------------------------------ */

static void exec_run(const struct learn_args *a, const struct workplace *w)
{
	char **argv = calloc((size_t)a->n_before + (size_t)a->n_rest + 11, sizeof *argv);
	static char vrun[] = "vrun", run[] = "run", policy[] = "-p", attempts[] = "--attempts", id[] = "--id", ask[] = "--ask",
		    no_tty[] = "-T";
	int n = 0, null;

	if (!argv)
		_exit(EXIT_VRUN);
	argv[n++] = vrun;
	for (int i = 1; i < a->n_before; i++)
		argv[n++] = globals.argv[i];
	argv[n++] = run;
	argv[n++] = policy;
	argv[n++] = (char *)(uintptr_t)w->policy;
	argv[n++] = attempts;
	argv[n++] = (char *)(uintptr_t)w->attempts;
	if (!a->own_id) {
		argv[n++] = id;
		argv[n++] = (char *)(uintptr_t)a->id;
	}
	if (a->ask) {
		argv[n++] = ask;
		argv[n++] = no_tty;
	}
	/* Two cannot read from one terminal. */
	if (a->ask && isatty(STDIN_FILENO)) {
		null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (null < 0 || dup2(null, STDIN_FILENO) < 0)
			_exit(EXIT_VRUN);
	}
	memcpy(argv + n, a->rest, (size_t)a->n_rest * sizeof *argv);
	(void)execv("/proc/self/exe", argv);
	log_error("running vrun: %s", err_text(errno));
	_exit(EXIT_VRUN);
}

/* Its exit code. Signals of a terminal are for the app; what it tried is wanted also when it was ended by one. */
static int run_app(const struct learn_args *a, const struct workplace *w, struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, was[3];
	static const int signals[] = { SIGINT, SIGQUIT, SIGHUP };
	pid_t pid, parent = getpid();
	int status;

	for (size_t i = 0; i < 3; i++)
		(void)sigaction(signals[i], &ignore, &was[i]);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < 3; i++)
			(void)sigaction(signals[i], &was[i], NULL);
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_VRUN);
		exec_run(a, w);
	}
	if (pid < 0)
		return err_sys(e, "fork");
	if (a->ask) {
		const struct prompt p = { .id = a->id, .root = a->root, .policy = w->policy, .dir = w->dir, .pid = pid };

		if (prompt_serve(&p, e) < 0)
			(void)kill(pid, SIGTERM);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "waiting for the run");
	if (a->ask && e->num)
		return -e->num;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- the policy that is learned ------------------------------------------------------------------- */

static int take_attempts(const struct workplace *w, struct learned *l, struct err *e)
{
	struct json_doc doc;
	struct stat st;
	int rc;

	if (stat(w->attempts, &st) < 0 || st.st_size == 0) {
		(void)err_set(e, ENODATA, "nothing was learned: the run ended before anything could be told");
		return err_hint(e, "see its own message; a ceiling without rules leaves nothing to learn");
	}
	rc = json_doc_load(&doc, AT_FDCWD, w->attempts, NULL, e);
	if (rc < 0)
		return rc;
	rc = learned_take(l, doc.root, e);
	json_doc_fini(&doc);
	return rc;
}

static int say_what(const struct learn_args *a, char *buf, size_t size)
{
	char command[200] = "", day[16] = "";
	time_t now = time(NULL);
	struct tm tm;
	size_t n = 0;
	int first = 0;

	for (int i = 0; i < a->n_rest && first == 0; i++)
		first = strcmp(a->rest[i], "--") == 0 ? i + 1 : 0;
	for (int i = first ? first : a->n_rest - 1; i >= 0 && i < a->n_rest && n < sizeof command; i++)
		n += (size_t)snprintf(command + n, sizeof command - n, "%s%s", n ? " " : "", a->rest[i]);
	if (gmtime_r(&now, &tm))
		(void)strftime(day, sizeof day, "%Y-%m-%d", &tm);
	return snprintf(buf, size, "Learned on %s from: %s. Read it before you use it.", day, command);
}

/* A whole policy or none, also when we are killed. */
static int put_in_place(const char *path, const char *text, struct err *e)
{
	AUTO_FREE char *new = NULL;
	int rc;

	if (asprintf(&new, "%s.new-%d", path, (int)getpid()) < 0) {
		new = NULL;
		return err_num(e, ENOMEM, "%s", path);
	}
	rc = write_file(new, O_EXCL, text, e);
	if (rc == 0 && rename(new, path) < 0)
		rc = err_sys(e, "%s", path);
	if (rc < 0)
		(void)unlink(new);
	return rc;
}

static int write_learned(const struct learn_args *a, const struct json_doc *base, const struct workplace *w,
			 struct err *e)
{
	AUTO_FREE char *text = NULL;
	struct learned l = { .asked = a->ask };
	char comment[512];
	int rc = take_attempts(w, &l, e);

	(void)say_what(a, comment, sizeof comment);
	if (rc == 0)
		rc = learned_write(&l, a->base ? base : NULL, comment, &text, e);
	if (rc == 0)
		rc = put_in_place(a->output, text, e);
	if (rc == 0) {
		(void)fprintf(stderr, "vrun: learned %zu %s from %llu %s; the policy is in %s\n", l.rules.n,
			      l.rules.n == 1 ? "rule" : "rules", (unsigned long long)l.attempts,
			      l.attempts == 1 ? "attempt" : "attempts", a->output);
		learned_report(&l, stderr);
	}
	learned_fini(&l);
	return rc;
}

static int learn(const struct learn_args *a)
{
	struct workplace w = { .dir = "" };
	struct err e = { 0 };
	struct json_doc base;
	int code = EXIT_VRUN, rc = load_base(a, &base, &e);

	if (rc < 0)
		return command_fail(&e);
	rc = make_workplace(&w, &e);
	if (rc == 0) {
		rc = write_policy(a, &base, w.policy, &e);
		if (rc == 0)
			rc = code = run_app(a, &w, &e);
		if (rc >= 0)
			rc = write_learned(a, &base, &w, &e);
		remove_workplace(&w);
	}
	json_doc_fini(&base);
	return rc < 0 ? command_fail(&e) : code;
}

/* --- options ---------------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* "--base FILE" and "--base=FILE". Moves *i on. Whether it is that option, with a value. */
static bool take_value(const char *name, int argc, char **argv, int *i, const char **ret)
{
	const char *word = argv[*i];
	size_t n = strlen(name);

	if (strncmp(word, name, n) == 0 && word[n] == '=')
		*ret = word + n + 1;
	else if (strcmp(word, name) == 0 && *i + 1 < argc)
		*ret = argv[++*i];
	else
		return false;
	return true;
}

static const char *not_for_learn(const char *word)
{
	static const char *const theirs[] = { "-p", "--policy", "-d", "--detach", "--attempts", "-t", "--tty" };

	for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
		size_t n = strlen(theirs[i]);

		if (strcmp(word, theirs[i]) == 0 || (n > 2 && strncmp(word, theirs[i], n) == 0 && word[n] == '='))
			return theirs[i];
	}
	return NULL;
}

/* What of run's options we need to know. */
static void find_id(struct learn_args *a)
{
	const char *id = NULL;

	for (int i = 0; i < a->n_rest; i++) {
		if (!a->rest[i] || strcmp(a->rest[i], "--") == 0)
			break;
		if (!take_value("--id", a->n_rest, a->rest, &i, &id))
			(void)take_value("--root", a->n_rest, a->rest, &i, &a->root);
	}
	a->own_id = id != NULL;
	if (id)
		(void)snprintf(a->id, sizeof a->id, "%s", id);
	if (!a->own_id)
		state_make_id(a->id);
}

/* 0, an exit code, or -1 for help. Our options are taken out wherever they stand; the rest is run's to understand. */
static int parse(struct learn_args *a, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
			return -1;
		if (not_for_learn(argv[i]))
			return command_usage("learn", "%s does not go with learn%s", not_for_learn(argv[i]),
					     argv[i][1] == 'p' || argv[i][2] == 'p' ? ": --base gives a policy" : "");
		if (strcmp(argv[i], "--deny") == 0)
			a->allow_all = a->ask = false;
		else if (strcmp(argv[i], "--allow-all") == 0)
			a->allow_all = true;
		else if (strcmp(argv[i], "--ask") == 0)
			a->ask = true;
		else if (!take_value("--base", argc, argv, &i, &a->base) &&
			 !take_value("-o", argc, argv, &i, &a->output))
			a->rest[a->n_rest++] = argv[i];
	}
	for (; i < argc; i++)
		a->rest[a->n_rest++] = argv[i];
	if (globals.policy)
		return command_usage("learn", "--policy does not go with learn: --base gives a policy");
	if (a->allow_all && a->ask)
		return command_usage("learn", "--ask and --allow-all exclude each other");
	if (a->ask && !prompt_possible())
		return command_usage("learn", "--ask needs a terminal");
	find_id(a);
	if (!a->output)
		return command_usage("learn", "where is the policy to be written? -o FILE");
	if (a->n_rest == 0)
		return command_usage("learn", "no bundle and no command given");
	if (access(a->output, F_OK) == 0 && !same_file(a->output, a->base))
		return command_usage("learn", "%s is there already: --base %s adds to it", a->output, a->output);
	return 0;
}

int cmd_learn(int argc, char **argv)
{
	struct learn_args a = { .root = globals.root,
				.n_before = (int)(argv - globals.argv),
				.rest = calloc((size_t)argc + 1, sizeof(char *)) };
	int rc = a.rest ? parse(&a, argc, argv) : EXIT_VRUN;

	if (rc < 0)
		rc = fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
	else if (rc == 0)
		rc = learn(&a);
	free(a.rest);
	return rc;
}
