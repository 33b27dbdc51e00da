/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a wire says to options of TCP and IP, which its AF_UNIX socket does not
 * have: they can be set and read back as on a TCP socket, and do nothing.
 */
#ifndef VRUN_SUP_WIRE_OPTIONS_H
#define VRUN_SUP_WIRE_OPTIONS_H

#include "sup/sup.h"

/* The trapped option of a wire, as handle_getsockopt() and handle_setsockopt() return it. */
int64_t wire_getsockopt(struct call *c, struct target *t);
int64_t wire_setsockopt(struct call *c, struct target *t);

/* SO_REUSEPORT, which AF_UNIX refuses. */
bool wire_reuses_port(const struct vsk *v);

struct gateway_option;
/* What a wire has been told, for the TCP socket that takes its place; and what one was told whose place a wire takes. */
void wire_give_options(const struct vsk *v, int fd);
void wire_take_options(struct vsk *v, const struct gateway_option *o, unsigned n);

/* What a connection has from its listener. Without memory it has what every socket has at first. */
void wire_inherit_options(struct vsk *v, const struct vsk *listener);

#endif
