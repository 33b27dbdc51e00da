/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs several commands many times, interleaved, and says how long each takes
 * from vfork to wait, in microseconds of wall time.
 *
 *	runmany [-n ROUNDS] [-w WARMUP] [-u USER] [-j FILE] [-m APP] <COMMANDS
 *
 * Standard input has one command on each line, fields separated by tabs: a
 * name, the program's path, its arguments. Every round runs each command once,
 * in an order that is drawn anew, so that what disturbs the machine disturbs
 * all of them. Warm-up rounds are run and not counted. A command that exits
 * with another status than 0 ends the benchmark.
 *
 * The ratio of two medians comes with a 95% bootstrap interval: the rounds are
 * drawn again with replacement, the same rounds for both commands.
 *
 * -u USER drops to that user before the first run. -m APP measures memory
 * instead: the largest sum of Pss, in KiB, seen over the command and all its
 * descendants but those that execute the file APP. Sampling slows a launch
 * down, so it times nothing. With -u the sampler itself stays root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 32
#define ARGS_MAX 128
#define RESAMPLES 1000
#define TREE_MAX 256

struct command {
	const char *name;
	char *argv[ARGS_MAX];
	double *us; /* one per round; us[round] of all commands belong together */
	long pss, peak_procs;
	unsigned samples, unreadable;
};

static struct command commands[COMMANDS_MAX];
static size_t n_commands;
static char **environment;
static struct passwd *user;
static struct stat app;

