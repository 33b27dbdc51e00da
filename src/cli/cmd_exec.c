/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "model/bundle.h"
#include "kern/path.h"
#include "run/exec.h"
#include "run/hostrun.h"
#include "run/policy_apply.h"
#include "run/selfexe.h"

#define EXIT_EXEC 255 /* as runc ends when there is no process whose status it could be */

static const char help[] =
	"Usage: vrun exec [OPTIONS] ID CMD [ARGS]\n"
	"       vrun exec [OPTIONS] -p FILE ID\n\n"
	"Runs one more process in a container of \"vrun create\" or a sandbox of \"vrun run\",\n"
	"under its filter and policy.\n\n"
	"  -p, --process FILE         its \"process\" object (default: the container's, with CMD)\n"
	"  -t, --tty                  give it a terminal\n"
	"  -d, --detach               return when it has been executed\n"
	"      --cwd DIR              its working directory\n"
	"  -e, --env KEY=VALUE        set a variable\n"
	"  -u, --user UID[:GID]       its user\n"
	"  -g, --additional-gids GID  one more group\n"
	"  -c, --cap NAME             one more capability\n"
	"      --no-new-privs         as process.noNewPrivileges\n"
	"      --apparmor PROFILE     as process.apparmorProfile\n"
	"      --process-label LABEL  as process.selinuxLabel\n"
	"      --pid-file FILE        write its pid\n"
	"      --console-socket PATH  send the terminal's controlling side to this Unix socket\n"
	"      --preserve-fds N       hand N more descriptors, from 3 on, to it\n"
	"      --ignore-paused        also when the container is paused\n"
	"      --root DIR             directory of the records\n"
	"  -h, --help\n";

struct exec_args {
	struct launch_options launch;
	struct exec_target target;
	const char *id, *file, *cwd, *user, *apparmor, *selinux;
	char **argv; /* NULL with a file */
	json_t *env, *caps, *gids;
	bool tty, no_new_privs, ignore_paused;
};

enum { OPT_CWD = 256, OPT_NO_NEW_PRIVS, OPT_PID_FILE, OPT_CONSOLE, OPT_PRESERVE, OPT_IGNORE_PAUSED, OPT_ROOT, OPT_APPARMOR, OPT_LABEL };

static const struct option options[] = {
	{ "process", required_argument, NULL, 'p' },
	{ "tty", no_argument, NULL, 't' },
	{ "detach", no_argument, NULL, 'd' },
	{ "cwd", required_argument, NULL, OPT_CWD },
	{ "env", required_argument, NULL, 'e' },
	{ "user", required_argument, NULL, 'u' },
	{ "additional-gids", required_argument, NULL, 'g' },
	{ "cap", required_argument, NULL, 'c' },
	{ "no-new-privs", no_argument, NULL, OPT_NO_NEW_PRIVS },
	{ "apparmor", required_argument, NULL, OPT_APPARMOR },
	{ "process-label", required_argument, NULL, OPT_LABEL },
	{ "pid-file", required_argument, NULL, OPT_PID_FILE },
	{ "console-socket", required_argument, NULL, OPT_CONSOLE },
	{ "preserve-fds", required_argument, NULL, OPT_PRESERVE },
	{ "ignore-paused", no_argument, NULL, OPT_IGNORE_PAUSED },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int take_number(json_t *list, int *to, uint64_t max)
{
	uint64_t n;

	if (num_parse_u64(optarg, 0, max, &n) < 0)
		return oci_usage("exec", "\"%s\" is no number from 0 to %llu", optarg, (unsigned long long)max);
	if (list)
		(void)json_array_append_new(list, json_integer((json_int_t)n));
	else if (to)
		*to = (int)n;
	return 0;
}

static int take_flag(struct exec_args *a, int opt)
{
	switch (opt) {
	case 't':
		a->tty = true;
		return 0;
	case 'd':
		a->target.detach = a->launch.outlives = true;
		return 0;
	case OPT_NO_NEW_PRIVS:
		a->no_new_privs = true;
		return 0;
	case OPT_IGNORE_PAUSED:
		a->ignore_paused = true;
		return 0;
	default:
		return oci_usage("exec", "unknown option or missing value");
	}
}

static int take_option(struct exec_args *a, int opt)
{
	switch (opt) {
	case 'p':
		a->file = optarg;
		return 0;
	case 'e':
		return json_array_append_new(a->env, json_string(optarg)) < 0 ?
			       oci_usage("exec", "--env takes KEY=VALUE in UTF-8") :
			       0;
	case 'u':
		a->user = optarg;
		return 0;
	case 'g':
		return take_number(a->gids, NULL, UINT32_MAX);
	case 'c':
		(void)json_array_append_new(a->caps, json_string(optarg));
		return 0;
	case OPT_CWD:
		a->cwd = optarg;
		return 0;
	case OPT_APPARMOR:
		a->apparmor = optarg;
		return 0;
	case OPT_LABEL:
		a->selinux = optarg;
		return 0;
	case OPT_PID_FILE:
		a->launch.pid_file = optarg;
		return 0;
	case OPT_CONSOLE:
		a->launch.console_socket = optarg;
		return 0;
	case OPT_PRESERVE:
		return take_number(NULL, &a->launch.preserve_fds, 1024);
	case OPT_ROOT:
		globals.root = optarg;
		return 0;
	default:
		return take_flag(a, opt);
	}
}

static int parse(struct exec_args *a, int argc, char **argv)
{
	int opt, rc;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+p:tde:u:g:c:h", options, NULL)) != -1) {
		if (opt == 'h')
			return OCI_HELP;
		if (opt == '?')
			return oci_unknown(argv);
		rc = take_option(a, opt);
		if (rc != 0)
			return rc;
	}
	if (optind >= argc || (a->file ? argc - optind > 1 : argc - optind < 2))
		return oci_usage("exec", "expected an id and a command, or --process and an id");
	a->id = argv[optind];
	a->argv = a->file ? NULL : argv + optind + 1;
	return 0;
}

