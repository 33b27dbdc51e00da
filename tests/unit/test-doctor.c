/* SPDX-License-Identifier: Apache-2.0 */
/* How `vrun doctor` judges hosts that are not at hand, and what it says to change. */
#include <errno.h>
#include <signal.h>

#include "run/doctor.h"
#include "tap.h"

static struct doctor_facts facts;

/* A host that gives everything, with root or an unprivileged user on it. */
static void good(uid_t caller)
{
	struct probe_host *h = &facts.host;
	struct probe_user *u = &facts.users[0];

	facts = (struct doctor_facts){ .n_users = 1, .caller = caller };
	(void)snprintf(facts.state_dir, sizeof facts.state_dir, "/run/user/%u/vrun", caller);
	(void)snprintf(facts.self, sizeof facts.self, "/usr/local/bin/vrun");
	(void)snprintf(h->release, sizeof h->release, "6.18.0");
	h->major = 6;
	h->minor = 18;
	h->userns_clone = h->apparmor_userns = h->yama_ptrace = h->legacy_tiocsti = PROBE_ABSENT;
	h->io_uring_disabled = h->selinux_enforcing = h->selinux_deny_ptrace = PROBE_ABSENT;
	for (int k = 0; k < NS_KINDS; k++)
		h->max_ns[k] = 15000;
	h->landlock_abi = 7;
	h->systemd = true;
	u->uid = u->gid = caller;
	(void)snprintf(u->name, sizeof u->name, "%s", caller ? "alice" : "root");
	u->ids = UINT32_MAX;
	u->sub_uids = u->sub_gids = 65536;
	u->sub_free = 300000;
	u->filter = (struct filter_features){ .filter = true, .kill_process = true, .ret_errno = true,
					      .log = true, .user_notif = true, .new_listener = true,
					      .sync_wake_up = true };
	(void)snprintf(u->cgroup.layout, sizeof u->cgroup.layout, "v2");
	(void)snprintf(u->cgroup.controllers, sizeof u->cgroup.controllers, "cpuset cpu io memory pids");
	u->cgroup.arrangeable = true;
	u->nofile_soft = 1024;
	u->nofile_hard = 524288;
}

static struct doctor_report report;

static enum doctor_status judge(void)
{
	struct err e = { 0 };

	if (doctor_judge(&report, &facts, &e) < 0)
		TAP_OK(false, "judged: %s", e.text);
	return report.worst;
}

static const struct doctor_finding *find(const char *id)
{
	for (size_t i = 0; i < report.n; i++)
		if (strcmp(report.v[i].id, id) == 0 && report.v[i].status != DOCTOR_OK)
			return &report.v[i];
	return NULL;
}

/* Judges, expects this finding to have that status and its text and commands to have these parts. */
static void expect(const char *what, enum doctor_status status, const char *id, const char *found,
		   const char *fix)
{
	const struct doctor_finding *d;
	char fixes[4096] = "";

	TAP_STR(doctor_status_name(judge()), doctor_status_name(status), "%s: the whole", what);
	d = find(id);
	TAP_OK(d != NULL, "%s: there is a finding about %s", what, id);
	if (!d) {
		doctor_report_fini(&report);
		return;
	}
	TAP_STR(doctor_status_name(d->status), doctor_status_name(status), "%s: its status", what);
	TAP_HAS(d->found, found, "%s: what was found", what);
	TAP_OK(*d->effect, "%s: vrun does something about it", what);
	for (size_t i = 0; i < d->n_fix; i++)
		(void)snprintf(fixes + strlen(fixes), sizeof fixes - strlen(fixes), "%s\n", d->fix[i]);
	if (fix)
		TAP_HAS(fixes, fix, "%s: what to do", what);
	else
		TAP_STR(fixes, "", "%s: nothing to do", what);
	TAP_OK(!strstr(fixes, "SUDO"), "%s: sudo is spelt out", what);
	TAP_OK(facts.caller != 0 || !strstr(fixes, "sudo"), "%s: root needs no sudo", what);
	doctor_report_fini(&report);
}

