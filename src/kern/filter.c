/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

static int sys_seccomp(unsigned op, unsigned flags, const void *arg)
{
	return (int)syscall(__NR_seccomp, op, flags, arg);
}

static int load_failed(int num, bool listener, struct err *e)
{
	(void)err_num(e, num, "installing the seccomp filter");
	switch (num) {
	case EACCES:
		return err_hint(e, "set no_new_privs (noNewPrivileges in the bundle) or keep CAP_SYS_ADMIN");
	case EBUSY:
		if (listener)
			return err_hint(e, "another supervisor already answers this process's system calls; "
					   "the kernel allows one: start vrun outside of it");
		break;
	case ENOSYS:
	case EINVAL:
		return err_hint(e, "the kernel lacks CONFIG_SECCOMP_FILTER or a flag that was asked for; "
				   "see vrun doctor");
	}
	return -num;
}

int filter_load(const struct bpf_prog *p, unsigned flags, int *ret_listener_fd, struct err *e)
{
	struct sock_fprog prog = { .len = p->n, .filter = p->v };
	int rc;

	if (ret_listener_fd) {
		flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
		if (flags & SECCOMP_FILTER_FLAG_TSYNC) /* a positive answer is the listener, then */
			flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
	}
	rc = sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (rc < 0) {
		int num = errno;

		(void)load_failed(num, ret_listener_fd != NULL, e);
		return -num;
	}
	if (ret_listener_fd)
		*ret_listener_fd = rc;
	else if (rc > 0)
		return err_set(e, ESRCH, "installing the seccomp filter: thread %d has one of its own", rc);
	return 0;
}

static bool action_available(uint32_t action)
{
	return sys_seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* The kernel looks at the flags first and at the program's address after: EFAULT means known flags. */
static bool flag_known(unsigned flags)
{
	return sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
}

/* Result of the child's tries, as it fits an exit code: 0 or an errno number. */
static int try_in_child(int (*attempt)(void), int *ret_num)
{
	int status;
	pid_t pid = fork(), got;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(attempt());
	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	*ret_num = WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
	return 0;
}

static int load_allow_all(unsigned flags)
{
	struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	struct sock_fprog prog = { .len = 1, .filter = &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	int rc = sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, &prog);

	return rc < 0 ? -errno : rc;
}

static int attempt_load(void)
{
	int rc = load_allow_all(0);

	return rc < 0 ? -rc : 0;
}

static int attempt_listener(void)
{
	int rc = load_allow_all(SECCOMP_FILTER_FLAG_NEW_LISTENER);

	return rc < 0 ? -rc : 0;
}

static int attempt_sync_wake_up(void)
{
	int fd = load_allow_all(SECCOMP_FILTER_FLAG_NEW_LISTENER);

	if (fd < 0)
		return -fd;
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0)
		return errno;
	return 0;
}

static void probe_questions(struct filter_features *f)
{
	struct seccomp_notif_sizes sizes = { 0 };

	f->kill_process = action_available(SECCOMP_RET_KILL_PROCESS);
	f->kill_thread = action_available(SECCOMP_RET_KILL_THREAD);
	f->trap = action_available(SECCOMP_RET_TRAP);
	f->ret_errno = action_available(SECCOMP_RET_ERRNO);
	f->user_notif = action_available(SECCOMP_RET_USER_NOTIF);
	f->trace = action_available(SECCOMP_RET_TRACE);
	f->log = action_available(SECCOMP_RET_LOG);
	f->tsync = flag_known(SECCOMP_FILTER_FLAG_TSYNC);
	f->flag_log = flag_known(SECCOMP_FILTER_FLAG_LOG);
	f->spec_allow = flag_known(SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	f->new_listener = flag_known(SECCOMP_FILTER_FLAG_NEW_LISTENER);
	f->tsync_esrch = flag_known(SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
	f->wait_killable = flag_known(SECCOMP_FILTER_FLAG_NEW_LISTENER |
				      SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	if (sys_seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0) {
		f->notif_size = sizes.seccomp_notif;
		f->resp_size = sizes.seccomp_notif_resp;
		f->data_size = sizes.seccomp_data;
	}
}

int filter_probe(struct filter_features *ret, struct err *e)
{
	struct filter_features f = { .load_error = ENOSYS, .listener_error = ENOSYS };
	int num = 0, rc;

	f.filter = flag_known(0);
	if (f.filter) {
		probe_questions(&f);
		rc = try_in_child(attempt_load, &f.load_error);
		if (rc == 0 && f.new_listener)
			rc = try_in_child(attempt_listener, &f.listener_error);
		if (rc == 0 && f.new_listener)
			rc = try_in_child(attempt_sync_wake_up, &num);
		if (rc < 0)
			return err_num(e, -rc, "trying out seccomp");
		f.sync_wake_up = f.new_listener && num == 0;
	}
	*ret = f;
	return 0;
}
