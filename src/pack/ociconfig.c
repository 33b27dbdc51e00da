/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/ociconfig.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "base/log.h"

#define NAME_LEN_MAX 63U /* a DNS label */

const char *const ociconfig_mount_points[] = { "/proc", "/dev", "/tmp", NULL };

bool ociconfig_name_ok(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= NAME_LEN_MAX && text[0] != '-' && text[n - 1] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

const char *ociconfig_name(const char *file, char *buf)
{
	const char *dot = strrchr(file, '.');
	size_t at = 0;

	for (const char *p = file; *p && p != (dot > file ? dot : NULL) && at < NAME_LEN_MAX; p++) {
		bool plain = (unsigned char)*p < 0x80 && isalnum((unsigned char)*p);

		if (plain)
			buf[at++] = (char)tolower((unsigned char)*p);
		else if (at > 0 && buf[at - 1] != '-')
			buf[at++] = '-';
	}
	while (at > 0 && buf[at - 1] == '-')
		at--;
	buf[at] = '\0';
	if (at == 0)
		memcpy(buf, "app", 4);
	return buf;
}

static json_t *strings(const char *const *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(a, json_string(v[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

json_t *ociconfig_cap(int cap)
{
	char *name = cap_to_name(cap);
	json_t *text;

	if (!name)
		return NULL;
	for (char *p = name; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	text = json_string(name);
	(void)cap_free(name);
	return text;
}

static json_t *capabilities(const struct ociconfig *c)
{
	static const char *const always[] = { "bounding", "effective", "permitted" };
	json_t *set = json_array(), *all = json_object();

	for (int cap = 0; cap < 64; cap++)
		if (c->caps >> cap & 1)
			(void)json_array_append_new(set, ociconfig_cap(cap));
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		(void)json_object_set(all, always[i], set);
	/* Only through these two does a user other than root keep them over execve(2). */
	(void)json_object_set_new(all, "inheritable", c->uid ? json_incref(set) : json_array());
	(void)json_object_set_new(all, "ambient", c->uid ? json_incref(set) : json_array());
	json_decref(set);
	return all;
}

static json_t *process(const struct ociconfig *c)
{
	return json_pack("{s:b, s:{s:I, s:I}, s:o, s:o, s:s, s:o, s:b}", "terminal", 0, "user",
			 "uid", (json_int_t)c->uid, "gid", (json_int_t)c->gid, "args",
			 strings(c->args, c->n_args), "env", strings(c->env, c->n_env), "cwd", c->cwd,
			 "capabilities", capabilities(c), "noNewPrivileges", 1);
}

static int add_mount(json_t *list, const char *dest, const char *type, const char *source,
		     const char *const *options)
{
	size_t n = 0;

	while (options[n])
		n++;
	return json_array_append_new(list,
				     json_pack("{s:s, s:s, s:s, s:o}", "destination", dest, "type",
					       type, "source", source, "options", strings(options, n)));
}

/* Memory or data at a path of the bundle. */
struct own_mount {
	const char *dest;
	size_t data; /* index + 1; 0: memory */
};

static int by_dest(const void *a, const void *b)
{
	return strcmp(((const struct own_mount *)a)->dest, ((const struct own_mount *)b)->dest);
}

/* In order of their paths, so that none hides one that lies below it. */
static int add_own_mounts(const struct ociconfig *c, json_t *list)
{
	static const char *const memory[] = { "nosuid", "nodev", "mode=755", NULL };
	static const char *const data[] = { "bind", "rw", "nosuid", "nodev", NULL };
	struct own_mount *v = calloc(c->n_tmpfs + c->n_data + 1, sizeof *v);
	char source[32];
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_tmpfs; i++)
		v[n++] = (struct own_mount){ .dest = c->tmpfs[i] };
	for (size_t i = 0; i < c->n_data; i++)
		v[n++] = (struct own_mount){ .dest = c->data_dest[i], .data = i + 1 };
	qsort(v, n, sizeof *v, by_dest);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(source, sizeof source, "data/%zu", v[i].data - 1);
		(void)add_mount(list, v[i].dest, v[i].data ? "bind" : "tmpfs",
				v[i].data ? source : "tmpfs", v[i].data ? data : memory);
	}
	free(v);
	return 0;
}

/* The kernel's filesystems, then what is this bundle's own. */
static json_t *mounts(const struct ociconfig *c)
{
	static const struct {
		const char *dest, *type, *source;
		const char *options[8];
	} fixed[] = {
		{ "/proc", "proc", "proc", { "nosuid", "noexec", "nodev" } },
		{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
		{ "/dev/pts", "devpts", "devpts",
		  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" } },
		{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777" } },
		{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
		{ "/tmp", "tmpfs", "tmpfs", { "nosuid", "nodev", "mode=1777" } },
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (!c->own_tmp || strcmp(fixed[i].dest, "/tmp") != 0)
			(void)add_mount(list, fixed[i].dest, fixed[i].type, fixed[i].source,
					fixed[i].options);
	if (add_own_mounts(c, list) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *linux_part(void)
{
	static const char *const spaces[] = { "pid", "network", "ipc", "uts", "mount", "user", "cgroup" };
	static const char *const masked[] = { "/proc/acpi",	   "/proc/asound",     "/proc/kcore",
					      "/proc/keys",	   "/proc/latency_stats", "/proc/timer_list",
					      "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
					      "/sys/firmware",	   "/sys/devices/virtual/powercap" };
	static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
						 "/proc/sysrq-trigger" };
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
		(void)json_array_append_new(list, json_pack("{s:s}", "type", spaces[i]));
	return json_pack("{s:o, s:o, s:o}", "namespaces", list, "maskedPaths",
			 strings(masked, sizeof masked / sizeof *masked), "readonlyPaths",
			 strings(read_only, sizeof read_only / sizeof *read_only));
}

static json_t *annotations(const struct ociconfig *c)
{
	/* Everything in the bundle belongs to its owner; this says that the owner is the app. */
	json_t *a = json_pack("{s:s}", "org.vrun.owner", "app");

	if (!c->read_only)
		(void)json_object_set_new(a, "org.vrun.overlay", json_string("tmpfs"));
	return a;
}

static int dump(json_t *doc, char **ret_text, struct err *e)
{
	char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL, *line;
	int n;

	json_decref(doc);
	if (!text) /* the strings were looked at before */
		return err_num(e, ENOMEM, "config.json");
	n = asprintf(&line, "%s\n", text);
	free(text);
	if (n < 0)
		return err_num(e, ENOMEM, "config.json");
	*ret_text = line;
	return 0;
}

/* JSON holds nothing but UTF-8. */
static int check_text(const char *what, const char *text, struct err *e)
{
	json_t *s = json_string(text);
	char quoted[512];

	if (s) {
		json_decref(s);
		return 0;
	}
	return err_set(e, EINVAL, "%s %s is not valid UTF-8, which config.json has to be", what,
		       log_quote(quoted, sizeof quoted, text));
}

static int check_texts(const struct ociconfig *c, struct err *e)
{
	int rc = check_text("the working directory", c->cwd, e);

	for (size_t i = 0; rc == 0 && i < c->n_args; i++)
		rc = check_text("the argument", c->args[i], e);
	for (size_t i = 0; rc == 0 && i < c->n_env; i++)
		rc = check_text("the variable", c->env[i], e);
	for (size_t i = 0; rc == 0 && i < c->n_data; i++)
		rc = check_text("the destination", c->data_dest[i], e);
	for (size_t i = 0; rc == 0 && i < c->n_tmpfs; i++)
		rc = check_text("the directory", c->tmpfs[i], e);
	return rc;
}

int ociconfig_write(const struct ociconfig *c, char **ret_text, struct err *e)
{
	int rc = check_texts(c, e);

	if (rc < 0)
		return rc;
	return dump(json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o, s:o}", "ociVersion", "1.2.0",
			      "process", process(c), "root", "path", "rootfs", "readonly",
			      c->read_only, "hostname", c->name, "mounts", mounts(c), "annotations",
			      annotations(c), "linux", linux_part()),
		    ret_text, e);
}

int ociconfig_write_policy(const struct ociconfig *c, char **ret_text, struct err *e)
{
	return dump(json_pack("{s:i, s:s, s:s}", "version", 1, "domain", c->name, "net", "none"),
		    ret_text, e);
}
