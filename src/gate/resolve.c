/* SPDX-License-Identifier: Apache-2.0 */
/* GATEWAY_RESOLVE: the addresses of a name, as far as the policy lets anybody through to them. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate.h"

struct job {
	struct gate_job job;
	struct gate_asker asker;
	char name[NAME_TEXT_MAX];
};

static void end(struct gate *g, struct gate_job *job)
{
	struct job *j = (struct job *)((char *)job - offsetof(struct job, job));

	gate_job_remove(g, job);
	gate_names_cancel(&j->asker);
	free(j);
}

static void answer(struct gate *g, uint32_t id, const char *name, const struct gate_found *f)
{
	struct gateway_answer a = { .kind = GATEWAY_RESOLVED, .id = id, .ttl = f->ttl };

	if (f->error) {
		gate_tell_failed(g, id, f->error);
		return;
	}
	for (unsigned i = 0; i < f->n; i++)
		if (gate_may_know(g, name, &f->addresses[i]))
			a.addresses[a.n++] = f->addresses[i];
	/* All of them are kept from it: not that there are none. */
	if (f->n && a.n == 0) {
		a.kind = GATEWAY_DENIED;
		a.addresses[a.n++] = f->addresses[0];
	}
	gate_tell(g, &a, -1);
}

static void found(struct gate *g, struct gate_asker *asker, const struct gate_found *f)
{
	struct job *j = (struct job *)((char *)asker - offsetof(struct job, asker));

	answer(g, j->job.id, j->name, f);
	end(g, &j->job);
}

void gate_resolve(struct gate *g, const struct gateway_request *r)
{
	struct gateway_answer denied = { .kind = GATEWAY_DENIED, .id = r->id };
	struct gate_found f;
	struct job *j;

	if (!gate_may_look_up(g, r->name)) {
		gate_tell(g, &denied, -1);
		return;
	}
	j = calloc(1, sizeof *j);
	if (!j || !gate_job_add(g, &j->job, r->id)) {
		free(j);
		gate_tell_failed(g, r->id, ENOBUFS);
		return;
	}
	j->job.end = end;
	j->asker.found = found;
	memcpy(j->name, r->name, sizeof j->name);
	if (gate_names_ask(g, r->name, r->want_v6, &j->asker, &f)) {
		answer(g, r->id, r->name, &f);
		end(g, &j->job);
	}
}