/* --- the process ---------------------------------------------------------------------- */

static int set_user(json_t *process, const char *text, struct err *e)
{
	json_t *user = json_object_get(process, "user");
	size_t n = strcspn(text, ":");
	AUTO_FREE char *first = strndup(text, n);
	uint64_t uid, gid;

	if (!first || num_parse_u64(first, 0, UINT32_MAX - 1, &uid) < 0 ||
	    (text[n] && num_parse_u64(text + n + 1, 0, UINT32_MAX - 1, &gid) < 0)) {
		(void)err_set(e, EINVAL, "--user takes UID[:GID], both numbers");
		return err_hint(e, "names are those of the container's files, which other commands know: id NAME");
	}
	(void)json_object_set_new(user, "uid", json_integer((json_int_t)uid));
	if (text[n])
		(void)json_object_set_new(user, "gid", json_integer((json_int_t)gid));
	return 0;
}

static void add_caps(json_t *process, const json_t *names)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	json_t *caps = json_object_get(process, "capabilities"), *name;
	size_t k;

	if (json_array_size(names) == 0)
		return;
	if (!caps) {
		caps = json_object();
		(void)json_object_set_new(process, "capabilities", caps);
	}
	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
		json_t *set = json_object_get(caps, sets[i]);

		if (!set) {
			set = json_array();
			(void)json_object_set_new(caps, sets[i], set);
		}
		json_array_foreach((json_t *)(uintptr_t)names, k, name)
			(void)json_array_append(set, name);
	}
}

static void extend(json_t *object, const char *key, json_t *more)
{
	json_t *list = json_object_get(object, key);

	if (!list) {
		list = json_array();
		(void)json_object_set_new(object, key, list);
	}
	(void)json_array_extend(list, more);
}

/* The container's own with what the command line says. */
static int change_process(const struct exec_args *a, json_t *process, struct err *e)
{
	json_t *args = json_array();

	for (char **p = a->argv; *p; p++)
		if (json_array_append_new(args, json_string(*p)) < 0) {
			json_decref(args);
			return err_set(e, EINVAL, "an argument is not UTF-8");
		}
	(void)json_object_set_new(process, "args", args);
	(void)json_object_set_new(process, "terminal", json_boolean(a->tty));
	extend(process, "env", a->env);
	add_caps(process, a->caps);
	if (!json_object_get(process, "user"))
		(void)json_object_set_new(process, "user", json_object());
	extend(json_object_get(process, "user"), "additionalGids", a->gids);
	if (a->cwd)
		(void)json_object_set_new(process, "cwd", json_string(a->cwd));
	if (a->apparmor)
		(void)json_object_set_new(process, "apparmorProfile", json_string(a->apparmor));
	if (a->selinux)
		(void)json_object_set_new(process, "selinuxLabel", json_string(a->selinux));
	if (a->no_new_privs)
		(void)json_object_set_new(process, "noNewPrivileges", json_true());
	return a->user ? set_user(process, a->user, e) : 0;
}

