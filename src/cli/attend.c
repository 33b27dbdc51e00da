/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/attend.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/profile.h"
#include "run/launch.h"
#include "run/policy_apply.h"
#include "run/records.h"
#include "run/state.h"
#include "run/supervisor.h"
#include "sup/admit.h"
#include "sup/agent.h"
#include "sup/network.h"

#define ROOM 4096

/* --- what is said --------------------------------------------------------------------- */

/* Runtimes keep the connection open, so it is whole when it is JSON. */
static bool is_whole(const char *text, size_t len, struct json_doc *doc, struct err *e)
{
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	return len && text[len - 1] == '}' && json_doc_parse(doc, "container state", text, len, e) == 0;
}

/*
 * Looks at a message and leaves it where it is, for whom it is meant for. 1; 0: they hung up without one. What has
 * been looked at is not looked at twice (SO_PEEK_OFF, socket(7)).
 */
static int look(int conn, struct json_doc *ret, size_t *ret_len, struct err *e)
{
	AUTO_FREE char *text = NULL;
	const int begin = 0;
	size_t len = 0, room = 0;

	if (setsockopt(conn, SOL_SOCKET, SO_PEEK_OFF, &begin, sizeof begin) < 0)
		return err_sys(e, "container state");
	for (;;) {
		ssize_t n;

		if (len == room) {
			char *more = realloc(text, room += room + ROOM);

			if (!more)
				return err_num(e, ENOMEM, "container state");
			text = more;
		}
		n = recv(conn, text + len, room - len, MSG_PEEK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 && len && e->num)
			return -e->num;
		if (n <= 0)
			return len ? err_set(e, EINVAL, "container state: ended in the middle") : 0;
		len += (size_t)n;
		*ret_len = len;
		if (is_whole(text, len, ret, e))
			return 1;
		if (len >= AGENT_STATE_MAX)
			return err_set(e, E2BIG, "container state: longer than %d bytes", AGENT_STATE_MAX);
	}
}

/* Who has sent something that nobody has read would see a reset. */
static void discard(int conn)
{
	char buf[ROOM];

	while (recv(conn, buf, sizeof buf, MSG_DONTWAIT) > 0)
		;
}

static void keep_fds(struct msghdr *m, int *fds, size_t *n)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (*n < FD_PASS_MAX)
				fds[(*n)++] = fd;
			else
				(void)close(fd);
		}
	}
}

/* The same message, with what came beside it. */
static int take(int conn, size_t len, int *fds, size_t *ret_n, struct err *e)
{
	const int off = -1;

	(void)setsockopt(conn, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
	while (len) {
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
		} ctl;
		char buf[ROOM];
		struct iovec iov = { buf, len < sizeof buf ? len : sizeof buf };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
		ssize_t n = recvmsg(conn, &m, MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, EPIPE, "container state: its sender has gone");
		keep_fds(&m, fds, ret_n);
		len -= (size_t)n;
	}
	return 0;
}

/* --- handing on ------------------------------------------------------------------------ */

