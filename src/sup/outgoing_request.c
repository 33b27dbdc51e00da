/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway is asked for a connect(). */
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sup/handoff.h"
#include "sup/outgoing_impl.h"

void outgoing_request(const struct outgoing *o, const struct target *t, struct gateway_request *r)
{
	const struct vsk *v = t->row;

	*r = (struct gateway_request){ .kind = GATEWAY_CONNECT,
				       .v6 = v->v6,
				       .want_v4 = !v->v6only,
				       .want_v6 = v->v6,
				       .nonblock = o->first,
				       .port = o->attempt.port,
				       .local_port = v->bound_port ? v->local_port : 0,
				       .addr = o->addr };
	r->to = o->attempt.peer.kind == PARTY_NAME ? GATEWAY_TO_NAME :
		o->attempt.peer.kind == PARTY_HOST ? GATEWAY_TO_HOST :
						     GATEWAY_TO_ADDRESS;
	memcpy(r->name, o->name, sizeof r->name);
	r->n_options = handoff_options(o->sup, t, r->options);
}

int64_t outgoing_patience(const struct gateway_request *r)
{
	struct timeval t;

	for (uint32_t i = 0; i < r->n_options; i++)
		if (r->options[i].level == SOL_SOCKET && r->options[i].name == SO_SNDTIMEO) {
			memcpy(&t, r->options[i].value, sizeof t);
			return socket_milliseconds(&t);
		}
	return -1;
}
