/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/serve.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "kern/helper.h"
#include "sup/confine.h"
#include "sup/door.h"

/* A launcher that came with the start may leave without ever bringing a container. */
static bool is_over(const struct serve_params *p, const struct sup *s, const struct agent *a)
{
	return (s->served || p->launcher >= 0 || p->door >= 0) && LIST_EMPTY(&s->domains) && LIST_EMPTY(&s->retired) && !a->has_door &&
	       (a->over || a->n_peers == 0);
}

static int take_launchers(const struct serve_params *p, struct sup *s, struct agent *a, struct door *d, struct err *e)
{
	int rc;

	agent_init(a, s, p->listener, p->path, p->policy, p->complain);
	/* Without a launcher of ours the socket has its name already; else it says when. */
	rc = p->launcher < 0 && p->door < 0 ? agent_listen(a, e) : 0;
	if (rc < 0) {
		agent_fini(a);
		return rc;
	}
	a->spaces[0] = p->spaces[0];
	a->spaces[1] = p->spaces[1];
	rc = p->launcher >= 0 ? agent_adopt(a, p->launcher, true) : door_init(d, a, p->door);
	if (rc < 0)
		agent_fini(a);
	return rc < 0 ? err_num(e, -rc, "connection of the launcher") : 0;
}

/* A launcher that waits for its first answer hears why there will be none. */
static int give_up(const struct serve_params *p, const struct err *e)
{
	AUTO_FREE char *text = NULL;
	json_t *o = p->launcher >= 0 ? json_pack("{s:s, s:s, s:i}", "error", e->text, "hint", e->hint,
						 "number", e->num) : NULL;

	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (text)
		(void)dprintf(p->launcher, "%s\n", text);
	return -e->num;
}

/* Relays and calls that wait take descriptors, and an app's numbers may have to stand for its files (epolls.c). */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* All that needs rights; they are gone afterwards. */
static int start(const struct serve_params *p, struct sup *s, struct err *e)
{
	static sigset_t waiting;
	AUTO_FD int resolver = p->resolver;
	int rc = sup_init(s, e);

	if (rc < 0)
		return rc;
	s->audit = p->audit;
	if (p->mask) {
		waiting = *p->mask;
		(void)sigaddset(&waiting, SIGALRM); /* that is accept's (socket_init()) */
		s->loop.mask = &waiting;
	}
	s->complain = p->complain;
	rc = factory_start(&s->factory, &s->loop, resolver, &s->fabric.netlink, !p->cell || p->spaces[0] < 0, e);
	if (rc == 0 && p->guarded)
		rc = guard_start(&s->guard, s->fabric.cookie, e);
	raise_limit();
	if (rc == 0 && p->cell)
		rc = confine_files(e);
	if (rc == 0)
		rc = confine_supervisor(e);
	if (rc < 0)
		sup_fini(s);
	return rc;
}

int serve_run(const struct serve_params *p, struct err *e)
{
	static struct sup s;
	struct agent a;
	struct door d = { .agent = &a, .fd = -1 };
	int rc = start(p, &s, e);

	if (rc < 0)
		return give_up(p, e);
	rc = take_launchers(p, &s, &a, &d, e);
	if (rc == 0) {
		while (rc == 0 && !(p->stop && *p->stop) && !is_over(p, &s, &a))
			rc = sup_turn(&s, e);
		door_fini(&d);
		agent_fini(&a);
	}
	sup_fini(&s);
	return rc;
}