static int make_process(const struct exec_args *a, const json_t *config, json_t **ret, struct err *e)
{
	struct json_doc doc;
	int rc;

	if (a->file) {
		rc = json_doc_load(&doc, AT_FDCWD, a->file, NULL, e);
		if (rc < 0)
			return rc;
		*ret = json_incref(doc.root);
		json_doc_fini(&doc);
		if (a->tty)
			(void)json_object_set_new(*ret, "terminal", json_true());
		return 0;
	}
	*ret = json_deep_copy(json_object_get(config, "process"));
	rc = *ret ? change_process(a, *ret, e) : err_set(e, EINVAL, "the container's configuration has no process");
	if (rc < 0)
		json_decref(*ret);
	return rc;
}

/* The container's configuration with another process. */
static int read_changed(const struct exec_args *a, const struct state_record *r, const struct json_doc *config,
			struct bundle *ret, struct err *e)
{
	json_t *process = NULL, *whole;
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	int rc = make_process(a, config->root, &process, e);

	if (rc < 0)
		return rc;
	whole = json_copy(config->root);
	(void)json_object_set_new(whole, "process", process);
	(void)json_object_del(whole, "hooks");
	text = whole ? json_dumps(whole, JSON_INDENT(1)) : NULL;
	json_decref(whole);
	if (!text)
		return err_num(e, ENOMEM, "process");
	rc = json_doc_parse(&doc, a->file ? a->file : "process", text, strlen(text), e);
	if (rc < 0)
		return rc;
	rc = bundle_read(ret, r->bundle, &doc, e);
	json_doc_fini(&doc);
	return rc;
}

/* --- running it ------------------------------------------------------------------------ */

static int check(const struct exec_args *a, const struct oci_target *t, const struct bundle *b, struct err *e)
{
	if (b->process.terminal && a->target.detach && !a->launch.console_socket)
		return err_set(e, EINVAL, "--detach with a terminal, and no --console-socket to send it to");
	if (!b->process.terminal && a->launch.console_socket)
		return err_set(e, EINVAL, "--console-socket, but the process has no terminal");
	if (t->status == STATE_PAUSED && !a->ignore_paused) {
		(void)err_set(e, EBUSY, "container %s is paused", a->id);
		return err_hint(e, "vrun resume, or --ignore-paused");
	}
	if (t->status != STATE_RUNNING && t->status != STATE_PAUSED && t->status != STATE_CREATED)
		return err_set(e, EINVAL, "container %s is %s: nothing can be put into it", a->id,
			       kept_status_name(t->status));
	return 0;
}

/* A policy that is in the record, as a file. */
static int as_file(const json_t *o, char path[static PATH_FD_SIZE], int *ret_fd, struct err *e)
{
	AUTO_FD int fd = memfd_create("policy.json", MFD_CLOEXEC);

	if (fd < 0 || json_dumpfd(o, fd, JSON_INDENT(1)) < 0)
		return err_sys(e, "memory for the policy");
	*ret_fd = fd_take(&fd);
	(void)path_of_fd(*ret_fd, path);
	return 0;
}

/* The policy that the sandbox was started with: what its filter traps was made from that. */
static int apply_policy(const struct oci_target *t, struct bundle *b, struct policy_applied *ret, struct err *e)
{
	AUTO_FREE char *file = NULL, *ceiling = NULL;
	const enum log_level level = log_get_level();
	int fds[2] = { -1, -1 };
	char paths[2][PATH_FD_SIZE];
	int rc;

	if (t->record.kept) {
		file = kept_policy(t->root, t->record.id, false);
		ceiling = kept_policy(t->root, t->record.id, true);
		return policy_apply(b, file, ceiling, NULL, ret, e);
	}
	/* What there is to warn of was said when it was started. */
	log_set_level(LOG_LEVEL_ERROR);
	rc = as_file(t->record.policy, paths[0], &fds[0], e);
	if (rc == 0 && t->record.ceiling)
		rc = as_file(t->record.ceiling, paths[1], &fds[1], e);
	if (rc == 0)
		rc = policy_apply(b, paths[0], t->record.ceiling ? paths[1] : NULL, NULL, ret, e);
	log_set_level(level);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return rc;
}

