/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/agent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/json.h"

struct agent_peer {
	LIST_ENTRY(agent_peer) link;
	struct watch watch;
	struct agent *agent;
	int fd; /* owned */
	size_t len, n_fds;
	int fds[FD_PASS_MAX]; /* owned */
	char text[AGENT_STATE_MAX];
};

/* --- the state ------------------------------------------------------------------ */

int agent_parse(const struct json_doc *doc, size_t n_fds, struct agent_state *ret, struct err *e)
{
	struct agent_state s = { .listener = SIZE_MAX };
	struct jat root = json_root(doc), fds, state, notes, name;
	int rc = json_expect_object(&root, e);

	if (rc == 0)
		rc = json_get_array(&root, "fds", &fds, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 1 && json_element(&fds, i, &name); i++) {
		const char *text;

		if (json_as_string(&name, &text, e) < 0)
			return -EINVAL;
		if (strcmp(text, "seccompFd") == 0)
			s.listener = i;
	}
	if (s.listener >= n_fds)
		return json_error(&root, e, "no seccompFd among the %zu descriptors", n_fds);
	rc = json_get_object(&root, "state", &state, e);
	if (rc == 1)
		rc = json_get_string(&state, "id", &s.id, e);
	if (rc < 0)
		return rc;
	if (rc == 0 || !*s.id)
		return json_error(&root, e, "state.id is missing");
	if (json_get_string(&state, "bundle", &s.bundle, e) < 0)
		return -EINVAL;
	rc = json_get_object(&state, "annotations", &notes, e);
	if (rc == 1)
		rc = json_get_string(&notes, POLICY_ANNOTATION, &s.annotation, e);
	if (rc < 0)
		return rc;
	*ret = s;
	return 0;
}

static int load_policy(const struct agent *a, const struct agent_state *s, struct policy *ret,
		       struct err *e)
{
	AUTO_FD int dir = -1;
	struct policy_sources from = { .option = a->policy,
				       .bundle_fd = -1,
				       .bundle_dir = s->bundle,
				       .annotation = s->annotation };

	if (s->bundle && !a->policy) {
		dir = open(s->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_sys(e, "bundle of container %s", s->id);
	}
	from.bundle_fd = dir;
	if (dir < 0)
		from.annotation = NULL; /* it names a file of the bundle */
	return policy_find(ret, &from, NULL, NULL, e);
}

/* What this supervisor cannot give is refused now; a policy is never carried out in part. */
static int check_needs(const struct agent_state *s, const struct policy *p, struct err *e)
{
	static const struct {
		unsigned bit;
		const char *what;
	} missing[] = {
		{ POLICY_NEEDS_WIRE, "the transport \"wire\"" },
		{ POLICY_NEEDS_UDP, "rules for UDP" },
		{ POLICY_NEEDS_PUBLISH, "\"publish\"" },
		{ POLICY_NEEDS_RELAY, "\"rate\", \"maxBytes\", \"record\" or \"tls\"" },
		{ POLICY_NEEDS_FORWARD, "\"forward\"" },
	};
	unsigned needs = policy_needs(p);

	for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
		if (needs & missing[i].bit)
			return err_set(e, ENOTSUP, "container %s: its policy asks for %s, which is not served",
				       s->id, missing[i].what);
	return 0;
}

static int take_container(struct agent *a, struct agent_peer *p, const struct json_doc *doc,
			  struct err *e)
{
	struct agent_state s;
	struct policy policy;
	struct domain *d;
	int rc = agent_parse(doc, p->n_fds, &s, e);