static int hand_in(int door, int conn)
{
	int flags = fcntl(conn, F_GETFL);

	if (flags < 0 || fcntl(conn, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return fd_send(door, 'c', &conn, 1);
}

/* Until they hang up, or the supervisor is gone. */
static void outlast(int conn, int door, short what)
{
	struct pollfd p[] = { { .fd = conn, .events = what }, { .fd = door, .events = 0 } };

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
}

/* Of vrun's own: a question, or a launcher. */
static bool is_own(const struct json_doc *doc, bool *ret_stays)
{
	struct jat root = json_root(doc), own;
	bool join = false;

	if (query_is(doc))
		return true;
	*ret_stays = json_expect_object(&root, NULL) == 0 &&
		     ((json_get_bool(&root, "join", &join, NULL) == 1 && join) || json_member(&root, "vrun", &own));
	return *ret_stays;
}

/* --- gateways ------------------------------------------------------------------------------ */

static void tell_gateway(const struct attend_params *p, const char *id, const char *control)
{
	struct attend_slot *s = &p->slots[p->slot];
	struct timespec now = { 0 };

	if (!*control || strlen(id) >= sizeof s->id)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	s->since = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	(void)snprintf(s->id, sizeof s->id, "%s", id);
	(void)snprintf(s->control, sizeof s->control, "%s", control);
	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
}

static const char *find_gateway(const struct attend_params *p, const char *id)
{
	const struct attend_slot *found = NULL;

	for (size_t i = 0; i < AGENT_PEERS_MAX; i++) {
		const struct attend_slot *s = &p->slots[i];

		if (__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE) && strcmp(s->id, id) == 0 &&
		    (!found || s->since < found->since))
			found = s;
	}
	return found ? found->control : "";
}

/* Whether that is the question. */
static bool answer_gateway(const struct attend_params *p, const struct json_doc *doc, int conn)
{
	const char *id = json_string_value(json_object_get(doc->root, ATTEND_GATEWAY_OF));
	char text[CONTROL_NAME_SIZE + 64];

	if (!id)
		return false;
	(void)snprintf(text, sizeof text, "{\"gateway\":\"%s\"}\n", find_gateway(p, id));
	discard(conn);
	(void)send(conn, text, strlen(text), MSG_NOSIGNAL);
	return true;
}

/* --- a container of another runtime -------------------------------------------------------- */

static int find_policy(const struct attend_params *p, const struct admit_state *s, struct policy_applied *ret,
		       struct err *e)
{
	struct policy_sources from = { .option = p->policy, .bundle_fd = -1, .bundle_dir = s->bundle,
				       .annotation = s->annotation };
	/* "vrun policy seccomp" puts it there. */
	const char *text = !p->policy && s->metadata && s->metadata[0] == '{' ? s->metadata : NULL;
	AUTO_FD int dir = -1;

	if (!p->policy && !text && s->bundle) {
		dir = open(s->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_sys(e, "bundle of container %s", s->id);
		from.bundle_fd = dir;
	}
	return policy_apply_foreign(&from, text, p->ceiling, ret, e);
}

/* A filter that we know nothing of may let an app aim a socket of the host's elsewhere. */
static bool may_have_sockets(const struct admit_state *s, const struct policy *p)
{
	struct bundle b = { .dir = NULL };
	bool ours;

	if (!s->bundle || bundle_load(&b, s->bundle, NULL) < 0)
		return false;
	ours = profile_is_ours(&b.seccomp, p);
	bundle_fini(&b);
	return ours;
}

static int connect_in(int door, int *ret, struct err *e)
{
	AUTO_FD int ours = -1, theirs = -1;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	ours = pair[0];
	theirs = pair[1];
	rc = hand_in(door, theirs);
	if (rc < 0)
		return err_num(e, -rc, "the supervisor");
	*ret = fd_take(&ours);
	return 0;
}

/*
 * A directory of its own, since two containers may give their files the same name. What the container can write
 * to its configuration says.
 */
static int place_records(const struct attend_params *p, const struct admit_state *s, struct launch *l,
			 struct launch_options *opt, struct err *e)
{
	struct bundle *b = l->bundle;
	const char *dir;
	bool made;
	int rc;

	if (!p->record || !records_wanted(l))
		return 0;
	if (state_check_id(s->id, e) < 0)
		return -e->num;
	if (!s->bundle || bundle_load(b, s->bundle, e) < 0)
		return s->bundle ? err_wrap(e, "container %s has records", s->id) :
				   err_set(e, EINVAL, "container %s has records, and no bundle", s->id);
	dir = arena_printf(&b->arena, "%s/%s", p->record, s->id);
	l->root_dir = arena_printf(&b->arena, "%s%s%s", *b->root_path == '/' ? "" : s->bundle, *b->root_path == '/' ? "" : "/",
				   b->root_path);
	if (!dir || !l->root_dir)
		return err_num(e, ENOMEM, "records of container %s", s->id);
	made = mkdir(dir, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_sys(e, "%s", dir);
	opt->record_dir = dir;
	opt->record_max = p->record_max;
	rc = records_check(l, e);
	if (rc < 0 && made)
		(void)rmdir(dir);
	return rc;
}

static int hand_over(const struct attend_params *p, pid_t pid, const struct launch *l, struct supervisor *sup,
		     int listener, int network, struct err *e)
{
	int rc = records_check(l, e);

	if (rc == 0)
		rc = connect_in(p->door, &sup->sock, e);
	if (rc == 0)
		rc = gateway_spawn(sup, l, e);
	return rc == 0 ? supervisor_hand_over(sup, l, pid, listener, network, e) : rc;
}

/* When it is served it takes the listener and the connection, whose runtime has nothing more to hear. */
static int serve(const struct attend_params *p, const struct admit_state *s, const struct policy_applied *applied,
		 int *listener, int *conn, struct err *e)
{
	struct bundle b = { .dir = s->bundle };
	struct launch_options opt = { .id = s->id, .policy = applied, .foreign = true };
	struct launch l = { .bundle = &b, .opt = &opt };
	struct supervisor sup;
	AUTO_FD int network = -1;
	int rc = network_of_process((pid_t)s->pid, &network, e); /* it may end soon */

	supervisor_init(&sup);
	if (rc == 0)
		rc = place_records(p, s, &l, &opt, e);
	if (policy_needs(&applied->policy) & POLICY_NEEDS_GATEWAY)
		opt.relayed = !may_have_sockets(s, &applied->policy);
	if (rc == 0)
		rc = hand_over(p, (pid_t)s->pid, &l, &sup, *listener, network, e);
	if (rc == 0) {
		fd_close(listener);
		fd_close(conn);
		tell_gateway(p, s->id, sup.gateway_control);
		outlast(sup.sock, p->door, POLLIN);
		__atomic_store_n(&p->slots[p->slot].ready, 0, __ATOMIC_RELEASE);
	}
	fd_close(&sup.gateway);
	supervisor_disconnect(&sup);
	gateway_reap(&sup);
	bundle_fini(&b);
	return rc;
}

static int take_container(const struct attend_params *p, const struct json_doc *doc, size_t len, int *conn, struct err *e)
{
	struct policy_applied applied;
	struct admit_state s;
	int fds[FD_PASS_MAX];
	size_t n = 0;
	int rc = take(*conn, len, fds, &n, e);

	if (rc == 0)
		rc = admit_parse(doc, n, &s, e);
	if (rc == 0 && (rc = find_policy(p, &s, &applied, e)) == 0) {
		rc = serve(p, &s, &applied, &fds[s.listener], conn, e);
		policy_applied_fini(&applied);
	}
	/* Said before its calls fail for want of the listener: who sees that it has ended may end us. */
	if (rc < 0 && e->num)
		log_err(e);
	e->num = 0;
	for (size_t i = 0; i < n; i++)
		fd_close(&fds[i]);
	return rc;
}

/* Announced, so that nobody ends before it comes; and whoever waits for it alone ends with it. */
static bool is_expected(const struct json_doc *doc)
{
	struct jat root = json_root(doc);
	bool expect = false;

	return json_expect_object(&root, NULL) == 0 && json_get_bool(&root, "expect", &expect, NULL) == 1 && expect;
}

static int expect(const struct attend_params *p, int conn, size_t len, struct err *e)
{
	int fds[FD_PASS_MAX];
	size_t n = 0;
	int rc = take(conn, len, fds, &n, e);

	if (rc == 0 && n != 1)
		rc = err_set(e, EINVAL, "container: announced without its process");
	if (rc == 0 && p->closing)
		rc = -EPIPE;
	if (rc == 0 && send(conn, "+", 1, MSG_NOSIGNAL) == 1)
		outlast(fds[0], p->door, POLLIN);
	for (size_t i = 0; i < n; i++)
		fd_close(&fds[i]);
	return rc;
}

int attend(const struct attend_params *p, int conn)
{
	int status = ATTEND_NOTHING, rc;
	struct json_doc doc;
	struct err e = { 0 };
	bool stays = false;
	size_t len = 0;

	rc = look(conn, &doc, &len, &e);
	if (rc == 1 && is_own(&doc, &stays)) {
		if (hand_in(p->door, conn) == 0 && stays) {
			outlast(conn, p->door, POLLRDHUP);
			status = ATTEND_SERVED;
		}
	} else if (rc == 1 && answer_gateway(p, &doc, conn)) {
		json_doc_fini(&doc);
	} else if (rc == 1) {
		rc = is_expected(&doc) ? expect(p, conn, len, &e) : take_container(p, &doc, len, &conn, &e);
		if (rc == 0)
			status = ATTEND_SERVED;
		json_doc_fini(&doc);
	}
	if (rc < 0) {
		if (e.num)
			log_err(&e);
		discard(conn);
	}
	fd_close(&conn);
	return status;
}
