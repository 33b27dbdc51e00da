/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors and memory that clean up after themselves, and whole-file I/O.
 *
 *   AUTO_FD int fd = open(...);      closed when the scope ends
 *   *ret_fd = fd_take(&fd);          ownership leaves the scope
 *
 * Cleanups keep errno.
 */
#ifndef VRUN_BASE_FD_H
#define VRUN_BASE_FD_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/err.h"

void fd_close(int *fd);   /* closes if >= 0 and sets to -1; keeps errno */
void mem_free(void *ptr); /* takes the address of a pointer; frees and clears it */

#define AUTO_FD __attribute__((cleanup(fd_close)))
#define AUTO_FREE __attribute__((cleanup(mem_free)))

/* Hands an fd out of a scope: returns it and leaves -1 behind. */
static inline int fd_take(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

/* Hands memory out of a scope: returns it and leaves NULL behind. */
static inline void *mem_take_(void **p)
{
	void *v = *p;

	*p = NULL;
	return v;
}
#define mem_take(p) ((__typeof__(*(p)))mem_take_((void **)(p)))

/*
 * Reads a whole file into a terminated buffer that the caller frees. Refuses
 * more than `max` bytes with -EFBIG and anything that is not a regular file
 * or a pipe with -EINVAL. ret_len may be NULL. `name` is only for messages.
 */
int fd_read_all(int fd, const char *name, size_t max, char **ret_data, size_t *ret_len,
		struct err *e);

/* open(O_RDONLY|O_CLOEXEC|O_NOCTTY) at dirfd and fd_read_all(). */
int fd_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len,
		 struct err *e);

/* Writes all of it, resuming after short writes and EINTR. 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t len);

/* Opens path at dirfd for writing and writes one string in a single write (proc and cgroup files). */
int fd_write_file(int dirfd, const char *path, const char *text);

#define FD_PASS_MAX 16 /* descriptors in one message */

/* Sends one byte of `kind` with up to FD_PASS_MAX descriptors (SCM_RIGHTS, unix(7)). 0 or -errno. */
int fd_send(int sock, char kind, const int *fds, size_t n);

/*
 * Says why the kernel takes no descriptor (ETOOMANYREFS, unix(7)): it counts those of all of a user's processes, so that
 * any program of the user's may be the reason. Returns -ETOOMANYREFS.
 */
int fd_send_refused(struct err *e);

/*
 * Receives what fd_send() sent. Returns the number of descriptors, which are
 * close-on-exec and the caller's, at most `max`. -EPIPE when the peer is gone;
 * -EPROTO, keeping none, when there were more.
 */
int fd_recv(int sock, char *ret_kind, int *ret_fds, size_t max);

#endif
