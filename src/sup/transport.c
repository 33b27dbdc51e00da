/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/transport.h"

#include "sup/domain.h"

const struct transport *transport_of(const struct vsk *v)
{
	if (v->host)
		return &transport_host;
	return v->wire ? &transport_wire : &transport_tcp;
}

const struct transport *transport_of_domain(const struct domain *d)
{
	return d->policy.transport == POLICY_TRANSPORT_WIRE ? &transport_wire : &transport_tcp;
}