static void test_good(void)
{
	good(0);
	TAP_STR(doctor_status_name(judge()), "ok", "a good host is ok for root");
	for (size_t i = 0; i < report.n; i++)
		if (report.v[i].status != DOCTOR_OK || report.v[i].n_fix)
			TAP_OK(false, "%s: %s", report.v[i].id, report.v[i].found);
	doctor_report_fini(&report);
	good(1000);
	TAP_STR(doctor_status_name(judge()), "ok", "a good host is ok for a user");
	doctor_report_fini(&report);
}

static void test_kernels(void)
{
	good(1000);
	facts.host.major = 5;
	facts.host.minor = 10;
	expect("an old kernel", DOCTOR_MISSING, "kernel", "Linux", "linux-image");
	good(1000);
	facts.host.major = 5;
	facts.host.minor = 15;
	TAP_STR(doctor_status_name(judge()), "ok", "5.15 is new enough");
	doctor_report_fini(&report);
	good(1000);
	facts.host.landlock_abi = 0;
	(void)snprintf(facts.lsm, sizeof facts.lsm, "lockdown,capability,yama,apparmor");
	expect("Landlock that is not started", DOCTOR_DEGRADED, "landlock", "none",
	       "lsm=landlock,lockdown,capability,yama,apparmor");
	good(1000);
	facts.host.landlock_abi = 3;
	expect("Landlock of 6.2", DOCTOR_DEGRADED, "landlock", "ABI 3", NULL);
	good(1000);
	facts.host.openat2 = ENOSYS;
	expect("a filter without openat2", DOCTOR_MISSING, "system-calls", "openat2", NULL);
	good(1000);
	facts.host.mount_api = PROBE_KILLED(SIGSYS);
	expect("a filter that kills", DOCTOR_MISSING, "system-calls", "killed by a system-call filter",
	       NULL);
	good(1000);
	facts.host.passrights = ENOPROTOOPT;
	expect("a kernel before 6.16", DOCTOR_DEGRADED, "passrights", "not in this kernel", NULL);
	good(1000);
	facts.host.pidfd_thread = EINVAL;
	expect("a kernel before 6.9", DOCTOR_DEGRADED, "pidfd-thread", "not in this kernel", NULL);
}

static void test_user_namespaces(void)
{
	good(1000);
	facts.users[0].user_ns = EPERM;
	facts.host.userns_clone = 0;
	expect("Debian's switch", DOCTOR_MISSING, "user-namespaces", "unprivileged_userns_clone is 0",
	       "sudo sysctl -w kernel.unprivileged_userns_clone=1");
	good(0);
	facts.users[0].user_ns = ENOSPC;
	facts.host.max_ns[NS_USER] = 0;
	expect("RHEL 7's limit, for root", DOCTOR_MISSING, "user-namespaces",
	       "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000");
	good(1000);
	facts.users[0].ns[NS_MNT] = EPERM;
	facts.host.apparmor_userns = 1;
	expect("Ubuntu 24.04", DOCTOR_MISSING, "user-namespaces", "without capabilities",
	       "profile vrun \"/usr/local/bin/vrun\" flags=(unconfined) {\\n  userns,");
	good(1000);
	facts.users[0].user_ns = EPERM;
	facts.host.apparmor_userns = 1;
	(void)snprintf(facts.self, sizeof facts.self, "/tmp/x'; rm -rf /; '/vrun");
	expect("a path that no command can hold", DOCTOR_MISSING, "user-namespaces", "apparmor",
	       "profile vrun \"/usr/bin/vrun\"");
	good(1000);
	facts.users[0].user_ns = EACCES;
	facts.host.selinux_enforcing = 1;
	expect("SELinux", DOCTOR_MISSING, "user-namespaces", "SELinux is enforcing", "audit2allow");
	good(1000);
	facts.users[0].user_ns = EPERM;
	facts.host.filtered = true;
	expect("a sandbox in a sandbox", DOCTOR_MISSING, "user-namespaces",
	       "a system-call filter is in force", NULL);
	good(0);
	facts.users[0].map = EPERM;
	facts.users[0].ids = 1;
	expect("root with one id", DOCTOR_MISSING, "user-namespaces", "only 1 ids", NULL);
	good(1000);
	facts.users[0].ns[NS_NET] = ENOSPC;
	facts.host.max_ns[NS_NET] = 0;
	expect("no network namespaces", DOCTOR_MISSING, "namespaces", "network",
	       "sysctl -w user.max_net_namespaces=15000");
	good(1000);
	facts.users[0].ns[NS_TIME] = EINVAL;
	expect("no time namespaces", DOCTOR_DEGRADED, "namespaces", "time", NULL);
}

