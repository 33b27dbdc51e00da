/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What apps have asked their epolls about a socket that is replaced. A
 * registration belongs to the file and its number, so the file that comes to
 * the number has to be registered anew, with the same events and data.
 *
 * The supervisor makes the epolls of a domain that may need this, and knows
 * their numbers from that; a child has them from its parent. It asks the kernel
 * of each whether the socket is there (KCMP_EPOLL_TFD), and reads what is
 * registered (fdinfo of a duplicate) only where it is, and does without what is too much.
 */
#ifndef VRUN_SUP_EPOLLS_H
#define VRUN_SUP_EPOLLS_H

#include <stdint.h>
#include <sys/types.h>

struct call;

#define EPOLLS_MAX 64   /* numbers that are remembered, those seen last */
#define EPOLLS_FOUND 16 /* registrations of one socket */

/* Of a domain. Zeroed: empty. */
struct epolls {
	int numbers[EPOLLS_MAX]; /* the one used last first */
	unsigned n;
};

struct registrations {
	unsigned n;
	struct registration {
		int ep; /* owned; a duplicate of the epoll */
		int fd; /* under which the socket was added */
		uint32_t events;
		uint64_t data;
	} v[EPOLLS_FOUND];
};

/* Those of the caller's socket, which is at args[0] and has that inode. 0 or -errno; -E2BIG; -EBUSY: one is under the
 * only number that cannot be had here (guard_bell()). */
int epolls_collect(struct call *c, ino_t ino, struct registrations *ret);
/* Makes them anew for the file behind `fd`. 0 or -errno of the first that failed. */
int epolls_carry(const struct registrations *r, int fd);
void registrations_fini(struct registrations *r);
#define AUTO_REGISTRATIONS __attribute__((cleanup(registrations_fini)))

#endif
