/* SPDX-License-Identifier: Apache-2.0 */
#include "run/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "run/namespaces.h"
#include "run/sync.h"

#define STATE_MAX 200000U /* bytes; one message over the sync socket */
#define TOLD_MAX 400      /* of what a hook has written, in the error */
#define LOOK_MS 100       /* whoever a hook leaves behind may keep its streams open */

static const char *const kinds[HOOK_KINDS] = {
	[HOOK_PRESTART] = "prestart",		    [HOOK_CREATE_RUNTIME] = "createRuntime",
	[HOOK_CREATE_CONTAINER] = "createContainer", [HOOK_START_CONTAINER] = "startContainer",
	[HOOK_POSTSTART] = "poststart",		    [HOOK_POSTSTOP] = "poststop",
};

struct run_hook {
	pid_t pid;
	int in, out; /* our ends; -1 when done */
	const char *left; /* of the state */
	size_t n_left;
	char told[TOLD_MAX + 1];
	size_t n_told;
};

static _Noreturn void child(const struct bundle_hook *h, int in, int out)
{
	static const char *const no_env[] = { NULL };
	const char *own[] = { h->path, NULL };
	const char *const *argv = h->args.n ? h->args.v : own;
	sigset_t none;

	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		_exit(127);
	(void)execve(h->path, (char *const *)(uintptr_t)argv,
		     (char *const *)(uintptr_t)(h->env.n ? h->env.v : no_env));
	(void)dprintf(2, "%s", err_text(errno));
	_exit(127);
}

static int start(const struct bundle_hook *h, struct run_hook *r)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		fd_close(&in[0]);
		fd_close(&in[1]);
		return -ENFILE;
	}
	r->pid = fork();
	if (r->pid == 0)
		child(h, in[0], out[1]);
	fd_close(&in[0]);
	fd_close(&out[1]);
	r->in = in[1];
	r->out = out[0];
	(void)fcntl(r->in, F_SETFL, O_NONBLOCK);
	(void)fcntl(r->out, F_SETFL, O_NONBLOCK);
	return r->pid < 0 ? -EAGAIN : 0;
}