static void test_users(void)
{
	good(1000);
	facts.users[0].sub_uids = 0;
	expect("no subordinate ids", DOCTOR_DEGRADED, "subordinate-ids", "none in /etc/subuid",
	       "sudo usermod --add-subuids 300000-365535 --add-subgids 300000-365535 alice");
	good(1000);
	facts.users[0].sub_gids = 0;
	(void)snprintf(facts.users[0].name, sizeof facts.users[0].name, "DOM\\alice smith");
	expect("a name that no command can hold", DOCTOR_DEGRADED, "subordinate-ids", "subgid",
	       "365535 1000");
	good(1000);
	facts.users[0].helper_uid = facts.users[0].helper_gid = ENOENT;
	expect("no newuidmap", DOCTOR_DEGRADED, "subordinate-ids", "not installed",
	       "apt-get install uidmap");
	good(1000);
	facts.users[0].helper_gid = EPERM;
	expect("newgidmap without its bit", DOCTOR_DEGRADED, "subordinate-ids", "neither set-uid",
	       "chmod u+s");
	good(1000);
	facts.users[0].helper_map = EPERM;
	expect("helpers that refuse", DOCTOR_DEGRADED, "subordinate-ids", "refuse the range", NULL);
	good(1000);
	facts.users[0].mount_proc = EPERM;
	expect("a container", DOCTOR_MISSING, "mounts", "proc", "unmask=ALL");
	good(1000);
	facts.users[0].mount_overlay = EPERM;
	expect("no overlay", DOCTOR_DEGRADED, "overlay", "not permitted", NULL);
	good(1000);
	facts.users[0].veth = EOPNOTSUPP;
	expect("no veth", DOCTOR_DEGRADED, "veth", "not supported", "sudo modprobe veth");
	good(0);
	facts.users[0].idmap[PROBE_PATH_CWD] = EINVAL;
	expect("a file system without idmaps", DOCTOR_DEGRADED, "idmapped-mounts",
	       "not on the current directory", NULL);
	good(1000);
	facts.users[0].steal_fd = EPERM;
	facts.host.yama_ptrace = 3;
	expect("Yama 3", DOCTOR_DEGRADED, "supervision", "ptrace_scope is 3", "ptrace_scope = 1");
	good(1000);
	facts.host.selinux_enforcing = 1;
	facts.host.selinux_deny_ptrace = 1;
	expect("Fedora's boolean", DOCTOR_DEGRADED, "selinux", "deny_ptrace on",
	       "sudo setsebool -P deny_ptrace off");
	good(1000);
	facts.users[0].filter.load_error = EINVAL;
	facts.users[0].filter.listener_error = EINVAL;
	judge();
	TAP_OK(find("seccomp") && find("seccomp")->status == DOCTOR_MISSING, "no filters: missing");
	doctor_report_fini(&report);
	good(1000);
	facts.users[0].filter.listener_error = EBUSY;
	expect("under another supervisor", DOCTOR_DEGRADED, "user-notification", "another supervisor",
	       NULL);
	good(1000);
	facts.users[0].filter_addfd_send = EINVAL;
	expect("a kernel before 5.14", DOCTOR_DEGRADED, "user-notification", "ADDFD_FLAG_SEND", NULL);
	good(1000);
	facts.users[0].filter.sync_wake_up = false;
	expect("a kernel before 6.6", DOCTOR_DEGRADED, "user-notification", "listener", NULL);
	good(1000);
	facts.users[0].nofile_hard = 1024;
	expect("few descriptors", DOCTOR_DEGRADED, "open-files", "1024", "limits.d");
	good(1000);
	facts.state_error = EACCES;
	expect("no place for records", DOCTOR_MISSING, "state-directory", "Permission denied",
	       "XDG_RUNTIME_DIR");
	good(1000);
	facts.state_in_tmp = true;
	expect("records in /tmp", DOCTOR_DEGRADED, "state-directory", "/run/user",
	       "loginctl enable-linger alice");
}

