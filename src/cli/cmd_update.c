/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "kern/cgroup.h"
#include "model/bundle_read.h"

static const char help[] =
	"Usage: vrun update [OPTIONS] ID\n\n"
	"Changes the limits of a container that runs; others stay.\n\n"
	"  -r, --resources FILE         a \"resources\" object; - is standard input\n"
	"      --memory BYTES           memory.limit\n"
	"      --memory-reservation BYTES\n"
	"      --memory-swap BYTES      memory and swap; -1: none\n"
	"      --pids-limit N\n"
	"      --cpu-period US\n"
	"      --cpu-quota US           -1: none\n"
	"      --cpu-share N\n"
	"      --cpu-rt-period US\n"
	"      --cpu-rt-runtime US\n"
	"      --cpuset-cpus LIST\n"
	"      --cpuset-mems LIST\n"
	"      --blkio-weight N\n"
	"      --root DIR               directory of the records\n"
	"  -h, --help\n";

/* Option, and the place in "resources" that it fills. */
static const struct {
	const char *name, *group, *key;
	bool text;
} keys[] = {
	{ "memory", "memory", "limit", false },
	{ "memory-reservation", "memory", "reservation", false },
	{ "memory-swap", "memory", "swap", false },
	{ "pids-limit", "pids", "limit", false },
	{ "cpu-period", "cpu", "period", false },
	{ "cpu-quota", "cpu", "quota", false },
	{ "cpu-share", "cpu", "shares", false },
	{ "cpu-rt-period", "cpu", "realtimePeriod", false },
	{ "cpu-rt-runtime", "cpu", "realtimeRuntime", false },
	{ "cpuset-cpus", "cpu", "cpus", true },
	{ "cpuset-mems", "cpu", "mems", true },
	{ "blkio-weight", "blockIO", "weight", false },
};
#define N_KEYS (sizeof keys / sizeof *keys)
#define OPT_KEY 256

static int take_key(json_t *resources, size_t i)
{
	json_t *group = json_object_get(resources, keys[i].group);
	const char *digits = optarg[0] == '-' ? optarg + 1 : optarg;
	uint64_t n = 0;

	if (!group) {
		group = json_object();
		(void)json_object_set_new(resources, keys[i].group, group);
	}
	if (keys[i].text) {
		(void)json_object_set_new(group, keys[i].key, json_string(optarg));
		return 0;
	}
	if (num_parse_u64(digits, 0, INT64_MAX, &n) < 0)
		return oci_usage("update", "--%s takes a number", keys[i].name);
	(void)json_object_set_new(group, keys[i].key, json_integer(digits == optarg ? (json_int_t)n : -(json_int_t)n));
	return 0;
}

static int parse(int argc, char **argv, const char **ret_file, json_t *resources)
{
	struct option options[N_KEYS + 4] = {
		{ "resources", required_argument, NULL, 'r' },
		{ "root", required_argument, NULL, 'R' },
		{ "help", no_argument, NULL, 'h' },
	};
	int opt, rc = 0;

	for (size_t i = 0; i < N_KEYS; i++)
		options[i + 3] = (struct option){ keys[i].name, required_argument, NULL, OPT_KEY + (int)i };
	opterr = 0;
	while (rc == 0 && (opt = getopt_long(argc, argv, "r:h", options, NULL)) != -1) {
		if (opt == 'h')
			return OCI_HELP;
		if (opt == 'r')
			*ret_file = optarg;
		else if (opt == 'R')
			globals.root = optarg;
		else if (opt >= OPT_KEY)
			rc = take_key(resources, (size_t)(opt - OPT_KEY));
		else
			rc = oci_unknown(argv);
	}
	if (rc == 0 && argc - optind != 1)
		rc = oci_usage("update", "expected one id");
	if (rc == 0 && !*ret_file && json_object_size(resources) == 0)
		rc = oci_usage("update", "nothing to change was given");
	return rc;
}

/* As a file of engines has it: the object itself, or a configuration with "linux". */
static int read_file(const char *file, json_t **ret, struct err *e)
{
	bool input = strcmp(file, "-") == 0;
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	size_t len = 0;
	int rc = input ? fd_read_all(STDIN_FILENO, "standard input", JSON_FILE_MAX, &text, &len, e) :
			 json_doc_load(&doc, AT_FDCWD, file, NULL, e);

	if (input && rc == 0)
		rc = json_doc_parse(&doc, "standard input", text, len, e);
	if (rc < 0)
		return rc;
	*ret = json_incref(doc.root);
	json_doc_fini(&doc);
	return 0;
}

/* Of a document of its own, so that what is wrong can be named. */
static int read_resources(json_t *resources, struct bundle *b, struct err *e)
{
	json_t *linux_part = json_pack("{s:O}", "resources", resources);
	AUTO_FREE char *text = linux_part ? json_dumps(linux_part, JSON_INDENT(1)) : NULL;
	struct json_doc doc;
	struct jat at;
	int rc;

	json_decref(linux_part);
	if (!text)
		return err_num(e, ENOMEM, "resources");
	rc = json_doc_parse(&doc, "resources", text, strlen(text), e);
	if (rc < 0)
		return rc;
	at = json_root(&doc);
	rc = bundle_read_resources(b, &at, e);
	json_doc_fini(&doc);
	return rc < 0 ? rc : 0;
}

static int update(const char *id, json_t *resources, struct err *e)
{
	struct bundle b = { 0 };
	struct cgroup *cg = NULL;
	struct oci_target t;
	int rc = oci_open(id, &t, e);

	if (rc < 0)
		return rc;
	rc = read_resources(resources, &b, e);
	if (rc == 0 && t.status == STATE_STOPPED)
		rc = err_set(e, EINVAL, "container %s is stopped", id);
	if (rc == 0)
		rc = oci_cgroup(&t, &cg, e);
	if (rc == 0)
		rc = cgroup_update(cg, &b.resources, e);
	cgroup_free(&cg);
	bundle_fini(&b);
	oci_close(&t);
	return rc;
}

int cmd_update(int argc, char **argv)
{
	json_t *resources = json_object();
	const char *file = NULL;
	struct err e = { 0 };
	int rc = parse(argc, argv, &file, resources);

	if (rc == 0 && file) {
		json_decref(resources);
		resources = NULL;
		rc = read_file(file, &resources, &e) < 0 ? oci_fail(&e) : 0;
	}
	if (rc == 0 && update(argv[optind], resources, &e) < 0)
		rc = oci_fail(&e);
	json_decref(resources);
	return rc == OCI_HELP ? oci_help(help) : rc;
}
