/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a domain's gateway. It stays in the caller's namespaces, which
 * are the way out, and is the only part of a sandbox that does. That of an engine's
 * container is in the network that the engine has made for it (outside.h).
 */
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/caps.h"
#include "kern/control.h"
#include "kern/helper.h"
#include "model/gateway.h"
#include "run/outside.h"
#include "run/plan.h"
#include "run/policy_apply.h"
#include "run/supervisor.h"

#define END_MS 5000
#define PROGRAM (GATEWAY_CONTROL + 1)
#define CAP_NR_NET_BIND_SERVICE 10

static json_t *text_of(const struct json_doc *doc)
{
	return json_pack("{s:s, s:s}", "name", doc->name, "text", doc->text);
}

/* A file in memory with what the gateway decides by. */
static int write_policies(const struct launch *l, int *ret_fd, struct err *e)
{
	const struct policy_applied *p = l->opt->policy;
	char servers[OUTSIDE_SERVERS_MAX];
	json_t *all = json_pack("{s:o, s:I}", "policy", text_of(&p->text), "owner", (json_int_t)geteuid());
	AUTO_FD int fd = memfd_create("vrun-policy", MFD_CLOEXEC);
	AUTO_FREE char *text = NULL;
	int rc;

	outside_servers(l, servers);
	if (all && servers[0])
		(void)json_object_set_new(all, "servers", json_string(servers));
	if (all && p->has_ceiling)
		(void)json_object_set_new(all, "ceiling", text_of(&p->ceiling_text));
	text = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (!text)
		return err_num(e, ENOMEM, "policy for the gateway");
	if (fd < 0)
		return err_sys(e, "memfd for the gateway's policy");
	rc = fd_write_all(fd, text, strlen(text));
	if (rc < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_num(e, rc < 0 ? -rc : errno, "policy for the gateway");
	*ret_fd = fd_take(&fd);
	return 0;
}

/* --- in the child ------------------------------------------------------------------------- */

struct child_fds {
	int program, sock, policy, control;
	int network, failed; /* what it enters, and where it says errno when it cannot; -1: the caller's it is */
};

static bool keep_only(const struct child_fds *f, bool quiet)
{
	/* Out of the way first, so that none is overwritten. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), sock = fcntl(f->sock, F_DUPFD_CLOEXEC, 7),
	    policy = fcntl(f->policy, F_DUPFD_CLOEXEC, 7), control = fcntl(f->control, F_DUPFD_CLOEXEC, 7),
	    program = fcntl(f->program, F_DUPFD_CLOEXEC, 7);

	return null >= 0 && sock >= 0 && policy >= 0 && control >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	       dup2(null, STDOUT_FILENO) >= 0 && (!quiet || dup2(null, STDERR_FILENO) >= 0) &&
	       dup2(sock, GATEWAY_SOCK) >= 0 && dup2(policy, GATEWAY_POLICY) >= 0 &&
	       dup2(control, GATEWAY_CONTROL) >= 0 && dup3(program, PROGRAM, O_CLOEXEC) >= 0 &&
	       sys_close_range(PROGRAM + 1, ~0U, 0) == 0;
}

/* Host root's id is taken off, where there is another; of its rights one is left, for ports below 1024. */
static bool become_nobody(const struct outer_ids *o, struct err *e)
{
	const uint64_t bind = UINT64_C(1) << CAP_NR_NET_BIND_SERVICE & caps_effective();
	const struct cap_sets sets = { .bounding = bind, .effective = bind, .permitted = bind,
				       .inheritable = bind, .ambient = bind };

	if (!o->change_id)
		return true;
	if (caps_keep_over_setuid() < 0 || setgroups(0, NULL) < 0 || setresgid(o->id, o->id, o->id) < 0 ||
	    setresuid(o->id, o->id, o->id) < 0)
		return false;
	return caps_apply(&sets, e) == 0;
}

_Noreturn static void child_main(const struct child_fds *f, const struct launch *l, const struct outer_ids *o)
{
	struct err e;
	sigset_t none;

	if (f->network >= 0 && setns(f->network, CLONE_NEWNET) < 0) {
		uint8_t why = (uint8_t)errno;

		(void)!write(f->failed, &why, sizeof why);
		_exit(125);
	}
	(void)setsid(); /* its terminal's signals are for the app */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") == 0 && keep_only(f, l->opt->fabric || l->opt->detached || l->opt->create) &&
	    become_nobody(o, &e) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		helper_exec_fd(PROGRAM, "vrun-gateway");
	_exit(125);
}

/* --- in the launcher ------------------------------------------------------------------------ */

/* Before an app is told that its policy holds. Without a word the child has gone on: its end of the pipe is closed then. */
static int await_entered(int from, const struct launch *l, struct err *e)
{
	uint8_t why = 0;
	ssize_t n;

	while ((n = read(from, &why, sizeof why)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return 0;
	(void)err_num(e, why, "the gateway cannot enter network namespace %s", l->outside);
	return err_hint(e, "the caller needs CAP_SYS_ADMIN over it; without \"path\" in linux.namespaces the caller's network is outside");
}

int gateway_spawn(struct supervisor *s, const struct launch *l, struct err *e)
{
	const struct policy_applied *p = l->opt->policy;
	struct clone_args args = { .exit_signal = SIGCHLD, .flags = CLONE_PIDFD,
				   .pidfd = (uint64_t)(uintptr_t)&s->gateway_pidfd };
	AUTO_FD int policy = -1, ours = -1, theirs = -1, control = -1, program = -1, network = -1,
		    entered = -1, failed = -1;
	struct outer_ids o = { .writer = MAP_NONE };
	int pair[2], rc;
	long pid;

	if (!(policy_needs(&p->policy) & POLICY_NEEDS_GATEWAY))
		return 0;
	rc = plan_gateway_ids(l, &o, e);
	if (rc == 0)
		rc = program = helper_open("vrun-gateway", o.change_id, e);
	rc = rc < 0 ? rc : 0;
	if (rc == 0)
		rc = outside_open(l, &network, e);
	if (rc == 0)
		rc = write_policies(l, &policy, e);
	if (rc == 0)
		rc = control_listen(s->gateway_control, &control, e);
	if (rc < 0)
		return rc;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	ours = pair[0];
	theirs = pair[1];
	if (network >= 0 && pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, "pipe of the gateway");
	entered = network >= 0 ? pair[0] : -1;
	failed = network >= 0 ? pair[1] : -1;
	pid = syscall(__NR_clone3, &args, sizeof args);
	if (pid < 0)
		return err_sys(e, "the gateway's process");
	if (pid == 0)
		child_main(&(struct child_fds){ program, theirs, policy, control, network, failed }, l, &o);
	s->gateway_pid = (pid_t)pid;
	s->gateway = fd_take(&ours);
	fd_close(&failed);
	return network >= 0 ? await_entered(entered, l, e) : 0;
}

void gateway_reap(struct supervisor *s)
{
	struct pollfd p = { .fd = s->gateway_pidfd, .events = POLLIN };

	if (s->gateway_pidfd < 0)
		return;
	if (poll(&p, 1, END_MS) == 0)
		(void)sys_pidfd_send_signal(s->gateway_pidfd, SIGKILL);
	while (waitpid(s->gateway_pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&s->gateway_pidfd);
}
