/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GATEWAY_QUERY: records of a name that is no look-up of addresses, for rules with
 * "forward". What a name server says goes on as it came: the resolver, which has
 * no rights at all, reads it. Nothing is kept: such questions are rare, and few a second are let through.
 */
#include <stdlib.h>

#include "gate/gate.h"

struct query {
	struct gate_job job;
	struct gate *gate;
	bool cancelled; /* nobody waits; c-ares still calls */
};

static void end(struct gate *g, struct gate_job *job)
{
	struct query *q = (struct query *)((char *)job - offsetof(struct query, job));

	gate_job_remove(g, job);
	q->cancelled = true;
}

static void found(void *ctx, int error, const uint8_t *data, size_t len)
{
	struct query *q = ctx;
	struct gateway_answer a = { .kind = GATEWAY_RECORDS, .id = q->job.id, .n = (uint32_t)len };

	if (!q->cancelled) {
		gate_job_remove(q->gate, &q->job);
		if (error)
			gate_tell_failed(q->gate, a.id, error);
		else
			gate_tell_more(q->gate, &a, data, len);
	}
	free(q);
}

void gate_query(struct gate *g, const struct gateway_request *r)
{
	struct gateway_answer denied = { .kind = GATEWAY_DENIED, .id = r->id };
	struct query *q;

	if (!gate_may_query(g, r->name, r->port)) {
		gate_tell(g, &denied, -1);
		return;
	}
	q = calloc(1, sizeof *q);
	if (!q || !gate_job_add(g, &q->job, r->id)) {
		free(q);
		gate_tell_failed(g, r->id, ENOBUFS);
		return;
	}
	q->job.end = end;
	q->gate = g;
	if (gate_names_query(g, r->name, r->port, found, q))
		return;
	gate_job_remove(g, &q->job);
	free(q);
	gate_tell_failed(g, r->id, EAGAIN);
}
