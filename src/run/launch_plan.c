/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plan.h"

#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kern/cgroup.h"
#include "kern/lsm.h"
#include "kern/path.h"
#include "kern/profile_cache.h"
#include "kern/profile_oci.h"
#include "kern/profile_setid.h"
#include "kern/traps.h"
#include "run/mask.h"
#include "run/namespaces.h"
#include "run/outside.h"
#include "run/policy_apply.h"

/* What config.json says is the bundle's wish; these would be the caller's deeds. */
static int check_hooks(const struct bundle *b, const struct launch_options *opt, struct err *e)
{
	for (int k = 0; k < HOOK_KINDS && !opt->hooks; k++) {
		if (k == HOOK_START_CONTAINER || b->hooks.n[k] == 0)
			continue;
		(void)err_set(e, EPERM, "the bundle has hooks: programs that run outside the sandbox, with your rights");
		return err_hint(e, "read \"hooks\" in its config.json, then say --hooks");
	}
	return 0;
}

static int check_supported(const struct bundle *b, struct err *e)
{
	if (!b->process.given) {
		(void)err_set(e, EINVAL, "the bundle has no process to run");
		return err_hint(e, "add \"process\" to config.json; vrun spec prints an example");
	}
	if (b->unsupported.n)
		return err_set(e, ENOTSUP, "the bundle asks for %s, which vrun does not have",
			       b->unsupported.v[0]);
	if (!b->ns[NS_MNT].listed || b->ns[NS_MNT].path) {
		(void)err_set(e, EINVAL, "the bundle does not ask for a new mount namespace");
		return err_hint(e, "add {\"type\": \"mount\"} to linux.namespaces");
	}
	return namespaces_check_sysctl(b, e);
}

/* What a module that is switched off would have to set is missing, unless it is said that it may. */
static int plan_label(const struct launch *l, enum lsm which, const char *what, const char *name, bool *ret,
		      struct err *e)
{
	char quoted[128];

	*ret = lsm_is_enabled(which);
	if (*ret)
		return 0;
	(void)log_quote(quoted, sizeof quoted, name);
	if (l->opt->best_effort) {
		log_warn("left out: %s %s, since %s is not enabled on this host", what, quoted, lsm_name(which));
		return 0;
	}
	(void)err_set(e, ENOTSUP, "%s %s: %s is not enabled on this host", what, quoted, lsm_name(which));
	return err_hint(e, "take it out of the bundle, or say --best-effort");
}

static int plan_labels(struct launch *l, struct err *e)
{
	const struct bundle *b = l->bundle;
	int rc = 0;

	/* Where nothing confines, that is so. */
	if (b->process.apparmor && strcmp(b->process.apparmor, "unconfined") != 0)
		rc = plan_label(l, LSM_APPARMOR, "process.apparmorProfile", b->process.apparmor, &l->apparmor, e);
	if (rc == 0 && b->process.selinux)
		rc = plan_label(l, LSM_SELINUX, "process.selinuxLabel", b->process.selinux, &l->selinux, e);
	if (rc == 0 && b->mount_label)
		rc = plan_label(l, LSM_SELINUX, "linux.mountLabel", b->mount_label, &l->selinux, e);
	return rc;
}

/* Rules hold for sockets in a namespace that nobody else has put anything into. */
static int check_supervisable(const struct bundle *b, struct err *e)
{
	static const enum ns_kind own[] = { NS_USER, NS_NET, NS_PID };

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (b->ns[own[i]].path) {
			(void)err_set(e, EINVAL, "a policy with rules, and a %s namespace of others (%s)",
				      bundle_ns_name(own[i]), b->ns[own[i]].path);
			return err_hint(e, "leave \"path\" out of linux.namespaces (an engine's --network none), or use \"net\": \"none\"");
		}
	if (!b->ns[NS_PID].listed) {
		(void)err_set(e, EINVAL, "a policy with rules needs a pid namespace: others could act for the app");
		return err_hint(e, "add {\"type\": \"pid\"} to linux.namespaces");
	}
	return 0;
}

static int resolve_dir(struct bundle *b, const char *path, const char *what, const char **ret,
		       struct err *e)
{
	char *joined = path[0] == '/' ? arena_strdup(&b->arena, path) :
					arena_printf(&b->arena, "%s/%s", b->dir, path);
	struct stat st;

	if (!joined)
		return err_num(e, ENOMEM, "%s", what);
	if (stat(joined, &st) < 0)
		return err_sys(e, "%s %s", what, joined);
	if (!S_ISDIR(st.st_mode))
		return err_num(e, ENOTDIR, "%s %s", what, joined);
	*ret = joined;
	return 0;
}

