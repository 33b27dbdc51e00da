/* SPDX-License-Identifier: Apache-2.0 */
#include "run/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/landlock.h"
#include "run/policy_apply.h"
#include "run/records.h"

#define ANSWER_MAX 262144
#define ANSWER_MS 60000 /* longest wait for an answer; another launch may have to get ready first */
#define SETTLE_TRIES 20 /* a supervisor that others use stays, and so does its socket */
#define SETTLE_MS 50
#define END_MS 10000 /* longest wait for a supervisor that has nothing left to do, or lingers (sup/sup.c) */

void supervisor_init(struct supervisor *s)
{
	*s = (struct supervisor){ .sock = -1, .spaces = { -1, -1 }, .pidfd = -1, .listener = -1, .lock = -1,
				  .gateway = -1, .gateway_pidfd = -1 };
}

/* --- its socket -------------------------------------------------------------------- */

/* By the directory's descriptor: its path may be longer than a socket's name can be. */
static struct sockaddr_un address(int state_fd, const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/%.80s", state_fd, name);
	return sa;
}

static int connect_with(int state_fd, const char *name, int flags)
{
	const struct sockaddr_un sa = address(state_fd, name);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
		return -errno;
	return fd_take(&fd);
}

static int connect_to(int state_fd, const char *name)
{
	return connect_with(state_fd, name, 0);
}

bool supervisor_is_dead(int state_fd, const char *name)
{
	int fd = connect_with(state_fd, name, SOCK_NONBLOCK);
	bool refused = fd == -ECONNREFUSED;

	fd_close(&fd);
	return refused;
}

/* Of several first runs one starts a fabric, and none removes what another has just made. The lock is the
 * directory's own, so nothing is left of it. */
static int lock_directory(int state_fd)
{
	int fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

bool supervisor_remove_socket(int state_fd, const char *name)
{
	AUTO_FD int lock = name[0] ? lock_directory(state_fd) : -1;
	int fd = lock >= 0 ? connect_to(state_fd, name) : -EINVAL;
	bool refused = fd == -ECONNREFUSED;

	if (refused)
		(void)unlinkat(state_fd, name, 0);
	fd_close(&fd);
	return refused;
}

/* --- messages ---------------------------------------------------------------------- */

static int send_message(int sock, json_t *message, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} ctl = { 0 };
	AUTO_FREE char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0, sent = 0;

	json_decref(message);
	if (!text)
		return -ENOMEM;
	while (sent < len) {
		struct iovec iov = { text + sent, len - sent };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (n_fds && sent == 0) {
			m.msg_control = ctl.buf;
			m.msg_controllen = CMSG_SPACE(n_fds * sizeof *fds);
			ctl.align = (struct cmsghdr){ CMSG_LEN(n_fds * sizeof *fds), SOL_SOCKET, SCM_RIGHTS };
			memcpy(CMSG_DATA(&ctl.align), fds, n_fds * sizeof *fds);
		}
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		sent += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Keeps at most two descriptors, in order. */
static void take_fds(struct msghdr *m, int *fds)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	size_t n = h && h->cmsg_type == SCM_RIGHTS ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
		if (fds && i < 2 && fds[i] < 0)
			fds[i] = fd;
		else
			(void)close(fd);
	}
}

/*
 * One line of JSON, with up to two descriptors (or NULL: none are kept).
 * -EPIPE: the supervisor has gone; -EAGAIN: nothing in time (negative: for ever).
 */
static int receive_line(int sock, int timeout, json_t **ret, int *ret_fds)
{
	AUTO_FREE char *text = malloc(ANSWER_MAX);
	size_t len = 0;

	while (text && (len == 0 || text[len - 1] != '\n')) {
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(2 * sizeof(int))];
		} ctl;
		struct pollfd p = { .fd = sock, .events = POLLIN };
		struct iovec iov = { text + len, ANSWER_MAX - len };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
				    .msg_controllen = sizeof ctl.buf };
		ssize_t n;

		if (len == ANSWER_MAX)
			return -E2BIG;
		if (poll(&p, 1, timeout) == 0)
			return -EAGAIN;
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE; /* reset, too: it ended with our message unread */
		take_fds(&m, ret_fds);
		len += (size_t)n;
	}
	*ret = text ? json_loadb(text, len, 0, NULL) : NULL;
	return *ret ? 0 : -EPROTO;
}

