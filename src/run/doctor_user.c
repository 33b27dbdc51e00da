/* SPDX-License-Identifier: Apache-2.0 */
/* What one user gets. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "run/doctor.h"

#define FILES_WANTED 4096 /* descriptors that a supervisor with a few hundred sockets holds */

static bool refused(int result)
{
	return result == EPERM || result == EACCES;
}

/* Whether a text can stand in a shell command as it is. */
static bool plain(const char *text)
{
	return *text && *text != '-' &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-")] ==
		       '\0';
}

/* The user's name for a command, else the number. */
static const char *name_or_uid(const struct probe_user *u, char *buf, size_t size)
{
	if (plain(u->name))
		return u->name;
	(void)snprintf(buf, size, "%u", u->uid);
	return buf;
}

/* --- user namespaces --- */

static void fix_sysctl(struct doctor_judge *j, struct doctor_finding *d, const char *name,
		       const char *value)
{
	doctor_fix(j, d, "echo '%s = %s' | SUDO tee -a /etc/sysctl.d/60-vrun.conf", name, value);
	doctor_fix(j, d, "SUDO sysctl -w %s=%s", name, value);
}

/* A limit on namespaces is reached, ours or that of a user namespace above us. */
static void fix_limit(struct doctor_judge *j, struct doctor_finding *d, enum ns_kind kind)
{
	int64_t now = j->f->host.max_ns[kind];
	char name[64], value[24];

	(void)snprintf(name, sizeof name, "user.max_%s_namespaces", probe_max_ns_name(kind));
	(void)snprintf(value, sizeof value, "%" PRId64, now > 0 ? now * 2 : 15000);
	fix_sysctl(j, d, name, value);
}

/* Ubuntu: the namespace is made, but its capabilities are taken away unless a profile says otherwise. */
static void fix_apparmor(struct doctor_judge *j, struct doctor_finding *d)
{
	const char *self = plain(j->f->self) ? j->f->self : "/usr/bin/vrun";

	doctor_fix(j, d,
		   "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile vrun \"%s\" "
		   "flags=(unconfined) {\\n  userns,\\n}\\n' | SUDO tee /etc/apparmor.d/vrun",
		   self);
	doctor_fix(j, d, "SUDO apparmor_parser -r /etc/apparmor.d/vrun");
}

/* The cause of a refused user namespace, from what the host's switches say. */
static void explain_user_ns(struct doctor_judge *j, struct doctor_finding *d,
			    const struct probe_user *u)
{
	const struct probe_host *h = &j->f->host;

	if (u->user_ns == ENOSPC || h->max_ns[NS_USER] == 0)
		fix_limit(j, d, NS_USER);
	if (u->uid != 0 && h->userns_clone == 0)
		fix_sysctl(j, d, "kernel.unprivileged_userns_clone", "1");
	if (u->uid != 0 && h->apparmor_userns == 1)
		fix_apparmor(j, d);
	if (d->n_fix == 0 && !h->filtered && h->selinux_enforcing == 1)
		doctor_fix(j, d,
			   "SUDO ausearch -m avc -ts recent | audit2allow -M vrun && SUDO semodule -i vrun.pp");
}

static const char *switch_of_user_ns(const struct probe_host *h, const struct probe_user *u)
{
	if (h->max_ns[NS_USER] == 0)
		return " (user.max_user_namespaces is 0)";
	if (u->uid != 0 && h->userns_clone == 0)
		return " (kernel.unprivileged_userns_clone is 0)";
	if (u->uid != 0 && h->apparmor_userns == 1)
		return " (kernel.apparmor_restrict_unprivileged_userns is 1)";
	if (h->filtered)
		return " (a system-call filter is in force: start vrun outside of it)";
	if (h->selinux_enforcing == 1)
		return " (SELinux is enforcing)";
	return "";
}