static int plan_overlay_dir(struct launch *l, const char *dir, struct err *e)
{
	static const char *const parts[] = { "upper", "work" };
	struct bundle *b = l->bundle;
	const char *path = dir[0] == '/' ? dir : arena_printf(&b->arena, "%s/%s", b->dir, dir);
	int rc;

	if (!path)
		return err_num(e, ENOMEM, "overlay directory");
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "overlay directory %s", path);
	rc = resolve_dir(b, path, "overlay directory", &l->overlay_dir, e);
	for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++) {
		const char *part = arena_printf(&b->arena, "%s/%s", path, parts[i]);

		if (!part || (mkdir(part, 0755) < 0 && errno != EEXIST))
			rc = err_sys(e, "overlay directory %s/%s", path, parts[i]);
	}
	l->root_kind = ROOT_OVERLAY_DIR;
	return rc;
}

static int plan_root_filesystem(struct launch *l, struct err *e)
{
	struct bundle *b = l->bundle;
	const char *overlay = bundle_annotation(b, "org.vrun.overlay");
	const char *owner = bundle_annotation(b, "org.vrun.owner");
	int rc;

	if (b->host_root) {
		l->root_kind = ROOT_HOST;
		l->root_dir = "/";
		return 0;
	}
	rc = resolve_dir(b, b->root_path, "root filesystem", &l->root_dir, e);
	if (rc < 0)
		return err_hint(e, "\"root.path\" of config.json names it, relative to the bundle");
	if (owner && strcmp(owner, "app") != 0)
		return err_set(e, EINVAL, "annotation org.vrun.owner: only \"app\" is known");
	l->owner_is_app = owner != NULL;
	if (!overlay)
		return 0;
	if (strcmp(overlay, "tmpfs") != 0)
		return plan_overlay_dir(l, overlay, e);
	l->root_kind = ROOT_OVERLAY_TMPFS;
	return 0;
}

/* Without a cache the launch is only slower. */
static int plan_bundle_filter(struct launch *l, struct err *e)
{
	AUTO_FD int cache = -1;
	struct profile_oci f;
	int rc;

	(void)profile_cache_open(l->opt->state_root, &cache, NULL);
	rc = profile_oci_build(&l->bundle->seccomp, cache, &f, e);
	if (rc < 0)
		return rc;
	l->filter = f.prog;
	l->filter_flags = f.flags;
	return 0;
}

/*
 * A bundle's own filter may allow what the policy does not. In a network
 * namespace of our making that leads nowhere; one that is joined may lead
 * anywhere, so its sockets are refused before the bundle's filter is asked.
 */
static int plan_wall(struct launch *l, struct err *e)
{
	static const struct bpf_cond is_unix = { .op = BPF_OP_EQ, .low32 = true, .value = AF_UNIX },
				     is_netlink = { .op = BPF_OP_EQ, .low32 = true, .value = AF_NETLINK };
	AUTO_FREE struct traps *t = calloc(1, sizeof *t);
	int rc;

	if (!t)
		return err_num(e, ENOMEM, "filter");
	t->rules[t->n++] = (struct bpf_rule){ __NR_socket, SECCOMP_RET_ALLOW, &is_unix, 1 };
	t->rules[t->n++] = (struct bpf_rule){ __NR_socket, SECCOMP_RET_ALLOW, &is_netlink, 1 };
	t->rules[t->n++] = (struct bpf_rule){ __NR_socket, SECCOMP_RET_ERRNO | EACCES, NULL, 0 };
	rc = traps_build(t, &l->traps, e);
	l->has_traps = rc == 0;
	return rc;
}

/* The supervisor's rules before whatever else there is. */
static int add_traps(unsigned needs, struct profile_params *p, struct traps **ret_traps, struct bpf_rule **ret_rules,
		     struct err *e)
{
	struct traps *t = *ret_traps = calloc(1, sizeof *t);
	struct bpf_rule *v;

	if (!t)
		return err_num(e, ENOMEM, "filter");
	traps_rules(needs, t);
	v = *ret_rules = calloc(t->n + p->n_extra, sizeof *v);
	if (!v)
		return err_num(e, ENOMEM, "filter");
	memcpy(v, t->rules, t->n * sizeof *v);
	if (p->n_extra)
		memcpy(v + t->n, p->extra, p->n_extra * sizeof *v);
	p->extra = v;
	p->n_extra += t->n;
	return 0;
}

