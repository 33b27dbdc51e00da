/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's own network namespace: where its datagrams are, and where its
 * addresses are seen. The factory sets it up before the domain is served.
 */
#ifndef VRUN_SUP_NETWORK_H
#define VRUN_SUP_NETWORK_H

#include "sup/sup.h"

/* The network namespace of a process that is visible here. The caller closes it. */
int network_of_process(pid_t pid, int *ret_ns, struct err *e);

/*
 * Begins with the namespace, which is borrowed. When that is done the domain is
 * served, and domain.settled is called; or it is called with an error, and the
 * domain is removed. -EINVAL and the like: nothing has begun.
 */
int network_begin(struct sup *s, struct domain *d, int ns, struct err *e);
/* What a domain that ends had there. */
void network_end(struct sup *s, struct domain *d);

#endif