static void test_cgroups(void)
{
	struct probe_cgroup *c = &facts.users[0].cgroup;

	good(1000);
	c->make = EACCES;
	c->manager = true;
	(void)snprintf(c->manager_controllers, sizeof c->manager_controllers, "memory pids");
	expect("systemd's usual delegation", DOCTOR_DEGRADED, "cgroups", "a scope of systemd's: memory pids",
	       "Delegate=cpu cpuset io memory pids");
	good(0);
	c->arrangeable = false;
	c->manager = true;
	(void)snprintf(c->manager_controllers, sizeof c->manager_controllers,
		       "cpuset cpu io memory hugetlb pids");
	TAP_STR(doctor_status_name(judge()), "ok", "root under systemd gets a scope");
	doctor_report_fini(&report);
	good(1000);
	c->make = EACCES;
	expect("nothing delegated", DOCTOR_DEGRADED, "cgroups", "Permission denied",
	       "sudo loginctl enable-linger alice");
	good(1000);
	(void)snprintf(c->layout, sizeof c->layout, "v1");
	c->make = EACCES;
	expect("cgroup v1", DOCTOR_DEGRADED, "cgroups", "v1", "systemd.unified_cgroup_hierarchy=1");
	good(0);
	(void)snprintf(c->layout, sizeof c->layout, "v1 and v2");
	(void)snprintf(c->controllers, sizeof c->controllers, "cpu cpuacct cpuset memory pids blkio");
	TAP_STR(doctor_status_name(judge()), "ok", "cgroup v1 is enough for root");
	doctor_report_fini(&report);
	good(0);
	(void)snprintf(c->layout, sizeof c->layout, "none");
	c->make = PROBE_UNTRIED;
	expect("no cgroups", DOCTOR_DEGRADED, "cgroups", "not mounted", "mount -t cgroup2");
}

/* This very host: whatever it is, the tries end, and leave no child. */
static void test_here(void)
{
	struct err e = { 0 };

	TAP_INT(doctor_examine(&facts, NULL, &e), 0, "examined this host: %s", e.text);
	TAP_OK(facts.host.major >= 5, "it has a kernel");
	judge();
	TAP_OK(report.n >= 10, "there are findings");
	doctor_report_fini(&report);
	TAP_INT(doctor_examine(&facts, "no such user", &e), -ENOENT, "a user who is not there");
}

static int hang(void *arg)
{
	(void)arg;
	for (;;)
		(void)raise(SIGSTOP);
	return 0;
}

static int die(void *arg)
{
	*(int *)arg = 7;
	(void)signal(SIGSYS, SIG_DFL);
	(void)raise(SIGSYS);
	return 0;
}

static void test_children(void)
{
	int v = 0;

	TAP_INT(probe_run(die, &v, sizeof v), PROBE_KILLED(SIGSYS), "a child that a filter kills");
	TAP_INT(v, 7, "what it did before is known");
	TAP_INT(probe_run(hang, NULL, 0), PROBE_TIMEOUT, "a child that hangs is ended");
}

int main(void)
{
	test_good();
	test_kernels();
	test_user_namespaces();
	test_users();
	test_cgroups();
	test_children();
	test_here();
	return tap_done();
}
