/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "kern/cgroup.h"

static const char help[] = "Usage: vrun events [--stats] [--interval SECONDS] ID\n\n"
			   "Prints what a container uses, as one line of JSON each time, until it has ended.\n\n"
			   "      --stats              once\n"
			   "      --interval SECONDS   between two (default: 5); \"5s\" is taken, too\n"
			   "      --root DIR           directory of the records\n"
			   "  -h, --help\n";

static json_t *memory(const struct cgroup_stats *s)
{
	json_t *o = json_pack("{s:I, s:I, s:I}", "usage", (json_int_t)s->memory, "max", (json_int_t)s->memory_peak,
			      "failcnt", (json_int_t)s->memory_failures);

	/* A limit that is none has no number. */
	if (o && s->memory_limit != UINT64_MAX)
		(void)json_object_set_new(o, "limit", json_integer((json_int_t)s->memory_limit));
	return json_pack("{s:o}", "usage", o);
}

static void add_blkio(json_t *entries, const struct cgroup_io_stats *io)
{
	const struct {
		const char *op;
		uint64_t value;
	} v[] = { { "Read", io->read_bytes }, { "Write", io->write_bytes } };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		(void)json_array_append_new(entries,
					    json_pack("{s:i, s:i, s:s, s:I}", "major", (int)io->major, "minor",
						      (int)io->minor, "op", v[i].op, "value", (json_int_t)v[i].value));
}

/* With the names that runc's events have. */
static json_t *describe(const char *id, const struct cgroup_stats *s)
{
	json_t *data = json_object(), *blkio = json_array();

	if (s->has_cpu)
		(void)json_object_set_new(data, "cpu",
					  json_pack("{s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}}", "usage", "total",
						    (json_int_t)s->cpu_ns, "kernel", (json_int_t)s->cpu_system_ns, "user",
						    (json_int_t)s->cpu_user_ns, "throttling", "periods",
						    (json_int_t)s->periods, "throttledPeriods",
						    (json_int_t)s->throttled_periods, "throttledTime",
						    (json_int_t)s->throttled_ns));
	if (s->has_memory)
		(void)json_object_set_new(data, "memory", memory(s));
	if (s->has_pids) {
		json_t *pids = json_pack("{s:I}", "current", (json_int_t)s->pids);

		if (pids && s->pids_limit != UINT64_MAX)
			(void)json_object_set_new(pids, "limit", json_integer((json_int_t)s->pids_limit));
		(void)json_object_set_new(data, "pids", pids);
	}
	for (size_t i = 0; i < s->n_io; i++)
		add_blkio(blkio, &s->io[i]);
	(void)json_object_set_new(data, "blkio", json_pack("{s:o}", "ioServiceBytesRecursive", blkio));
	return json_pack("{s:s, s:s, s:o}", "type", "stats", "id", id, "data", data);
}

static int print_line(json_t *o, struct err *e)
{
	int rc = o && json_dumpf(o, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? 0 : -1;

	json_decref(o);
	return rc < 0 ? err_sys(e, "writing to standard output") : 0;
}

static int print_stats(const char *id, struct cgroup *cg, uint64_t *oom_kills, struct err *e)
{
	struct cgroup_stats s;
	int rc = cgroup_stats(cg, &s, e);

	if (rc < 0)
		return rc;
	if (s.oom_kills > *oom_kills)
		rc = print_line(json_pack("{s:s, s:s}", "type", "oom", "id", id), e);
	*oom_kills = s.oom_kills;
	if (rc == 0)
		rc = print_line(describe(id, &s), e);
	cgroup_stats_fini(&s);
	return rc;
}

static int follow(const struct oci_target *t, bool once, unsigned interval, struct err *e)
{
	AUTO_FD int pidfd = state_open_process(&t->record);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	struct cgroup *cg = NULL;
	uint64_t oom_kills = 0;
	int rc, n = 0;

	if (pidfd < 0)
		return err_set(e, ESRCH, "container %s does not run", t->record.id);
	rc = oci_cgroup(t, &cg, e);
	while (rc == 0 && n == 0) {
		rc = print_stats(t->record.id, cg, &oom_kills, e);
		if (once)
			break;
		do
			n = poll(&p, 1, (int)interval * 1000);
		while (n < 0 && errno == EINTR);
	}
	cgroup_free(&cg);
	return rc;
}

static int take_interval(const char *text, unsigned *ret)
{
	size_t len = strlen(text);
	char digits[16];
	uint64_t n;

	if (len > 1 && text[len - 1] == 's')
		len--;
	if (len >= sizeof digits)
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (num_parse_u64(digits, 1, 86400, &n) < 0)
		return -EINVAL;
	*ret = (unsigned)n;
	return 0;
}

int cmd_events(int argc, char **argv)
{
	static const struct option options[] = {
		{ "stats", no_argument, NULL, 's' },
		{ "interval", required_argument, NULL, 'i' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned interval = 5;
	struct err e = { 0 };
	struct oci_target t;
	bool once = false;
	int opt, rc;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return oci_help(help);
		if (opt == '?')
			return oci_usage("events", "unknown option or missing value");
		if (opt == 's')
			once = true;
		else if (opt == 'r')
			globals.root = optarg;
		else if (take_interval(optarg, &interval) < 0)
			return oci_usage("events", "--interval takes seconds");
	}
	if (argc - optind != 1)
		return oci_usage("events", "expected one id");
	if (oci_open(argv[optind], &t, &e) < 0)
		return oci_fail(&e);
	rc = follow(&t, once, interval, &e);
	oci_close(&t);
	return rc < 0 ? oci_fail(&e) : 0;
}
