/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same for everybody on a host. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "run/doctor.h"

#define KERNEL_MAJOR 5 /* the oldest that vrun runs on */
#define KERNEL_MINOR 15

static void judge_kernel(struct doctor_judge *j)
{
	const struct probe_host *h = &j->f->host;
	struct doctor_finding *d =
		doctor_add(j, NULL, "kernel", "kernel", "Linux %s", h->release);

	if (h->major > KERNEL_MAJOR || (h->major == KERNEL_MAJOR && h->minor >= KERNEL_MINOR))
		return;
	doctor_worse(j, d, DOCTOR_MISSING, "vrun needs Linux %d.%d or newer", KERNEL_MAJOR,
		     KERNEL_MINOR);
	doctor_fix(j, d,
		   "SUDO apt-get install -t bullseye-backports linux-image-amd64   # Debian 11; "
		   "elsewhere the distribution's newer kernel");
}

static void judge_calls(struct doctor_judge *j)
{
	const struct probe_host *h = &j->f->host;
	const struct {
		const char *name;
		int result;
	} calls[] = { { "openat2", h->openat2 },
		      { "close_range", h->close_range },
		      { "the mount API (fsopen, open_tree, mount_setattr)", h->mount_api } };
	struct doctor_finding *d;

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		if (calls[i].result == 0)
			continue;
		d = doctor_add(j, NULL, "system-calls", "system calls", "%s: %s", calls[i].name,
			       doctor_reason(calls[i].result));
		doctor_worse(j, d, DOCTOR_MISSING, "vrun builds every sandbox with them");
		return;
	}
	(void)doctor_add(j, NULL, "system-calls", "system calls",
			 "openat2, close_range, fsopen, open_tree, mount_setattr");
}

static void judge_landlock(struct doctor_judge *j)
{
	int abi = j->f->host.landlock_abi;
	struct doctor_finding *d;

	if (abi > 0) {
		d = doctor_add(j, NULL, "landlock", "Landlock", "ABI %d", abi);
		if (abi < 4)
			doctor_worse(j, d, DOCTOR_DEGRADED,
				     "the second wall covers files only, not TCP (Linux 6.7) or abstract "
				     "sockets (6.12)");
		else if (abi < 6)
			doctor_worse(j, d, DOCTOR_DEGRADED,
				     "the second wall does not cover abstract sockets and signals "
				     "(Linux 6.12)");
		return;
	}
	d = doctor_add(j, NULL, "landlock", "Landlock", "none");
	doctor_worse(j, d, DOCTOR_DEGRADED, "sandboxes go without the second wall");
	if (*j->f->lsm && !strstr(j->f->lsm, "landlock"))
		doctor_fix(j, d,
			   "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=landlock,%s\"' | "
			   "SUDO tee /etc/default/grub.d/landlock.cfg",
			   j->f->lsm);
	if (d->n_fix)
		doctor_fix(j, d, "SUDO update-grub   # then reboot");
}

static void judge_supervisor(struct doctor_judge *j)
{
	const struct probe_host *h = &j->f->host;
	struct doctor_finding *d = doctor_add(j, NULL, "pidfd-thread", "thread pidfds",
					      "PIDFD_THREAD: %s",
					      h->pidfd_thread == EINVAL ?
						      "not in this kernel" :
						      doctor_reason(h->pidfd_thread));

	if (h->pidfd_thread)
		doctor_worse(j, d, DOCTOR_DEGRADED,
			     "an app whose first thread has ended is followed through /proc (Linux "
			     "6.9)");
	d = doctor_add(j, NULL, "passrights", "SO_PASSRIGHTS", "%s",
		       h->passrights == ENOPROTOOPT ? "not in this kernel" :
						      doctor_reason(h->passrights));
	if (h->passrights)
		doctor_worse(j, d, DOCTOR_DEGRADED,
			     "\"transport\": \"wire\" is refused, \"tcp\" works (Linux 6.16)");
}

/* Selinux: enforcing is no hindrance by itself; Fedora's boolean against ptrace is. */
static void judge_selinux(struct doctor_judge *j)
{
	const struct probe_host *h = &j->f->host;
	struct doctor_finding *d;

	if (h->selinux_enforcing == PROBE_ABSENT)
		return;
	d = doctor_add(j, NULL, "selinux", "SELinux", "%s%s",
		       h->selinux_enforcing ? "enforcing" : "permissive",
		       h->selinux_deny_ptrace == 1 ? ", deny_ptrace on" : "");
	if (!h->selinux_enforcing || h->selinux_deny_ptrace != 1)
		return;
	doctor_worse(j, d, DOCTOR_DEGRADED,
		     "a supervisor may not look into its app: only \"net\": \"none\" works");
	doctor_fix(j, d, "SUDO setsebool -P deny_ptrace off");
}

static const char *on_off(int64_t v)
{
	return v == PROBE_ABSENT ? "not switchable here" : v == 0 ? "off" : "on";
}

/* Doors that vrun's filter shuts whatever the host says: told, not judged. */
static void tell_doors(struct doctor_judge *j)
{
	const struct probe_host *h = &j->f->host;
	char quoted[128];

	(void)doctor_add(j, NULL, "io-uring", "io_uring", "%s; the filter shuts it for apps",
			 h->io_uring_disabled == PROBE_ABSENT ? "on" :
			 h->io_uring_disabled == 0	      ? "on" :
			 h->io_uring_disabled == 1	      ? "for root only" :
								"off");
	(void)doctor_add(j, NULL, "tiocsti", "TIOCSTI", "%s; the filter shuts it for apps",
			 on_off(h->legacy_tiocsti));
	if (h->core_pattern[0] == '|')
		(void)doctor_add(j, NULL, "core-pattern", "core dumps",
				 "a crash starts %s outside, as root; an RLIMIT_CORE of 1 prevents it",
				 log_quote(quoted, sizeof quoted, h->core_pattern + 1));
	else
		(void)doctor_add(j, NULL, "core-pattern", "core dumps", "to files");
}

void doctor_judge_host(struct doctor_judge *j)
{
	judge_kernel(j);
	judge_calls(j);
	judge_landlock(j);
	judge_supervisor(j);
	judge_selinux(j);
	tell_doors(j);
}
