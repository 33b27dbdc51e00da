/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/oci.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/globals.h"
#include "kern/cgroup.h"

int oci_root(char **ret_root, int *ret_dir, struct err *e)
{
	AUTO_FREE char *root = NULL;
	int fd, rc = state_root(globals.root, &root, e);

	if (rc < 0)
		return rc;
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "state directory %s", root);
	*ret_dir = fd;
	if (ret_root)
		*ret_root = mem_take(&root);
	return 0;
}

int oci_open(const char *id, struct oci_target *t, struct err *e)
{
	struct oci_target o = { .dir = -1 };
	int rc = oci_root(&o.root, &o.dir, e);

	if (rc == 0)
		rc = state_load(o.dir, id, &o.record, e);
	if (rc < 0) {
		fd_close(&o.dir);
		free(o.root);
		return rc;
	}
	o.status = kept_status(o.dir, &o.record);
	*t = o;
	return 0;
}

int oci_cgroup(const struct oci_target *t, struct cgroup **ret, struct err *e)
{
	const struct jat at = { .doc = &t->record.doc, .key = "cgroup", .val = t->record.cgroup };

	if (t->record.cgroup)
		return cgroup_restore(ret, &at, NULL, e);
	(void)err_set(e, ENOTSUP, "container %s has no cgroup", t->record.id);
	return err_hint(e, "it gets one with linux.resources or linux.cgroupsPath");
}

void oci_close(struct oci_target *t)
{
	state_record_fini(&t->record);
	fd_close(&t->dir);
	free(t->root);
	t->root = NULL;
}

json_t *oci_describe(const struct state_record *r, enum state_status status)
{
	const char *version = json_string_value(json_object_get(r->doc.root, "ociVersion"));
	struct tm tm;
	time_t when = (time_t)r->created;
	char created[32];
	json_t *o;

	(void)strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
	o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "ociVersion", version ? version : "1.2.0", "id", r->id, "pid",
		      status == STATE_STOPPED ? 0 : (int)r->pid, "status", kept_status_name(status), "bundle",
		      r->bundle, "created", created);
	if (o && r->root)
		(void)json_object_set_new(o, "rootfs", json_string(r->root));
	if (o)
		(void)json_object_set_new(o, "annotations", r->annotations ? json_deep_copy(r->annotations) : json_object());
	return o;
}

int oci_help(const char *text)
{
	return fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_OCI;
}

int oci_fail(const struct err *e)
{
	log_err(e);
	return EXIT_OCI;
}

int oci_usage(const char *command, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_error("%s: %s (see \"vrun %s --help\")", command, text, command);
	return EXIT_OCI;
}

const char *oci_refusal(const char *option)
{
	static const struct {
		const char *name, *why;
	} refused[] = {
		{ "no-pivot", "a program can leave a root that was only changed to: vrun always exchanges it" },
		{ "keep", "vrun run removes what it has made; vrun create and vrun start keep it" },
		{ "regex", "each container has to be named" },
		{ "cgroup", "what is put in has the container's cgroup and limits" },
		{ "kernel-memory", "Linux has no such limit any more; --memory counts the kernel's, too" },
		{ "kernel-memory-tcp", "Linux has no such limit any more; --memory counts the kernel's, too" },
		{ "l3-cache-schema", "vrun does not have linux.intelRdt" },
		{ "mem-bw-schema", "vrun does not have linux.intelRdt" },
	};
	size_t n;

	if (!option || strncmp(option, "--", 2) != 0)
		return NULL;
	n = strcspn(option + 2, "=");
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (strlen(refused[i].name) == n && strncmp(option + 2, refused[i].name, n) == 0)
			return refused[i].why;
	return NULL;
}

int oci_unknown(char **argv)
{
	const char *option = argv[optind - 1], *why = oci_refusal(option);

	if (why)
		return oci_usage(argv[0], "%.*s is not taken: %s", (int)strcspn(option, "="), option, why);
	return oci_usage(argv[0], "unknown option or missing value");
}

int oci_parse_plain(int argc, char **argv, const char *what, int min, int max)
{
	static const struct option options[] = {
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return OCI_HELP;
		if (opt != 'r')
			return oci_unknown(argv);
		globals.root = optarg;
	}
	if (argc - optind < min || argc - optind > max)
		return oci_usage(argv[0], "expected %s", what);
	return 0;
}

int oci_print(json_t *o)
{
	int rc = o && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? 0 : -1;

	json_decref(o);
	if (rc < 0)
		log_error("writing to standard output: %s", err_text(errno));
	return rc < 0 ? EXIT_OCI : 0;
}