	if (rc == 0)
		rc = load_policy(a, &s, &policy, e);
	if (rc == 0) {
		rc = check_needs(&s, &policy, e);
		if (rc == 0)
			rc = domain_new(a->sup, s.id, &policy, p->fds[s.listener], &d, e);
		policy_fini(&policy); /* empty when it was taken */
	}
	if (rc == 0) {
		p->fds[s.listener] = -1;
		rc = sup_add(a->sup, d, e);
		if (rc < 0)
			domain_free(d);
	}
	return rc;
}

/* --- connections ------------------------------------------------------------------ */

static void peer_free(struct agent_peer *p)
{
	struct agent *a = p->agent;

	loop_remove(&a->sup->loop, p->fd, &p->watch);
	LIST_REMOVE(p, link);
	a->n_peers--;
	fd_close(&p->fd);
	for (size_t i = 0; i < p->n_fds; i++)
		fd_close(&p->fds[i]);
	free(p);
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

static ssize_t receive(struct agent_peer *p)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov = { p->text + p->len, sizeof p->text - p->len };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = ctl.buf,
			    .msg_controllen = sizeof ctl.buf };
	ssize_t n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n > 0)
		p->len += (size_t)n;
	if (n >= 0)
		keep_fds(p, &m);
	return n < 0 ? -errno : n;
}

/* Whether all has come. runc keeps the connection open, so that is when the JSON is whole. */
static bool complete(struct agent_peer *p, bool end, struct json_doc *doc, struct err *e)
{
	size_t len = p->len;

	while (len && strchr(" \t\r\n", p->text[len - 1]))
		len--;
	if (!end && (len == 0 || p->text[len - 1] != '}'))
		return false;
	return json_doc_parse(doc, "container state", p->text, p->len, e) == 0;
}

static void peer_ready(struct watch *w, uint32_t events)
{
	struct agent_peer *p = (struct agent_peer *)((char *)w - offsetof(struct agent_peer, watch));
	struct json_doc doc;
	struct err e = { 0 };
	ssize_t n = receive(p);

	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n >= 0 && complete(p, n == 0, &doc, &e)) {
		e = (struct err){ 0 };
		(void)take_container(p->agent, p, &doc, &e);
		json_doc_fini(&doc);
	} else if (n > 0 && p->len < sizeof p->text) {
		return;
	} else if (n > 0) {
		(void)err_set(&e, E2BIG, "container state: longer than %d bytes", AGENT_STATE_MAX);
	}
	if (e.num)
		p->agent->complain(&e);
	peer_free(p);
}

static bool may_speak(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == geteuid() || who.uid == 0);
}

static void agent_ready(struct watch *w, uint32_t events)
{
	struct agent *a = (struct agent *)((char *)w - offsetof(struct agent, watch));
	struct agent_peer *p;
	int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	p = a->n_peers < AGENT_PEERS_MAX && may_speak(fd) ? malloc(sizeof *p) : NULL;
	if (!p) {
		(void)close(fd);
		return;
	}
	p->agent = a;
	p->fd = fd;
	p->watch = (struct watch){ peer_ready };
	p->len = p->n_fds = 0;
	LIST_INSERT_HEAD(&a->peers, p, link);
	a->n_peers++;
	if (loop_add(&a->sup->loop, fd, EPOLLIN, &p->watch) < 0)
		peer_free(p);
}

static int bind_path(int fd, const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_FD int probe = -1;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof sa.sun_path)
		return err_set(e, ENAMETOOLONG, "%s: longer than %zu bytes", path, sizeof sa.sun_path - 1);
	(void)strcpy(sa.sun_path, path);
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

int agent_init(struct agent *a, struct sup *s, const char *path, const char *policy,
	       void (*complain)(const struct err *e), struct err *e)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return err_sys(e, "socket");
	rc = bind_path(fd, path, e);
	if (rc < 0)
		return rc;
	*a = (struct agent){ .watch = { agent_ready },
			     .sup = s,
			     .path = path,
			     .policy = policy,
			     .complain = complain };
	LIST_INIT(&a->peers);
	rc = listen(fd, AGENT_PEERS_MAX) < 0 ? -errno : loop_add(&s->loop, fd, EPOLLIN, &a->watch);
	if (rc < 0) {
		(void)unlink(path);
		return err_num(e, -rc, "%s", path);
	}
	a->fd = fd_take(&fd);
	return 0;
}

void agent_fini(struct agent *a)
{
	while (!LIST_EMPTY(&a->peers))
		peer_free(LIST_FIRST(&a->peers));
	loop_remove(&a->sup->loop, a->fd, &a->watch);
	fd_close(&a->fd);
	(void)unlink(a->path);
}