static int plan_filter(struct launch *l, struct err *e)
{
	const struct bundle *b = l->bundle;
	struct profile_params params = { .net = l->opt->policy->net, .caps = l->caps };
	AUTO_FREE struct bpf_rule *rules = NULL;
	AUTO_FREE struct traps *traps = NULL;
	int rc = 0;

	/* A command of root's writes in root's own directories. */
	if (b->host_root && geteuid() == 0)
		params.extra = profile_setid_rules(&params.n_extra);
	if (l->supervised) {
		rc = add_traps(policy_needs(&l->opt->policy->policy), &params, &traps, &rules, e);
		if (rc < 0)
			return rc;
	}
	if (b->seccomp.given && b->seccomp.listener_path)
		return err_set(e, ENOTSUP, "linux.seccomp.listenerPath: this version of vrun does not hand listeners to other agents");
	if (b->seccomp.given) {
		rc = plan_bundle_filter(l, e);
		if (rc == 0 && l->supervised)
			rc = traps_build(traps, &l->traps, e);
		l->has_traps = rc == 0 && l->supervised;
		if (rc == 0 && !l->supervised && b->ns[NS_NET].path)
			rc = plan_wall(l, e);
	} else if (l->supervised) {
		rc = profile_default_build(&params, &l->filter, e);
	} else {
		l->profile = params;
	}
	l->has_filter = rc == 0;
	return rc;
}

/* A loopback of others is theirs, and what else is there. */
static int check_network(const struct bundle *b, const struct launch_options *opt, struct err *e)
{
	if (!b->ns[NS_NET].path || opt->policy->net == PROFILE_NET_NONE)
		return 0;
	(void)err_set(e, EINVAL, "a policy with a network of its own, and a network namespace of others (%s)",
		      b->ns[NS_NET].path);
	return err_hint(e, "leave \"path\" out of linux.namespaces, or use \"net\": \"none\"");
}

static void plan_namespaces(struct launch *l)
{
	struct bundle *b = l->bundle;

	/* Invariant: an app never has the host's network because somebody left a line out. */
	if (!b->ns[NS_NET].listed)
		b->ns[NS_NET].listed = true;
	/* A cgroup mount is to show the container's own part: that takes a namespace. */
	for (size_t i = 0; i < b->n_mounts; i++)
		if (!b->mounts[i].bind && strcmp(b->mounts[i].type, "cgroup") == 0)
			b->ns[NS_CGROUP].listed = true;
	for (int k = 0; k < NS_KINDS; k++)
		l->joins_by_path = l->joins_by_path || b->ns[k].path;
	l->network_from_keeper = !b->ns[NS_NET].path;
}

int launch_plan(struct launch *l, struct bundle *b, const struct launch_options *opt,
		struct err *e)
{
	int rc;

	*l = (struct launch){ .bundle = b, .opt = opt, .supervised = opt->policy->supervised, .root_fd = -1, .overlay_fd = -1, .network_sock = -1, .proc_fd = -1 };
	l->caps = b->process.caps.bounding | b->process.caps.permitted;
	l->mount_fds = calloc(b->n_mounts + 1, sizeof *l->mount_fds);
	if (!l->mount_fds)
		return err_num(e, ENOMEM, "launch");
	for (size_t i = 0; i < b->n_mounts; i++)
		l->mount_fds[i] = -1;
	outside_plan(l);
	rc = check_supported(b, e);
	if (rc == 0)
		rc = plan_labels(l, e);
	if (rc == 0)
		rc = check_hooks(b, opt, e);
	if (rc == 0 && l->supervised)
		rc = check_supervisable(b, e);
	else if (rc == 0)
		rc = check_network(b, opt, e);
	if (rc == 0) {
		plan_namespaces(l);
		rc = plan_root_filesystem(l, e);
	}
	if (rc == 0)
		rc = plan_ids(l, e);
	l->joins = l->joins_by_path || l->supervised;
	l->own_users = l->map_writer != MAP_NONE || b->ns[NS_USER].path;
	if (rc == 0)
		rc = plan_filter(l, e);
	if (rc == 0)
		rc = mask_plan_state(l, e);
	return rc;
}

void launch_fini(struct launch *l)
{
	for (size_t i = 0; l->mount_fds && i < l->bundle->n_mounts; i++)
		fd_close(&l->mount_fds[i]);
	free(l->mount_fds);
	l->mount_fds = NULL;
	fd_close(&l->root_fd);
	fd_close(&l->overlay_fd);
	fd_close(&l->proc_fd);
	bpf_prog_fini(&l->filter);
	bpf_prog_fini(&l->traps);
	cgroup_free(&l->cgroup);
	free(l->start_state);
	l->start_state = NULL;
}