static void die(const char *what)
{
	(void)fprintf(stderr, "runmany: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* xorshift64*, seeded by the clock: order and resampling need no better. */
static uint64_t draw(uint64_t bound)
{
	static uint64_t x;

	if (x == 0) {
		struct timespec now;

		(void)clock_gettime(CLOCK_REALTIME, &now);
		x = (uint64_t)now.tv_nsec * 2654435761U + (uint64_t)now.tv_sec + 1;
	}
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	return (x * 0x2545F4914F6CDD1DULL >> 11) % bound;
}

static void read_commands(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		struct command *c = &commands[n_commands];
		char *rest = line, *field;
		size_t n = 0;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0')
			continue;
		if (n_commands == COMMANDS_MAX)
			errno = E2BIG, die("commands");
		c->name = strsep(&rest, "\t");
		while ((field = strsep(&rest, "\t")) && n < ARGS_MAX - 1)
			c->argv[n++] = field;
		if (n == 0)
			errno = EINVAL, die(c->name);
		n_commands++;
		line = NULL; /* the fields live in it */
		size = 0;
	}
	free(line);
	if (n_commands == 0)
		errno = EINVAL, die("no commands on standard input");
}

static void become(const struct passwd *pw)
{
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		die(pw->pw_name);
	/* A change of ids hides a process from its own user until its next exec. */
	(void)prctl(PR_SET_DUMPABLE, 1);
}

static void check_status(const struct command *c, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	(void)fprintf(stderr, "runmany: %s: %s %d\n", c->name, WIFEXITED(status) ? "exit status" : "signal",
		      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	exit(1);
}

static double run_once(const struct command *c)
{
	struct timespec a, b;
	int status = 0;
	pid_t pid;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	/* As short as a start can be made: what is measured is the program started, not fork()'s copying.
	 * NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): the child only execs or exits. */
	pid = vfork();
	if (pid == 0) {
		(void)execve(c->argv[0], c->argv, environment);
		_exit(127);
	}
	if (pid < 0)
		die("vfork");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	check_status(c, status);
	return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
}

static void run_round(size_t round, bool count)
{
	size_t order[COMMANDS_MAX] = { 0 };

	for (size_t i = 0; i < n_commands; i++) {
		size_t j = draw(i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (size_t i = 0; i < n_commands; i++) {
		struct command *c = &commands[order[i]];
		double us = run_once(c);

		if (count)
			c->us[round] = us;
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* v is sorted; q from 0 to 1 */
static double quantile(const double *v, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	return i + 1 < n ? v[i] + (v[i + 1] - v[i]) * (at - (double)i) : v[n - 1];
}

static double *sorted(const struct command *c, size_t rounds)
{
	double *v = malloc(rounds * sizeof *v);

	if (!v)
		die("memory");
	memcpy(v, c->us, rounds * sizeof *v);
	qsort(v, rounds, sizeof *v, by_value);
	return v;
}

/* ret[r][c]: the median of command c in resample r */
static double (*bootstrap(size_t rounds))[COMMANDS_MAX]
{
	double(*medians)[COMMANDS_MAX] = calloc(RESAMPLES, sizeof *medians);
	double *v = malloc(rounds * sizeof *v);
	size_t *pick = malloc(rounds * sizeof *pick);

	if (!medians || !v || !pick)
		die("memory");
	for (size_t r = 0; r < RESAMPLES; r++) {
		for (size_t i = 0; i < rounds; i++)
			pick[i] = draw(rounds);
		for (size_t c = 0; c < n_commands; c++) {
			for (size_t i = 0; i < rounds; i++)
				v[i] = commands[c].us[pick[i]];
			qsort(v, rounds, sizeof *v, by_value);
			medians[r][c] = quantile(v, rounds, 0.5);
		}
	}
	free(pick);
	free(v);
	return medians;
}

static void report_ratios(size_t rounds, const double *median, FILE *json)
{
	double(*again)[COMMANDS_MAX] = bootstrap(rounds);
	double ratio[RESAMPLES];

	printf("\nratios of medians, row over column, with 95%% intervals\n%-16s", "");
	for (size_t c = 0; c < n_commands; c++)
		printf(" %-20.20s", commands[c].name);
	printf("\n");
	for (size_t a = 0; a < n_commands; a++) {
		printf("%-16s", commands[a].name);
		for (size_t b = 0; b < n_commands; b++) {
			for (size_t r = 0; r < RESAMPLES; r++)
				ratio[r] = again[r][a] / again[r][b];
			qsort(ratio, RESAMPLES, sizeof *ratio, by_value);
			printf(" %6.3f (%.3f-%.3f)", median[a] / median[b],
			       quantile(ratio, RESAMPLES, 0.025), quantile(ratio, RESAMPLES, 0.975));
			if (json)
				(void)fprintf(json, "%s\n    {\"of\": \"%s\", \"to\": \"%s\", \"ratio\": %.4f, \"low\": %.4f, \"high\": %.4f}",
					      a + b > 0 ? "," : "", commands[a].name, commands[b].name,
					      median[a] / median[b], quantile(ratio, RESAMPLES, 0.025),
					      quantile(ratio, RESAMPLES, 0.975));
		}
		printf("\n");
	}
	free(again);
}

static void report(size_t rounds, FILE *json)
{
	double median[COMMANDS_MAX];

	printf("%zu rounds, wall time in microseconds\n%-16s %9s %9s %9s\n", rounds, "", "min", "median", "p95");
	if (json)
		(void)fprintf(json, "{\"rounds\": %zu, \"commands\": [", rounds);
	for (size_t i = 0; i < n_commands; i++) {
		double *v = sorted(&commands[i], rounds);

		median[i] = quantile(v, rounds, 0.5);
		printf("%-16s %9.1f %9.1f %9.1f\n", commands[i].name, v[0], median[i], quantile(v, rounds, 0.95));
		if (json)
			(void)fprintf(json, "%s\n    {\"name\": \"%s\", \"min\": %.1f, \"median\": %.1f, \"p95\": %.1f}",
				      i ? "," : "", commands[i].name, v[0], median[i], quantile(v, rounds, 0.95));
		free(v);
	}
	if (json)
		(void)fprintf(json, "],\n  \"ratios\": [");
	report_ratios(rounds, median, json);
	if (json)
		(void)fprintf(json, "]}\n");
}

/* --- memory --------------------------------------------------------------------- */

/* Pss of a process in KiB; -1 when it may not be read, 0 when it is gone. */
static long pss_of(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return errno == EACCES ? -1 : 0;
	while (fgets(line, sizeof line, f))
		if (strncmp(line, "Pss:", 4) == 0)
			kib = strtol(line + 4, NULL, 10);
	(void)fclose(f);
	return kib;
}

static bool is_app(pid_t pid)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	return stat(path, &st) == 0 && st.st_dev == app.st_dev && st.st_ino == app.st_ino;
}

/* Appends a process' children, of all its threads. */
static size_t add_children(pid_t pid, pid_t *tree, size_t n)
{
	char path[64], text[4096];
	char *p = text, *end;
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return n;
	len = read(fd, text, sizeof text - 1);
	(void)close(fd);
	text[len > 0 ? len : 0] = '\0';
	for (;;) {
		long child = strtol(p, &end, 10);

		if (end == p || n == TREE_MAX)
			return n;
		tree[n++] = (pid_t)child;
		p = end;
	}
}

static void sample(struct command *c, pid_t root)
{
	pid_t tree[TREE_MAX] = { root };
	size_t n = 1;
	long sum = 0, procs = 0;

	for (size_t i = 0; i < n; i++) {
		long pss;

		n = add_children(tree[i], tree, n);
		if (is_app(tree[i]))
			continue;
		pss = pss_of(tree[i]);
		if (pss < 0)
			c->unreadable++;
		if (pss > 0)
			sum += pss, procs++;
	}
	c->samples++;
	if (sum > c->pss) {
		c->pss = sum;
		c->peak_procs = procs;
	}
}

static void run_sampled(struct command *c)
{
	int status = 0, go[2];
	pid_t pid, got;
	char byte = 0;

	if (pipe2(go, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		die("fork");
	if (pid == 0) {
		if (user)
			become(user);
		(void)execve(c->argv[0], c->argv, environment);
		_exit(127);
	}
	/* The pipe closes at exec: before that the process is a copy of this one. */
	(void)close(go[1]);
	(void)!read(go[0], &byte, 1);
	(void)close(go[0]);
	while ((got = waitpid(pid, &status, WNOHANG)) == 0)
		sample(c, pid);
	if (got < 0)
		die("waitpid");
	check_status(c, status);
}

static void measure_memory(size_t rounds)
{
	for (size_t r = 0; r < rounds; r++)
		for (size_t i = 0; i < n_commands; i++)
			run_sampled(&commands[i]);
	printf("%zu rounds, largest sum of Pss over the launcher's own processes\n%-16s %9s %9s %9s %9s\n", rounds,
	       "", "KiB", "processes", "samples", "unread");
	for (size_t i = 0; i < n_commands; i++)
		printf("%-16s %9ld %9ld %9u %9u\n", commands[i].name, commands[i].pss, commands[i].peak_procs,
		       commands[i].samples, commands[i].unreadable);
}

static size_t number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v > 1000000)
		errno = EINVAL, die(text);
	return v;
}

/* PATH, and where launchers keep their records: whoever calls us made it for the user. */
static void make_environment(void)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	static char *env[3] = { path };
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (dir && asprintf(&env[1], "XDG_RUNTIME_DIR=%s", dir) < 0)
		die("memory");
	environment = env;
}

static void measure_time(size_t rounds, size_t warmup, FILE *json)
{
	if (user)
		become(user);
	for (size_t i = 0; i < n_commands; i++) {
		commands[i].us = calloc(rounds, sizeof(double));
		if (!commands[i].us)
			die("memory");
	}
	for (size_t r = 0; r < warmup; r++)
		run_round(r, false);
	for (size_t r = 0; r < rounds; r++)
		run_round(r, true);
	report(rounds, json);
}

int main(int argc, char **argv)
{
	size_t rounds = 200, warmup = 10;
	bool memory = false;
	FILE *json = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "n:w:u:j:m:")) != -1) {
		if (opt == 'n')
			rounds = number(optarg);
		else if (opt == 'w')
			warmup = number(optarg);
		else if (opt == 'u' && !(user = getpwnam(optarg)))
			errno = ENOENT, die(optarg);
		else if ((opt == 'j' && !(json = fopen(optarg, "we"))) ||
			 (opt == 'm' && stat(optarg, &app) < 0))
			die(optarg);
		else if (opt == '?')
			return 2;
		memory = memory || opt == 'm';
	}
	if (rounds == 0)
		return 2;
	make_environment();
	read_commands();
	if (!freopen("/dev/null", "r", stdin))
		die("/dev/null");
	if (memory)
		measure_memory(rounds);
	else
		measure_time(rounds, warmup, json);
	if (json && fclose(json) != 0)
		die("writing the JSON file");
	return 0;
}