static int explain(int rc, struct err *e)
{
	if (rc == -EPIPE)
		return err_set(e, EPIPE, "the supervisor has ended");
	if (rc == -EAGAIN)
		return err_set(e, ETIMEDOUT, "the supervisor does not answer");
	if (rc == -ETOOMANYREFS)
		return fd_send_refused(e);
	return err_num(e, -rc, "answer of the supervisor");
}

/* --- starting, joining --------------------------------------------------------------- */

/* It has no name yet: should we be killed before there is a keeper, nobody would remove it. */
static int start_new(struct supervisor *s, const struct launch *l, struct err *e)
{
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return s->listener < 0 ? err_sys(e, "the supervisor's socket") : supervisor_spawn(s, l, s->listener, e);
}

static int start_private(struct supervisor *s, const struct launch *l, struct err *e)
{
	uint64_t r = 0;

	if (getrandom(&r, sizeof r, 0) != sizeof r)
		return err_sys(e, "random numbers");
	(void)snprintf(s->name, sizeof s->name, "supervisor-%016llx.sock", (unsigned long long)r);
	return start_new(s, l, e);
}

/* Whoever answers is of our own user: the directory is. */
static int greet(struct supervisor *s, struct err *e)
{
	struct ucred who;
	socklen_t len = sizeof who;
	json_t *answer = NULL;
	int users = 0, rc = send_message(s->sock, json_pack("{s:b}", "join", 1), NULL, 0);

	if (rc == 0)
		rc = receive_line(s->sock, ANSWER_MS, &answer, s->spaces);
	if (rc < 0)
		return explain(rc, e);
	(void)json_unpack(answer, "{s:b}", "users", &users);
	json_decref(answer);
	if (!users) { /* only the pid namespace came */
		s->spaces[1] = s->spaces[0];
		s->spaces[0] = -1;
	}
	/* Who called listen(2) last. It lives as long as we are connected. */
	if (getsockopt(s->sock, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.pid > 0)
		s->pidfd = sys_pidfd_open(who.pid, 0);
	return 0;
}

static int join_or_start(struct supervisor *s, const struct launch *l, int state_fd, struct err *e)
{
	int rc;

	s->sock = connect_to(state_fd, s->name);
	if (s->sock >= 0) {
		rc = greet(s, e);
		if (rc != -EPIPE)
			return rc;
		fd_close(&s->sock); /* it was about to end */
	} else if (s->sock != -ECONNREFUSED && s->sock != -ENOENT) {
		return err_num(e, -s->sock, "fabric %s", l->opt->fabric);
	}
	s->sock = -1;
	if (unlinkat(state_fd, s->name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "%s", s->name);
	return start_new(s, l, e);
}

int supervisor_start(struct supervisor *s, const struct launch *l, int state_fd, struct err *e)
{
	int rc;

	if (!l->opt->fabric)
		return start_private(s, l, e);
	s->shared = true;
	(void)snprintf(s->name, sizeof s->name, "fabric-%s.sock", l->opt->fabric);
	s->lock = lock_directory(state_fd);
	if (s->lock < 0)
		return err_sys(e, "state directory");
	rc = join_or_start(s, l, state_fd, e);
	if (s->listener < 0)
		fd_close(&s->lock);
	return rc;
}

int supervisor_publish(struct supervisor *s, int state_fd, struct err *e)
{
	const struct sockaddr_un sa = address(state_fd, s->name);
	mode_t mask;
	int rc;

	if (s->listener < 0)
		return 0;
	mask = umask(0177);
	rc = bind(s->listener, (const struct sockaddr *)&sa, sizeof sa);
	(void)umask(mask);
	if (rc < 0 || listen(s->listener, SOMAXCONN) < 0)
		return err_sys(e, "the supervisor's socket %s", s->name);
	s->published = true;
	fd_close(&s->listener);
	fd_close(&s->lock);
	return 0;
}

/* --- a container ---------------------------------------------------------------------- */

static json_t *text_of(const struct json_doc *doc)
{
	return json_pack("{s:s, s:s}", "name", doc->name, "text", doc->text);
}

/* What the descriptors are. */
static json_t *fds_of(const struct supervisor *s, const struct records *r)
{
	json_t *list = json_pack("[s, s, s*]", "seccompFd", "network", s->gateway >= 0 ? "gateway" : NULL);

	for (int i = 0; i < r->n; i++)
		(void)json_array_append_new(list, json_string("record"));
	return list;
}

static json_t *records_of(const struct launch *l, const struct records *r)
{
	json_t *list = json_array();

	for (int i = 0; i < r->n; i++)
		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "file", r->files[i].name, "format",
							    policy_record_name(r->files[i].format), "max",
							    (json_int_t)(l->opt->record_max ? l->opt->record_max : RECORD_MAX_DEFAULT)));
	return list;
}

