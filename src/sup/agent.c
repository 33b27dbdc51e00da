/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/agent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/json.h"
#include "sup/admit.h"

struct agent_peer {
	LIST_ENTRY(agent_peer) link;
	struct watch watch;
	struct agent *agent;
	int fd; /* owned */
	size_t len, room, n_fds;
	int fds[FD_PASS_MAX];  /* owned */
	char *text;            /* owned */
	struct domain *domain; /* that it brought; then nothing more is read */
	bool told;             /* it has heard of the end of that, too */
	bool launcher;         /* vrun's, which has said so */
	bool own;              /* vrun's launcher, which stays until its end */
};

/* --- what launchers are told ------------------------------------------------------- */

static void tell_error(const struct agent_peer *p, const struct err *e);

/* Small, to a socket that holds nothing yet: it fits, or the launcher is gone. Takes the answer. */
static void tell(const struct agent_peer *p, json_t *answer, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(2 * sizeof(int))];
	} ctl = { 0 };
	AUTO_FREE char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	struct iovec iov[] = { { text, text ? strlen(text) : 0 }, { (char[]){ '\n' }, 1 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	struct err e;

	json_decref(answer);
	if (n) {
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(n * sizeof *fds);
		ctl.align = (struct cmsghdr){ CMSG_LEN(n * sizeof *fds), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), fds, n * sizeof *fds);
	}
	if (text && sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == ETOOMANYREFS && n) {
		(void)fd_send_refused(&e);
		tell_error(p, &e); /* it would wait for its answer */
	}
}

static void tell_error(const struct agent_peer *p, const struct err *e)
{
	tell(p, json_pack("{s:s, s:s, s:i}", "error", e->text, "hint", e->hint, "number", e->num), NULL, 0);
}

static void tell_taken(const struct agent_peer *p, const struct domain *d)
{
	json_t *names = json_array(), *addresses = json_array();
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < d->n_names; i++)
		(void)json_array_append_new(names, json_string(d->names[i]));
	for (size_t i = 0; i < d->n_virtual; i++)
		(void)json_array_append_new(addresses,
					    json_string(addr_format(&d->virtual[i], text, sizeof text)));
	tell(p, json_pack("{s:b, s:o, s:o}", "taken", 1, "names", names, "addresses", addresses), NULL, 0);
}

/* --- connections ------------------------------------------------------------------ */

static void peer_free(struct agent_peer *p)
{
	struct agent *a = p->agent;

	if (p->fd >= 0)
		loop_remove(&a->sup->loop, p->fd, &p->watch);
	LIST_REMOVE(p, link);
	a->n_peers--;
	fd_close(&p->fd);
	for (size_t i = 0; i < p->n_fds; i++)
		fd_close(&p->fds[i]);
	if (p->domain) {
		p->domain->ended = NULL;
		p->domain->settled = NULL;
	}
	free(p->text);
	free(p);
}

/*
 * The container's app has ended: its launcher hears how that went. It hangs up
 * when all of the container has: until then there is one process of it in our
 * pid namespace, which ends with us.
 */
static void ended(struct domain *d, void *ctx)
{
	AUTO_FREE char *summary = summary_json(d), *attempts = d->attempts ? attempts_text(d->attempts) : NULL;
	const int room = 2 * ATTEMPTS_BYTES;
	struct agent_peer *p = ctx;

	if (attempts)
		(void)setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	tell(p, json_pack("{s:b, s:o*, s:o*}", "ended", 1, "summary", summary ? json_loads(summary, 0, NULL) : NULL,
			  "attempts", attempts ? json_loads(attempts, 0, NULL) : NULL),
	     NULL, 0);
	p->domain = NULL;
	p->told = true;
}

/* It is served now, or cannot be. */
static void settled(struct domain *d, void *ctx, const struct err *e)
{
	struct agent_peer *p = ctx;

	if (e)
		d->ended = NULL;
	if (p->own && e) { /* it leaves when it has heard, which may be the end (see leave()) */
		tell_error(p, e);
		p->domain = NULL;
		p->told = true;
		return;
	}
	if (e)
		p->agent->complain(e);
	else if (p->own)
		tell_taken(p, d);
	if (!p->own)
		peer_free(p);
}