static int run(struct exec_args *a, const struct oci_target *t, struct bundle *b, struct bundle *original,
	       int *ret_code, struct err *e)
{
	struct policy_applied policy;
	struct cap_sets caps;
	struct launch l;
	int rc = check(a, t, b, e);

	if (rc == 0)
		rc = apply_policy(t, b, &policy, e);
	if (rc < 0)
		return rc;
	a->launch.policy = &policy;
	a->launch.state_root = t->root;
	a->launch.host_users = t->record.kept ? !b->ns[NS_USER].listed : t->record.host_users;
	a->launch.subordinate = t->record.kept || t->record.config;
	a->target.state_fd = t->dir;
	a->target.record = &t->record;
	/* Ids are planned by the container's own user, as they were, and walls by what its app may do. */
	a->target.user = b->process.user;
	b->process.user = original->process.user;
	caps = b->process.caps;
	b->process.caps = original->process.caps;
	rc = launch_plan(&l, b, &a->launch, e);
	b->process.caps = caps;
	if (rc == 0)
		rc = selfexe_protect(&l, globals.argv, e);
	if (rc == 0)
		rc = exec_run(&l, &a->target, ret_code, e);
	launch_fini(&l);
	policy_applied_fini(&policy);
	return rc;
}

/* Takes the configuration. */
static int exec_bundle(struct exec_args *a, const struct oci_target *t, struct json_doc *config, int *ret_code,
		       struct err *e)
{
	struct bundle b, original;
	int rc = bundle_read(&original, t->record.bundle, config, e);

	if (rc == 0) {
		rc = read_changed(a, &t->record, config, &b, e);
		if (rc == 0) {
			rc = run(a, t, &b, &original, ret_code, e);
			bundle_fini(&b);
		}
		bundle_fini(&original);
	}
	json_doc_fini(config);
	return rc;
}

/* In a sandbox of "vrun run -- CMD": a command as that would start it, in the same directory. */
static int exec_command(struct exec_args *a, const struct oci_target *t, int *ret_code, struct err *e)
{
	size_t n = json_array_size(a->env);
	AUTO_FREE const char **env = calloc(n + 1, sizeof *env);
	struct hostrun_options o = { .argv = a->argv, .cwd = HOSTRUN_CWD_NONE, .env = env, .n_env = n, .terminal = a->tty, .state_root = t->root };
	struct bundle b;
	int rc;

	if (!env)
		return err_num(e, ENOMEM, "environment");
	for (size_t i = 0; i < n; i++)
		env[i] = json_string_value(json_array_get(a->env, i));
	if (a->file || a->user || json_array_size(a->gids) || json_array_size(a->caps)) {
		(void)err_set(e, EINVAL, "%s runs a command of this host", a->id);
		return err_hint(e, "what is put in is one, too: it has your identity, no capabilities, and no --process, --user, --additional-gids or --cap");
	}
	rc = hostrun_bundle(&b, &o, e);
	if (rc < 0)
		return rc;
	b.process.cwd = a->cwd ? a->cwd : t->record.cwd;
	b.process.apparmor = a->apparmor;
	b.process.selinux = a->selinux;
	rc = run(a, t, &b, &b, ret_code, e);
	bundle_fini(&b);
	return rc;
}

static int exec_in(struct exec_args *a, int *ret_code, struct err *e)
{
	struct json_doc config;
	struct oci_target t;
	int rc = oci_open(a->id, &t, e);

	if (rc < 0)
		return rc;
	if (t.record.kept)
		rc = kept_config(t.dir, a->id, &config, e);
	else if (!t.record.policy || (!t.record.config && !t.record.cwd))
		rc = err_set(e, ENOTSUP, "the record of %s does not say how it is confined (config.json above 1 MiB, or an older vrun)", a->id);
	else if (t.record.config)
		rc = json_doc_parse(&config, "config.json", t.record.config, strlen(t.record.config), e);
	if (rc == 0)
		rc = t.record.kept || t.record.config ? exec_bundle(a, &t, &config, ret_code, e) :
							exec_command(a, &t, ret_code, e);
	oci_close(&t);
	return rc;
}

int cmd_exec(int argc, char **argv)
{
	struct exec_args a = { .launch = { .init = true, .engine = true, .started_fd = -1 } };
	struct err e = { 0 };
	int rc, code = EXIT_EXEC;

	a.env = json_array();
	a.caps = json_array();
	a.gids = json_array();
	rc = parse(&a, argc, argv);
	a.launch.id = a.id;
	if (rc == OCI_HELP)
		code = oci_help(help);
	else if (rc == 0 && exec_in(&a, &code, &e) < 0)
		log_err(&e);
	json_decref(a.env);
	json_decref(a.caps);
	json_decref(a.gids);
	return code;
}