static json_t *state_of(const struct supervisor *s, const struct launch *l, const struct records *r, pid_t pid)
{
	const struct policy_applied *p = l->opt->policy;
	json_t *own = json_pack("{s:o, s:i, s:b}", "policy", text_of(&p->text), "landlock", l->opt->foreign ? 0 : landlock_abi(),
				"listen", s->published);
	const char *bundle = l->bundle->dir ? l->bundle->dir : "/";

	if (own && l->bundle->hostname)
		(void)json_object_set_new(own, "hostname", json_string(l->bundle->hostname));
	if (own && l->opt->ask)
		(void)json_object_set_new(own, "ask", json_true());
	if (own && l->opt->relayed)
		(void)json_object_set_new(own, "relayed", json_true());
	if (own && l->opt->attempts)
		(void)json_object_set_new(own, "attempts", json_true());
	if (own && r->n)
		(void)json_object_set_new(own, "records", records_of(l, r));
	if (own && p->has_ceiling)
		(void)json_object_set_new(own, "ceiling", text_of(&p->ceiling_text));
	return json_pack("{s:s, s:o, s:i, s:s, s:{s:s, s:s, s:s, s:i, s:s}, s:o}", "ociVersion", "1.2.0", "fds",
			 fds_of(s, r), "pid", (int)pid, "metadata", "", "state", "ociVersion", "1.2.0",
			 "id", l->opt->id, "status", "creating", "pid", (int)pid, "bundle", bundle, "vrun", own);
}

/* The error of an answer, or 0. */
static int error_of(json_t *answer, struct err *e)
{
	const char *text = NULL, *hint = "";
	int number = EPROTO, rc = 0;

	if (json_unpack(answer, "{s:s, s?s, s?i}", "error", &text, "hint", &hint, "number", &number) == 0 &&
	    text) {
		rc = err_set(e, number > 0 ? number : EPROTO, "%s", text);
		if (*hint)
			rc = err_hint(e, "%s", hint);
	}
	return rc;
}

int supervisor_connect(struct supervisor *s, int state_fd, const char *name, struct err *e)
{
	if (!name || !*name)
		return err_set(e, ENOENT, "the container has no supervisor");
	s->sock = connect_to(state_fd, name);
	if (s->sock < 0) {
		int num = -s->sock;

		s->sock = -1;
		return err_num(e, num, "the container's supervisor");
	}
	return 0;
}

void supervisor_disconnect(struct supervisor *s)
{
	fd_close(&s->sock);
}

int supervisor_complaint(const struct supervisor *s, struct err *e)
{
	json_t *answer = NULL;
	int rc;

	if (s->sock < 0 || receive_line(s->sock, 0, &answer, NULL) < 0)
		return 0;
	rc = error_of(answer, e);
	json_decref(answer);
	return rc;
}