/* Gives it the state, takes what it says. It may read nothing and say much. */
static void serve(struct run_hook *r, int timeout)
{
	struct pollfd p[2] = { { .fd = r->in, .events = POLLOUT }, { .fd = r->out, .events = POLLIN } };
	char rest[512];
	ssize_t n;

	if (poll(p, 2, timeout) <= 0)
		return;
	if (p[0].revents) {
		n = write(r->in, r->left, r->n_left);
		r->left += n > 0 ? n : 0;
		r->n_left -= n > 0 ? (size_t)n : 0;
		if (r->n_left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			fd_close(&r->in);
	}
	if (p[1].revents) {
		n = read(r->out, rest, sizeof rest);
		if (n == 0)
			fd_close(&r->out);
		if (n > 0) {
			size_t room = TOLD_MAX - r->n_told, take = (size_t)n < room ? (size_t)n : room;

			memcpy(r->told + r->n_told, rest, take);
			r->n_told += take;
		}
	}
}

static bool told_to_end(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return false;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (sigismember(&pending, ends[i]))
			return true;
	return false;
}

static int64_t now_ms(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Its status, or -ETIMEDOUT or -EINTR after it was killed with all that it has started. */
static int await(const struct bundle_hook *h, struct run_hook *r, int *ret_status)
{
	int64_t end = h->timeout > 0 && h->timeout < INT32_MAX ? now_ms() + h->timeout * 1000 : INT64_MAX;
	int rc = 0;

	while (waitpid(r->pid, ret_status, WNOHANG) == 0) {
		int64_t left = end - now_ms();

		if (left <= 0 || told_to_end()) {
			rc = left <= 0 ? -ETIMEDOUT : -EINTR;
			(void)kill(-r->pid, SIGKILL);
			(void)kill(r->pid, SIGKILL);
			(void)waitpid(r->pid, ret_status, 0);
			break;
		}
		serve(r, left < LOOK_MS ? (int)left : LOOK_MS);
	}
	if (r->out >= 0)
		serve(r, 0);
	return rc;
}

static int failed(const struct bundle_hook *h, const char *kind, const struct run_hook *r, int rc, int status,
		  struct err *e)
{
	char path[256], told[TOLD_MAX * 2];

	(void)log_quote(path, sizeof path, h->path);
	(void)log_quote(told, sizeof told, r->told);
	if (rc == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "%s hook %s: not done within %lld s", kind, path, (long long)h->timeout);
	if (rc == -EINTR)
		return err_set(e, EINTR, "%s hook %s: interrupted", kind, path);
	if (rc < 0)
		return err_num(e, -rc, "%s hook %s", kind, path);
	if (WIFSIGNALED(status))
		return err_set(e, ECANCELED, "%s hook %s: killed by signal %d", kind, path, WTERMSIG(status));
	return err_set(e, ECANCELED, "%s hook %s: exit status %d%s%s", kind, path, WEXITSTATUS(status),
		       *told ? ": " : "", told);
}

static int run_one(const struct bundle_hook *h, const char *kind, const char *state, struct err *e)
{
	struct run_hook r = { .in = -1, .out = -1, .left = state, .n_left = strlen(state) };
	int status = 0, rc = start(h, &r);

	if (rc == 0)
		rc = await(h, &r, &status);
	fd_close(&r.in);
	fd_close(&r.out);
	while (r.n_told > 0 && r.told[r.n_told - 1] == '\n')
		r.told[--r.n_told] = '\0';
	return rc < 0 || status != 0 ? failed(h, kind, &r, rc, status, e) : 0;
}

/* A monitor has signals blocked: one that came waits, ignored or not, and would end us after this. */
static void restore_sigpipe(void (*old)(int))
{
	(void)signal(SIGPIPE, SIG_IGN); /* drops it (kernel/signal.c, do_sigaction()) */
	(void)signal(SIGPIPE, old);
}

int hooks_run(const struct bundle *b, enum hook_kind kind, const char *state, struct err *e)
{
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	int rc = state ? 0 : err_num(e, ENOMEM, "hooks");

	for (size_t i = 0; rc == 0 && i < b->hooks.n[kind]; i++)
		rc = run_one(&b->hooks.v[kind][i], kinds[kind], state, e);
	restore_sigpipe(old);
	return rc;
}

void hooks_run_all(const struct bundle *b, enum hook_kind kind, const char *state)
{
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	struct err e;

	for (size_t i = 0; state && i < b->hooks.n[kind]; i++)
		if (run_one(&b->hooks.v[kind][i], kinds[kind], state, &e) < 0)
			log_warn("%s", e.text);
	restore_sigpipe(old);
}

char *hooks_state(const struct bundle *b, const char *id, const char *status, pid_t pid)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:{}}", "ociVersion", b->oci_version, "id", id, "status", status,
			      "bundle", b->dir, "annotations");
	json_t *notes = json_object_get(o, "annotations");
	char *text;

	if (o && pid > 0)
		(void)json_object_set_new(o, "pid", json_integer(pid));
	for (size_t i = 0; notes && i < b->n_annotations; i++)
		(void)json_object_set_new(notes, b->annotations[i].key, json_string(b->annotations[i].value));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

/* --- in the container ------------------------------------------------------------- */

/* By read(2): a filter may be in place. */
static int receive_text(int sync, char **ret, struct err *e)
{
	AUTO_FREE char *text = malloc(STATE_MAX + 1);
	char kind = 0;
	ssize_t n;

	if (!text)
		return err_num(e, ENOMEM, "state for the hooks");
	do
		n = read(sync, &kind, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1 || kind != SYNC_STATE)
		return err_set(e, EPIPE, "the monitor is gone");
	do
		n = read(sync, text, STATE_MAX);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return err_set(e, EPIPE, "the monitor is gone");
	text[n] = '\0';
	*ret = mem_take(&text);
	return 0;
}