/* Whether user namespaces work; the rest of the user's findings builds on it. */
static bool judge_user_ns(struct doctor_judge *j, const struct probe_user *u)
{
	const struct probe_host *h = &j->f->host;
	struct doctor_finding *d;
	const char *what = "made, ids mapped";
	int result = u->user_ns ? u->user_ns : u->map;

	if (u->user_ns)
		what = "cannot be made";
	else if (u->map)
		what = "made, but no ids can be mapped";
	else if (refused(u->ns[NS_MNT])) {
		what = "made, but without capabilities";
		result = u->ns[NS_MNT];
	}
	if (result == 0) {
		(void)doctor_add(j, u, "user-namespaces", "user namespaces", "%s", what);
		return true;
	}
	if (u->uid == 0 && !u->user_ns && u->map && u->ids < UINT32_MAX) {
		d = doctor_add(j, u, "user-namespaces", "user namespaces",
			       "made, but root of this user namespace has only %" PRIu64
			       " ids to give",
			       u->ids);
		doctor_worse(j, d, DOCTOR_MISSING,
			     "no sandbox can be made but with --host-users, which maps none");
		return false;
	}
	d = doctor_add(j, u, "user-namespaces", "user namespaces", "%s: %s%s", what,
		       doctor_reason(result), switch_of_user_ns(h, u));
	doctor_worse(j, d, DOCTOR_MISSING, "no sandbox can be made");
	explain_user_ns(j, d, u);
	return false;
}

/* --- the other kinds --- */

static void judge_kinds(struct doctor_judge *j, const struct probe_user *u)
{
	char list[200] = "";
	struct doctor_finding *d;

	for (int k = 0; k < NS_KINDS; k++) {
		enum ns_kind kind = (enum ns_kind)k;
		size_t n = strlen(list);

		if (kind == NS_USER || u->ns[k] == 0) {
			if (kind != NS_USER)
				(void)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "",
					       bundle_ns_name(kind));
			continue;
		}
		d = doctor_add(j, u, "namespaces", "namespaces", "%s: %s%s", bundle_ns_name(kind),
			       doctor_reason(u->ns[k]),
			       j->f->host.max_ns[k] == 0 ? " (its limit is 0)" : "");
		if (kind == NS_TIME)
			doctor_worse(j, d, DOCTOR_DEGRADED, "bundles with time offsets are refused");
		else
			doctor_worse(j, d, DOCTOR_MISSING, "every sandbox has one");
		if (u->ns[k] == ENOSPC)
			fix_limit(j, d, kind);
	}
	if (*list)
		(void)doctor_add(j, u, "namespaces", "namespaces", "%s", list);
}

/* --- mounts --- */

static void judge_mounts(struct doctor_judge *j, const struct probe_user *u)
{
	struct doctor_finding *d;

	if (u->mount_tmpfs || u->mount_proc) {
		d = doctor_add(j, u, "mounts", "mounts", "%s: %s", u->mount_tmpfs ? "tmpfs" : "proc",
			       doctor_reason(u->mount_tmpfs ? u->mount_tmpfs : u->mount_proc));
		doctor_worse(j, d, DOCTOR_MISSING, "every sandbox mounts them");
		/* The kernel mounts no fresh proc where the visible one has parts hidden. */
		if (!u->mount_tmpfs && u->mount_proc == EPERM)
			doctor_fix(j, d,
				   "# this is a container whose /proc is masked: start it with "
				   "--security-opt unmask=ALL (podman) or systempaths=unconfined (docker)");
	} else {
		(void)doctor_add(j, u, "mounts", "mounts", "tmpfs, proc");
	}
	d = doctor_add(j, u, "overlay", "overlay", "%s", u->mount_overlay ?
							  doctor_reason(u->mount_overlay) :
							  "mounted in a user namespace");
	if (u->mount_overlay)
		doctor_worse(j, d, DOCTOR_DEGRADED, "bundles with org.vrun.overlay are refused");
	if (u->mount_overlay == ENODEV)
		doctor_fix(j, d, "SUDO modprobe overlay");
	d = doctor_add(j, u, "veth", "veth", "%s", u->veth ? doctor_reason(u->veth) : "made in a network namespace");
	if (u->veth)
		doctor_worse(j, d, DOCTOR_DEGRADED, "policies with rules for UDP are refused");
	if (u->veth == EOPNOTSUPP)
		doctor_fix(j, d, "SUDO modprobe veth");
}