int supervisor_hand_over(struct supervisor *s, const struct launch *l, pid_t pid, int listener,
			 int network, struct err *e)
{
	int fds[3 + POLICY_RECORDS_MAX] = { listener, network, s->gateway };
	size_t n = s->gateway >= 0 ? 3 : 2;
	struct records r = { .dir = -1 };
	json_t *answer = NULL;
	int rc = records_open(&r, l, e);

	if (rc < 0) {
		records_fini(&r);
		return rc;
	}
	for (int i = 0; i < r.n; i++)
		fds[n++] = r.fds[i];
	rc = send_message(s->sock, state_of(s, l, &r, pid), fds, n);
	fd_close(&s->gateway);
	if (rc == 0)
		rc = receive_line(s->sock, ANSWER_MS, &answer, NULL);
	rc = rc < 0 ? explain(rc, e) : error_of(answer, e);
	json_decref(answer);
	if (rc < 0)
		records_remove(&r);
	records_fini(&r);
	return rc;
}

int supervisor_farewell(const struct supervisor *s, const struct launch *l)
{
	json_t *last = NULL, *summary, *attempts;
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	int rc = s->sock < 0 ? 0 : receive_line(s->sock, END_MS, &last, NULL);

	if (s->sock < 0 || rc < 0)
		return rc == -EPIPE ? rc : 0;
	summary = json_object_get(last, "summary");
	attempts = json_object_get(last, "attempts");
	if (attempts && l->opt->attempts)
		l->opt->attempts(attempts);
	text = summary ? json_dumps(summary, JSON_COMPACT) : NULL;
	json_decref(last);
	if (!text || !l->opt->denials || json_doc_parse(&doc, "summary", text, strlen(text), NULL) < 0)
		return 0;
	l->opt->denials(&doc);
	json_doc_fini(&doc);
	return 0;
}

/* Says that we leave, and waits until it has seen that; if we were its last it stops listening first. */
static void leave(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	char rest[256];

	if (sock < 0 || shutdown(sock, SHUT_WR) < 0)
		return;
	while (poll(&p, 1, END_MS) == 1 && recv(sock, rest, sizeof rest, 0) > 0)
		;
}

/*
 * The first process of a pid namespace ends after all the others have been
 * reaped. A launch that broke off may have left one of those to us.
 */
static void reap(pid_t supervisor)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, __WALL);
	while (pid != supervisor && (pid > 0 || errno == EINTR));
}

void supervisor_outlive(int state_fd, const char *name)
{
	for (int i = 0; i < SETTLE_TRIES && name[0] && !supervisor_remove_socket(state_fd, name); i++) {
		AUTO_FD int sock = connect_to(state_fd, name);

		if (sock == -ENOENT)
			return;
		/* As the last launcher leaves: when it hears no more, nobody listens. */
		if (sock >= 0 && send_message(sock, json_pack("{s:b}", "join", 1), NULL, 0) == 0)
			leave(sock);
		if (i > 0)
			(void)poll(NULL, 0, SETTLE_MS);
	}
}

void supervisor_fini(struct supervisor *s, int state_fd)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
	bool ends;

	fd_close(&s->listener);
	fd_close(&s->lock);
	fd_close(&s->gateway);
	leave(s->sock);
	fd_close(&s->sock);
	ends = state_fd >= 0 && supervisor_remove_socket(state_fd, s->name);
	if (s->pidfd >= 0 && (!s->shared || ends) && poll(&p, 1, END_MS) == 0 && !s->shared)
		(void)sys_pidfd_send_signal(s->pidfd, SIGKILL);
	if (s->pid > 0 && (!s->shared || ends))
		reap(s->pid);
	gateway_reap(s);
	fd_close(&s->spaces[0]);
	fd_close(&s->spaces[1]);
	fd_close(&s->pidfd);
	s->name[0] = '\0';
}