static int take_container(struct agent_peer *p, const struct json_doc *doc, struct err *e)
{
	struct agent *a = p->agent;
	struct admit_state s;
	struct domain *d = NULL;
	int rc = admit_parse(doc, p->n_fds, &s, e);

	if (rc == 0 && admit_process(a->sup, &s, p->fds, &rc, e)) {
		if (rc == 0 && s.own)
			tell(p, json_pack("{s:b}", "taken", 1), NULL, 0);
		return rc;
	}
	if (rc == 0 && s.listen)
		rc = agent_listen(a, e);
	if (rc == 0)
		rc = admit_container(a->sup, &s, a->policy, p->fds, &d, e);
	if (rc < 0 || !d)
		return rc;
	p->domain = d;
	p->own = s.own;
	p->launcher = p->launcher || s.own;
	d->settled = settled;
	d->settled_ctx = p;
	if (s.own) {
		d->ended = ended;
		d->ended_ctx = p;
	}
	return 0;
}

/*
 * {"join": true}: a launcher that is about to make a container wants to make
 * it in the supervisor's user namespace. The connection stays for the state.
 */
static bool wants_to_join(struct agent_peer *p, const struct json_doc *doc)
{
	struct jat root = json_root(doc);
	bool join = false;
	int fds[2];
	size_t n = 0;

	if (json_expect_object(&root, NULL) < 0 || json_get_bool(&root, "join", &join, NULL) != 1 || !join)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (p->agent->spaces[i] >= 0)
			fds[n++] = p->agent->spaces[i];
	tell(p, json_pack("{s:b, s:b}", "join", 1, "users", p->agent->spaces[0] >= 0), fds, n);
	p->len = 0;
	p->launcher = true;
	return true;
}

/* Keeps the descriptors of a message; those beyond the room for them are closed. */
static void keep_fds(struct agent_peer *p, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (p->n_fds < FD_PASS_MAX)
				p->fds[p->n_fds++] = fd;
			else
				(void)close(fd);
		}
	}
}

static int make_room(struct agent_peer *p)
{
	size_t room = p->room ? p->room * 2 : 4096;
	char *text;

	if (p->len < p->room)
		return 0;
	text = realloc(p->text, room);
	if (!text)
		return -ENOMEM;
	p->text = text;
	p->room = room;
	return 0;
}

static ssize_t receive(struct agent_peer *p)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = ctl.buf,
			    .msg_controllen = sizeof ctl.buf };
	ssize_t n;

	if (make_room(p) < 0)
		return -ENOMEM;
	/* cppcheck-suppress unreadVariable ; it is, through m */
	iov = (struct iovec){ p->text + p->len, p->room - p->len };
	n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n > 0)
		p->len += (size_t)n;
	if (n >= 0)
		keep_fds(p, &m);
	return n < 0 ? -errno : n;
}

/* Whether all has come. runc keeps the connection open, so that is when the JSON is whole. */
static bool complete(const struct agent_peer *p, struct json_doc *doc, struct err *e)
{
	size_t len = p->len;

	while (len && strchr(" \t\r\n", p->text[len - 1]))
		len--;
	if (len == 0 || p->text[len - 1] != '}')
		return false;
	return json_doc_parse(doc, "container state", p->text, p->len, e) == 0;
}

/* vrun's launcher says itself why it failed. */
static void refuse(const struct agent_peer *p, const struct json_doc *doc, const struct err *e)
{
	struct jat root = json_root(doc), own;

	if (json_expect_object(&root, NULL) == 0 && json_member(&root, "vrun", &own))
		tell_error(p, e);
	else
		p->agent->complain(e);
}

/* A whole message: the connection ends with it, unless its sender waits for more or has to leave. */
static void heard(struct agent_peer *p, const struct json_doc *doc)
{
	struct err e = { 0 };

	if (query_is(doc)) { /* no peer any more */
		loop_remove(&p->agent->sup->loop, p->fd, &p->watch);
		query_serve(p->agent->sup, fd_take(&p->fd), doc);
		peer_free(p);
		return;
	}
	if (wants_to_join(p, doc))
		return;
	if (take_container(p, doc, &e) < 0) {
		refuse(p, doc, &e);
		p->told = p->launcher; /* it leaves when it has heard, which may be the end (see leave()) */
	}
	if (!p->domain && !p->told)
		peer_free(p);
}

static void stop_listening(struct agent *a)
{
	if (a->listening)
		loop_remove(&a->sup->loop, a->fd, &a->watch);
	a->listening = false;
	fd_close(&a->fd);
}

/*
 * The last launcher leaves when there is nothing more to serve: this is the
 * end. Its connection is closed after the listening socket, so what it finds
 * when it sees that is true: nobody listens any more, and the socket's name can
 * be removed.
 */