static void judge_idmaps(struct doctor_judge *j, const struct probe_user *u)
{
	static const char *const names[PROBE_PATHS] = { [PROBE_PATH_ROOT] = "/",
							[PROBE_PATH_CWD] = "the current directory",
							[PROBE_PATH_TMP] = "/tmp" };
	struct doctor_finding *d;
	char list[200] = "";
	int result = 0;

	if (u->uid != 0)
		return; /* an unprivileged caller's files are its app's: nothing to map */
	for (int i = 0; i < PROBE_PATHS; i++) {
		size_t n = strlen(list);

		if (u->idmap[i] == 0)
			continue;
		result = u->idmap[i];
		(void)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", names[i]);
	}
	if (!*list) {
		(void)doctor_add(j, u, "idmapped-mounts", "idmapped mounts",
				 "on /, the current directory and /tmp");
		return;
	}
	d = doctor_add(j, u, "idmapped-mounts", "idmapped mounts", "not on %s: %s", list,
		       doctor_reason(result));
	doctor_worse(j, d, DOCTOR_DEGRADED,
		     "writable directories and bundles there are refused to root, unless --host-users "
		     "is given");
}

/* --- ids --- */

static void fix_subids(struct doctor_judge *j, struct doctor_finding *d, const struct probe_user *u)
{
	char name[80], range[32];

	if (u->helper_uid == ENOENT || u->helper_gid == ENOENT)
		doctor_fix(j, d, "SUDO apt-get install uidmap   # Fedora: shadow-utils-subid");
	else if (u->helper_uid || u->helper_gid)
		doctor_fix(j, d, "SUDO chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap");
	if (u->sub_uids && u->sub_gids)
		return;
	(void)snprintf(range, sizeof range, "%u-%u", u->sub_free, u->sub_free + 65535);
	doctor_fix(j, d, "SUDO usermod --add-subuids %s --add-subgids %s %s", range, range,
		   name_or_uid(u, name, sizeof name));
}

static void judge_ids(struct doctor_judge *j, const struct probe_user *u)
{
	static const char effect[] =
		"one id is mapped: programs that want several users, like nginx, do not run";
	struct doctor_finding *d;

	if (u->uid == 0)
		return; /* root maps any range itself, and user-namespaces has tried it */
	if (!u->sub_uids || !u->sub_gids)
		d = doctor_add(j, u, "subordinate-ids", "subordinate ids", "none in /etc/sub%s",
			       u->sub_uids ? "gid" : "uid");
	else if (u->helper_uid || u->helper_gid)
		d = doctor_add(j, u, "subordinate-ids", "subordinate ids", "new%sidmap: %s",
			       u->helper_uid ? "u" : "g",
			       (u->helper_uid ? u->helper_uid : u->helper_gid) == ENOENT ?
				       "not installed" :
				       "neither set-uid nor with a file capability");
	else if (u->helper_map)
		d = doctor_add(j, u, "subordinate-ids", "subordinate ids",
			       "newuidmap and newgidmap refuse the range (no_new_privs, a nosuid "
			       "/usr, or a range of somebody else's)");
	else {
		(void)doctor_add(j, u, "subordinate-ids", "subordinate ids",
				 "%" PRIu32 " uids and %" PRIu32 " gids, mapped", u->sub_uids,
				 u->sub_gids);
		return;
	}
	doctor_worse(j, d, DOCTOR_DEGRADED, "%s", effect);
	fix_subids(j, d, u);
}

/* --- limits --- */

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += len)
		if ((p == list || p[-1] == ' ') && (p[len] == ' ' || !p[len]))
			return true;
	return false;
}

