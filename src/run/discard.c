/* SPDX-License-Identifier: Apache-2.0 */
#include "run/discard.h"

#include <poll.h>
#include <signal.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/cgroup.h"
#include "model/bundle.h"
#include "run/hooks.h"
#include "run/kept.h"
#include "run/supervisor.h"

#define END_MS 10000U /* longest wait for what was killed, and for a monitor to clean up */

static int restore(const struct state_record *r, struct cgroup **ret, struct err *e)
{
	const struct jat at = { .doc = &r->doc, .key = "cgroup", .val = r->cgroup };

	return r->cgroup ? cgroup_restore(ret, &at, NULL, e) : 0;
}

/* All processes, whether the first one has a pid namespace of its own or not. */
static int end_processes(const struct state_record *r, struct cgroup *cg, struct err *e)
{
	AUTO_FD int pidfd = state_open_process(r);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n;

	if (cg)
		(void)cgroup_kill(cg, NULL);
	if (pidfd < 0)
		return 0;
	if (sys_pidfd_send_signal(pidfd, SIGKILL) < 0 && errno != ESRCH)
		return err_sys(e, "killing container %s", r->id);
	if (cg)
		(void)cgroup_thaw(cg, NULL);
	do
		n = poll(&p, 1, (int)END_MS);
	while (n < 0 && errno == EINTR);
	return n == 0 ? err_set(e, ETIMEDOUT, "container %s was killed, but does not end", r->id) : 0;
}

/* Before the record goes: should we be killed meanwhile, whoever deletes next runs them again. */
static void run_poststop(int root_fd, const struct state_record *r)
{
	AUTO_FREE char *state = NULL;
	struct json_doc doc;
	struct bundle b;

	if (kept_config(root_fd, r->id, &doc, NULL) < 0)
		return; /* it had not been made when its processes were killed */
	if (bundle_read(&b, r->bundle, &doc, NULL) == 0) {
		state = b.hooks.n[HOOK_POSTSTOP] ? hooks_state(&b, r->id, "stopped", 0) : NULL;
		hooks_run_all(&b, HOOK_POSTSTOP, state);
		bundle_fini(&b);
	}
	json_doc_fini(&doc);
}

static int remove_rest(int root_fd, const struct state_record *r, struct cgroup *cg, struct err *e)
{
	int rc = 0;

	if (cg) {
		(void)cgroup_kill(cg, NULL);
		rc = cgroup_destroy(cg, END_MS, e);
	}
	if (rc == 0)
		run_poststop(root_fd, r);
	if (rc == 0 && r->supervisor)
		(void)supervisor_remove_socket(root_fd, r->supervisor);
	if (rc == 0)
		rc = kept_remove(root_fd, r->id, e);
	if (rc == 0) {
		rc = state_remove(root_fd, r->id);
		if (rc < 0)
			(void)err_num(e, -rc, "record of container %s", r->id);
	}
	return rc;
}

int discard_container(int root_fd, const struct state_record *r, bool force, struct err *e)
{
	enum state_status status = kept_status(root_fd, r);
	struct cgroup *cg = NULL;
	int rc;

	if (status != STATE_STOPPED && !force) {
		(void)err_set(e, EBUSY, "container %s is not stopped: it is %s", r->id, kept_status_name(status));
		return err_hint(e, "end it with vrun kill, or use --force");
	}
	rc = restore(r, &cg, e);
	if (rc == 0)
		rc = end_processes(r, cg, e);
	/* Its monitor has things to put away, and of several who delete one does. */
	if (rc == 0 && state_lock(r, END_MS) < 0)
		rc = err_set(e, ETIMEDOUT, "container %s has ended, but its monitor (process %d) has not", r->id,
			     (int)r->monitor);
	/* Of "vrun run" nothing is there any more, unless its processes were killed. */
	if (rc == 0 && state_is_current(root_fd, r))
		rc = remove_rest(root_fd, r, cg, e);
	else if (rc == 0 && r->kept)
		rc = err_set(e, ENOENT, "no container with the id %s", r->id);
	cgroup_free(&cg);
	return rc;
}