static void leave(struct agent_peer *p)
{
	struct agent *a = p->agent;
	struct agent_peer *o;

	LIST_FOREACH(o, &a->peers, link)
		if (o != p && o->launcher)
			break;
	if (o || !p->launcher || a->has_door || !LIST_EMPTY(&a->sup->domains)) {
		peer_free(p);
		return;
	}
	/* At once: what lingers of apps takes its time. */
	stop_listening(a);
	peer_free(p);
	a->over = true;
}

static void peer_ready(struct watch *w, uint32_t events)
{
	struct agent_peer *p = (struct agent_peer *)((char *)w - offsetof(struct agent_peer, watch));
	struct json_doc doc;
	struct err e = { 0 };
	ssize_t n;

	(void)events;
	if (p->domain || p->told) { /* whatever it says, or that it is gone: the container is served to its end */
		leave(p);
		return;
	}
	n = receive(p);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n > 0 && complete(p, &doc, &e)) {
		heard(p, &doc);
		json_doc_fini(&doc);
		return;
	}
	if (n > 0 && p->len < AGENT_STATE_MAX)
		return;
	if (n > 0)
		(void)err_set(&e, E2BIG, "container state: longer than %d bytes", AGENT_STATE_MAX);
	if (n == 0 && p->len == 0)
		e.num = 0; /* it only looked whether somebody is here */
	else if (n == 0 && !e.num)
		(void)err_set(&e, EINVAL, "container state: ended in the middle");
	if (e.num)
		p->agent->complain(&e);
	leave(p);
}

static bool may_speak(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == geteuid() || who.uid == 0);
}

int agent_adopt(struct agent *a, int fd, bool launcher)
{
	struct agent_peer *p = calloc(1, sizeof *p);
	int rc;

	if (!p) {
		(void)close(fd);
		return -ENOMEM;
	}
	p->agent = a;
	p->fd = fd;
	p->launcher = launcher;
	p->watch = (struct watch){ peer_ready };
	LIST_INSERT_HEAD(&a->peers, p, link);
	a->n_peers++;
	rc = loop_add(&a->sup->loop, fd, EPOLLIN, &p->watch);
	if (rc < 0)
		peer_free(p);
	return rc;
}

static void agent_ready(struct watch *w, uint32_t events)
{
	struct agent *a = (struct agent *)((char *)w - offsetof(struct agent, watch));
	int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (a->n_peers < AGENT_PEERS_MAX && may_speak(fd))
		(void)agent_adopt(a, fd, false);
	else
		(void)close(fd);
}

int agent_bind(int fd, const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_FD int probe = -1;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof sa.sun_path)
		return err_set(e, ENAMETOOLONG, "%s: longer than %zu bytes", path, sizeof sa.sun_path - 1);
	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof sa);
	if (rc < 0 && errno == EADDRINUSE) {
		probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (probe >= 0 && connect(probe, (struct sockaddr *)&sa, sizeof sa) < 0 &&
		    errno == ECONNREFUSED && unlink(path) == 0)
			rc = bind(fd, (struct sockaddr *)&sa, sizeof sa);
		else
			errno = EADDRINUSE;
	}
	(void)umask(mask);
	return rc < 0 ? err_sys(e, "%s", path) : 0;
}

void agent_init(struct agent *a, struct sup *s, int fd, const char *path, const char *policy,
		void (*complain)(const struct err *e))
{
	*a = (struct agent){ .watch = { agent_ready },
			     .sup = s,
			     .fd = -1,
			     .spaces = { -1, -1 },
			     .path = path,
			     .policy = policy,
			     .complain = complain };
	LIST_INIT(&a->peers);
	a->fd = fd;
}

int agent_listen(struct agent *a, struct err *e)
{
	int rc;

	if (a->listening)
		return 0;
	rc = listen(a->fd, AGENT_PEERS_MAX) < 0 ? -errno : loop_add(&a->sup->loop, a->fd, EPOLLIN, &a->watch);
	if (rc < 0)
		return err_num(e, -rc, "%s", a->path ? a->path : "the supervisor's socket");
	a->listening = true;
	return 0;
}

void agent_fini(struct agent *a)
{
	/* First, so that nobody believes to have been heard. */
	stop_listening(a);
	while (!LIST_EMPTY(&a->peers))
		peer_free(LIST_FIRST(&a->peers));
	if (a->path)
		(void)unlink(a->path);
}
