/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another policy for a gateway that runs (kern/control.h): first both have to
 * allow what is asked for, then, when the supervisor has it too, the new one
 * alone. Ports that it publishes are taken with the first. So at no moment anything is allowed that one of them does not allow.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"
#include "kern/control.h"

#define PATIENCE_MS 10000 /* with one who has called */

static void hang_up(struct gate *g)
{
	struct gate_control *c = &g->control;

	if (c->sock >= 0)
		gate_watch_remove(g, c->sock);
	fd_close(&c->sock);
	gate_timer_clear(g, &c->patience);
	gate_publish_unclaim(g);
	if (g->next)
		gate_text_fini(g->next);
	g->next = NULL;
	gate_watch_change(g, c->fd, EPOLLIN, &c->arrivals); /* others may have waited */
}

static void answer(struct gate *g, const char *text)
{
	if (send(g->control.sock, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		hang_up(g);
}

static int prepare(struct gate *g, int fd, struct err *e)
{
	int rc;

	if (g->next)
		return err_set(e, EBUSY, "another policy is being put in force");
	if (fd < 0)
		return err_set(e, EINVAL, "no policy came");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "policy");
	rc = gate_text_read(&g->control.next, fd, e);
	if (rc < 0)
		return rc;
	rc = gate_publish_claim(g, &g->control.next.policy, e);
	if (rc < 0)
		gate_text_fini(&g->control.next);
	return rc;
}

static void commit(struct gate *g)
{
	struct gate_control *c = &g->control;

	policy_fini(&g->text->policy);
	g->text->policy = c->next.policy;
	policy_init_none(&c->next.policy);
	gate_text_fini(&c->next);
	g->next = NULL;
	gate_flows_review(g);
	gate_bound_review(g);
	answer(g, "ok");
}

static void hear(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct err e = { 0 };
	char command;
	int fds[1] = { -1 }, n = fd_recv(g->control.sock, &command, fds, 1);
	AUTO_FD int fd = n > 0 ? fds[0] : -1;

	(void)w;
	(void)events;
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		hang_up(g);
	} else if (command == CONTROL_PREPARE) {
		if (prepare(g, fd, &e) == 0)
			g->next = &g->control.next;
		if (*e.hint)
			(void)snprintf(e.text + strlen(e.text), sizeof e.text - strlen(e.text), "\n%s", e.hint);
		answer(g, e.num ? e.text : "ok");
	} else if (command == CONTROL_COMMIT && g->next) {
		commit(g);
	} else {
		answer(g, "nothing was prepared");
	}
}

static void impatient(struct gate *g, struct gate_timer *t)
{
	(void)t;
	hang_up(g);
}

static void arrived(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct gate_control *c = &g->control;
	int fd = control_accept(c->fd, c->owner < 0 ? 0 : (uid_t)c->owner);

	(void)w;
	(void)events;
	if (fd < 0)
		return;
	if (gate_watch_add(g, fd, EPOLLIN, &c->talk) < 0) {
		(void)close(fd);
		return;
	}
	c->sock = fd;
	gate_timer_set(g, &c->patience, PATIENCE_MS);
	gate_watch_change(g, c->fd, 0, &c->arrivals); /* one at a time */
}

int gate_control_init(struct gate *g, int fd, int64_t owner, struct err *e)
{
	int rc, listens = 0;
	socklen_t len = sizeof listens;

	/* Without one the policy stays what it is. */
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
		return 0;
	g->control = (struct gate_control){ .arrivals = { arrived },
					    .talk = { hear },
					    .patience = { .ring = impatient },
					    .fd = fd,
					    .sock = -1,
					    .owner = owner };
	rc = gate_watch_add(g, fd, EPOLLIN, &g->control.arrivals);
	return rc < 0 ? err_num(e, -rc, "the gateway's control socket") : 0;
}

void gate_control_fini(struct gate *g)
{
	if (g->control.fd <= 0)
		return;
	hang_up(g);
	gate_watch_remove(g, g->control.fd);
	fd_close(&g->control.fd);
}
