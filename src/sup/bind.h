/* SPDX-License-Identifier: Apache-2.0 */
/* Binding, for listen() of a socket that was never bound as well. */
#ifndef VRUN_SUP_BIND_H
#define VRUN_SUP_BIND_H

#include "sup/sup.h"

/* Binds an unconnected row to an address that is the domain's; port 0: one is chosen. 0 or -errno. */
int bind_stream(struct call *c, struct target *t, const struct addr *a, uint16_t port);

/* One whose connection has failed, or was reset, is as if there had been none, unless it was bound. */
void bind_forget_failed(struct call *c, const struct target *t);

/* Another socket listens where this bound one is about to. */
bool bind_conflicts(struct call *c, const struct vsk *v);

#endif