/* The controllers that a bundle commonly limits and that are not in the list. */
static void lacking(const char *list, bool v1, char *buf, size_t size)
{
	const char *const wanted[] = { "memory", "pids", "cpu", "cpuset", v1 ? "blkio" : "io" };

	*buf = '\0';
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		size_t n = strlen(buf);

		if (!has_word(list, wanted[i]))
			(void)snprintf(buf + n, size - n, "%s%s", n ? " " : "", wanted[i]);
	}
}

static void judge_controllers(struct doctor_judge *j, const struct probe_user *u, const char *list,
			      const char *where, bool v1)
{
	struct doctor_finding *d;
	char gap[80];

	lacking(list, v1, gap, sizeof gap);
	d = doctor_add(j, u, "cgroups", "cgroups", "%s, %s: %s", u->cgroup.layout, where,
		       *list ? list : "no controller");
	if (!*gap)
		return;
	doctor_worse(j, d, DOCTOR_DEGRADED,
		     "limits of %s are refused, or left out with --best-effort", gap);
	if (!v1 && u->uid != 0 && u->cgroup.manager) {
		doctor_fix(j, d, "SUDO mkdir -p /etc/systemd/system/user@.service.d");
		doctor_fix(j, d,
			   "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | SUDO tee "
			   "/etc/systemd/system/user@.service.d/delegate.conf");
		doctor_fix(j, d, "SUDO systemctl daemon-reload   # then log in again");
	}
}