static bool has_early(const struct bundle *b)
{
	return b->hooks.n[HOOK_PRESTART] || b->hooks.n[HOOK_CREATE_RUNTIME] || b->hooks.n[HOOK_CREATE_CONTAINER];
}

int hooks_before_root(struct launch *l, int sync, struct err *e)
{
	AUTO_FREE char *state = NULL;
	int rc;

	if (!has_early(l->bundle))
		return 0;
	/* They are to find the network that the container will have. */
	rc = namespaces_join_network(l, e);
	if (rc == 0 && fd_send(sync, SYNC_HOOKS, NULL, 0) < 0)
		rc = err_set(e, EPIPE, "the monitor is gone");
	if (rc == 0)
		rc = receive_text(sync, &state, e);
	return rc < 0 ? rc : hooks_run(l->bundle, HOOK_CREATE_CONTAINER, state, e);
}

int hooks_receive_state(struct launch *l, int sync, struct err *e)
{
	return l->bundle->hooks.n[HOOK_START_CONTAINER] ? receive_text(sync, &l->start_state, e) : 0;
}

/* --- in the monitor ---------------------------------------------------------------- */

static char *state_of(const struct monitor *m, const char *status, pid_t pid)
{
	return hooks_state(m->l->bundle, m->l->opt->id, status, pid);
}

static int send_text(const struct monitor *m, const char *text, struct err *e)
{
	if (!text || strlen(text) > STATE_MAX)
		return err_set(e, E2BIG, "the annotations are too many for the state that hooks are given");
	if (fd_send(m->sync, SYNC_STATE, NULL, 0) < 0 || send(m->sync, text, strlen(text), MSG_NOSIGNAL) < 0)
		return err_set(e, EPIPE, "the container ended early");
	return 0;
}

int hooks_serve(struct monitor *m, struct err *e)
{
	/* For the deprecated ones the specification counts differently, and so do their programs. */
	AUTO_FREE char *before = state_of(m, "created", m->pid), *state = state_of(m, "creating", m->pid);
	const struct bundle *b = m->l->bundle;
	int rc;

	m->hooked = true;
	rc = hooks_run(b, HOOK_PRESTART, before, e);
	if (rc == 0)
		rc = hooks_run(b, HOOK_CREATE_RUNTIME, state, e);
	if (rc == 0)
		rc = send_text(m, state, e);
	return rc;
}

int hooks_await(struct monitor *m, struct err *e)
{
	int rc = 0;
	char c;

	while (rc == 0 && has_early(m->l->bundle) && !m->hooked) {
		/* An end of file is no exec here. */
		ssize_t n = recv(m->sync, &c, 1, MSG_PEEK);

		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		rc = n <= 0 ? err_set(e, EPIPE, "the container ended early") : monitor_hear(m, e);
	}
	return rc;
}

int hooks_send_state(struct monitor *m, struct err *e)
{
	AUTO_FREE char *state = NULL;

	if (!m->l->bundle->hooks.n[HOOK_START_CONTAINER])
		return 0;
	m->hooked = true;
	state = state_of(m, "created", m->pid);
	return send_text(m, state, e);
}

int hooks_poststart(struct monitor *m, struct err *e)
{
	AUTO_FREE char *state = NULL;

	m->hooked = true;
	if (!m->l->bundle->hooks.n[HOOK_POSTSTART])
		return 0;
	state = state_of(m, "running", m->pid);
	return hooks_run(m->l->bundle, HOOK_POSTSTART, state, e);
}

void hooks_poststop(struct monitor *m)
{
	AUTO_FREE char *state = NULL;

	if (!m->hooked || !m->l->bundle->hooks.n[HOOK_POSTSTOP])
		return;
	state = state_of(m, "stopped", 0);
	hooks_run_all(m->l->bundle, HOOK_POSTSTOP, state);
}
