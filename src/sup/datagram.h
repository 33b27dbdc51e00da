/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram sockets. They are the app's own, in its own network namespace, where
 * they reach the domain itself, the resolver, and what is relayed (flow.h).
 */
#ifndef VRUN_SUP_DATAGRAM_H
#define VRUN_SUP_DATAGRAM_H

#include "sup/sup.h"

/* Whether a socket that is not virtual is one of these: UDP, of the domain's own namespace. */
bool datagram_is_own(const struct domain *d, int fd, int family);

int64_t datagram_bind(struct call *c, struct target *t, struct sockaddr_storage *sa, size_t len);
int64_t datagram_connect(struct call *c, struct target *t, const struct sockaddr_storage *sa, size_t len);
/* sendto() with an address: what the call gets, CALL_CONTINUE when it may be sent. */
int64_t datagram_send(struct call *c, struct target *t);

/* getsockopt(2) and setsockopt(2) of options that are trapped, on the duplicate. */
int64_t datagram_getsockopt(struct call *c, struct target *t);
int64_t datagram_setsockopt(struct call *c, struct target *t);

#endif