static void judge_cgroups(struct doctor_judge *j, const struct probe_user *u)
{
	const struct probe_cgroup *c = &u->cgroup;
	bool v1 = strncmp(c->layout, "v1", 2) == 0;
	struct doctor_finding *d;
	char name[80];

	if (c->make == 0 && c->arrangeable && (v1 || *c->controllers || !c->manager)) {
		judge_controllers(j, u, c->controllers, "the own cgroup", v1);
		return;
	}
	if (c->manager) {
		judge_controllers(j, u, c->manager_controllers, "a scope of systemd's", false);
		return;
	}
	d = doctor_add(j, u, "cgroups", "cgroups", "%s, none may be made: %s", c->layout,
		       strcmp(c->layout, "none") == 0 ? "not mounted" : doctor_reason(c->make));
	doctor_worse(j, d, DOCTOR_DEGRADED,
		     "bundles with limits are refused, or run without with --best-effort");
	if (v1 && j->f->host.systemd)
		doctor_fix(j, d,
			   "SUDO sed -i 's/^GRUB_CMDLINE_LINUX=\"/&systemd.unified_cgroup_hierarchy=1 /' "
			   "/etc/default/grub && SUDO update-grub   # then reboot");
	else if (strcmp(c->layout, "none") == 0 && !j->f->host.filtered)
		doctor_fix(j, d, "SUDO mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	else if (j->f->host.systemd && u->uid != 0)
		doctor_fix(j, d, "SUDO loginctl enable-linger %s",
			   name_or_uid(u, name, sizeof name));
}

static void judge_files(struct doctor_judge *j, const struct probe_user *u)
{
	struct doctor_finding *d = doctor_add(j, u, "open-files", "open files",
					      "%" PRIu64 ", at most %" PRIu64, u->nofile_soft,
					      u->nofile_hard);

	if (u->nofile_hard >= FILES_WANTED)
		return;
	doctor_worse(j, d, DOCTOR_DEGRADED, "a supervisor serves fewer sockets");
	doctor_fix(j, d,
		   "echo '%s hard nofile 65536' | SUDO tee /etc/security/limits.d/60-vrun.conf   # "
		   "then log in again",
		   u->uid == 0 ? "root" : "*");
}

/* --- seccomp and what a supervisor needs --- */

static void judge_seccomp(struct doctor_judge *j, const struct probe_user *u)
{
	const struct filter_features *f = &u->filter;
	struct doctor_finding *d;

	d = doctor_add(j, u, "seccomp", "seccomp filters", "%s", doctor_reason(f->load_error));
	if (f->load_error)
		doctor_worse(j, d, DOCTOR_MISSING, "every sandbox runs under one");
	else if (!f->kill_process || !f->ret_errno || !f->log)
		doctor_worse(j, d, DOCTOR_DEGRADED, "bundles' profiles with other actions are refused");
	if (f->listener_error || u->filter_addfd || u->filter_addfd_send) {
		int result = f->listener_error ? f->listener_error :
			     u->filter_addfd   ? u->filter_addfd :
						 u->filter_addfd_send;

		d = doctor_add(j, u, "user-notification", "user notification", "%s: %s",
			       f->listener_error ? "listener" :
			       u->filter_addfd	 ? "ADDFD" :
						   "ADDFD_FLAG_SEND",
			       result == EBUSY ? "another supervisor serves this process already" :
						 doctor_reason(result));
		doctor_worse(j, d, DOCTOR_DEGRADED, "only \"net\": \"none\" works");
		return;
	}
	d = doctor_add(j, u, "user-notification", "user notification",
		       "listener, ADDFD, ADDFD_FLAG_SEND%s", f->sync_wake_up ? ", SYNC_WAKE_UP" : "");
	if (!f->sync_wake_up)
		doctor_worse(j, d, DOCTOR_DEGRADED,
			     "a trapped call costs more: no SYNC_WAKE_UP (Linux 6.6)");
}

static void judge_supervision(struct doctor_judge *j, const struct probe_user *u)
{
	int64_t yama = j->f->host.yama_ptrace;
	int result = u->steal_fd ? u->steal_fd : u->read_memory;
	struct doctor_finding *d;

	if (result == 0) {
		(void)doctor_add(j, u, "supervision", "supervision",
				 "an app's descriptors and memory can be reached");
		return;
	}
	d = doctor_add(j, u, "supervision", "supervision", "%s: %s%s",
		       u->steal_fd ? "pidfd_getfd" : "process_vm_readv", doctor_reason(result),
		       yama == 3 ? " (kernel.yama.ptrace_scope is 3)" : "");
	doctor_worse(j, d, DOCTOR_DEGRADED, "only \"net\": \"none\" works");
	if (yama == 3)
		doctor_fix(j, d,
			   "echo 'kernel.yama.ptrace_scope = 1' | SUDO tee -a /etc/sysctl.d/60-vrun.conf   # "
			   "then reboot: 3 cannot be taken back");
}

static void judge_state(struct doctor_judge *j, const struct probe_user *u)
{
	const struct doctor_facts *f = j->f;
	struct doctor_finding *d;
	char quoted[256], name[80];

	if (u->uid != f->caller)
		return; /* it depends on that user's environment */
	(void)log_quote(quoted, sizeof quoted, f->state_dir);
	d = doctor_add(j, u, "state-directory", "state directory", "%s%s%s", quoted,
		       f->state_error ? ": " : "",
		       f->state_error == EPERM ? "not a directory of yours with mode 0700" :
		       f->state_error	       ? err_text(f->state_error) :
						 "");
	if (f->state_error) {
		doctor_worse(j, d, DOCTOR_MISSING, "a sandbox cannot be recorded without --root");
		doctor_fix(j, d, "install -d -m 700 ~/.cache/run && export XDG_RUNTIME_DIR=~/.cache/run");
	} else if (f->state_in_tmp) {
		doctor_worse(j, d, DOCTOR_DEGRADED, "records lie in /tmp, as there is no XDG_RUNTIME_DIR");
		if (f->host.systemd)
			doctor_fix(j, d, "SUDO loginctl enable-linger %s",
				   name_or_uid(u, name, sizeof name)); /* makes /run/user/UID */
		else
			doctor_fix(j, d, "install -d -m 700 ~/.cache/run && export XDG_RUNTIME_DIR=~/.cache/run");
	}
}

void doctor_judge_user(struct doctor_judge *j, const struct probe_user *u)
{
	if (judge_user_ns(j, u)) {
		judge_kinds(j, u);
		judge_mounts(j, u);
		judge_idmaps(j, u);
		judge_ids(j, u);
		judge_supervision(j, u);
	}
	judge_seccomp(j, u);
	judge_cgroups(j, u);
	judge_files(j, u);
	judge_state(j, u);
}
