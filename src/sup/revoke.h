/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking away what the policies do not allow any more.
 *
 * Theory of operation
 *
 * Every stream and flow that the changed policy may have a say in is decided
 * again, by the function that allowed it. What is forbidden now is cut:
 *
 * 1. TCP sockets of F by the kernel (SOCK_DESTROY), whoever has them.
 * 2. What that does not reach (wires; kernels without it) by shutdown(2) on a
 *    duplicate of any descriptor of it that some process has, be it of another domain (a
 *    descriptor can be passed through a directory that both are shown). One end is enough.
 * 3. Then the kernel is asked what is left. A flow that survives is in no
 *    table of descriptors: somebody has parked it in a message. The domains at
 *    both of its ends are stopped, for both have hidden it, or it would have been found.
 *
 * Datagrams are decided on one by one as long as there is no flow, so flows are
 * just forgotten. Calls that wait are decided again when they are tried again.
 */
#ifndef VRUN_SUP_REVOKE_H
#define VRUN_SUP_REVOKE_H

#include <stddef.h>

struct domain;
struct sup;

struct revoked {
	size_t streams;   /* connections that were cut, each once */
	size_t listeners;
	size_t flows;     /* of datagrams */
	size_t domains;   /* that had to be stopped */
};

/* The domain's policy is another one. Rows and flows get their new rules. */
void revoke_forbidden(struct sup *s, struct domain *changed, struct revoked *ret);

#endif
