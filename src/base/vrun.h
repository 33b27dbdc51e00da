/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <vrun.h>: what a program can ask of vrun when it runs inside, and what works
 * outside all the same. Nothing to link. C99 and later, C++; Linux with a
 * 64-bit processor; GCC or Clang. vrun_send_multi(3) is the manual.
 */
#ifndef VRUN_H
#define VRUN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One of the sockets to send to. */
struct vrun_send {
	int32_t fd;
	int32_t flags;          /* MSG_NOSIGNAL, MSG_DONTWAIT (both always meant), MSG_MORE, MSG_EOR */
	const void *address;    /* a socket address, or NULL; a stream socket ignores it */
	uint32_t address_len;
	uint32_t reserved;      /* 0 */
};

/* What to send: bytes in memory, or of a file that the process has open. */
struct vrun_data {
	const void *memory;     /* NULL: the handle's */
	int32_t handle;         /* a descriptor of a file that can be read at an offset */
	uint32_t reserved;      /* 0 */
	int64_t offset;         /* in the file */
	uint64_t length;        /* bytes */
};

/*
 * Sends the same data to n sockets, without waiting for any of them. results[i]
 * becomes how many bytes list[i] took, or a negative errno. Returns how many
 * sockets took it, that is have no error; -1 with errno when nothing was sent
 * at all, and then the results mean nothing.
 */
static inline int vrun_send_multi(const struct vrun_send *list, size_t n, const struct vrun_data *data,
				  int64_t *results);

/* --- how it is done ------------------------------------------------------------------ */

/*
 * A system call that no kernel has: vrun's filter gives it to the supervisor,
 * anybody else's kernel answers ENOSYS. Its arguments are those of the
 * function and a number that no other call of the thread has: one that was
 * interrupted after it had sent is answered again when it is repeated. With no
 * sockets in its list it says what the supervisor does: VRUN_SENDTO_TRAPPED or 0.
 *
 * A plain send to a stream costs vrun nothing, and less than having it sent
 * by another process. So the supervisor is asked only for lists with addresses,
 * where those cost a trap each; with VRUN_SEND_ASK_ALWAYS defined, always.
 */
#define VRUN_SEND_MULTI_NR 22098 /* 0x5652, "VR" */
#define VRUN_SEND_MULTI_MAX 256  /* sockets in one such call */
#define VRUN_SEND_CHUNK 65536    /* bytes that a socket takes at most of one such call */
#define VRUN_SENDTO_TRAPPED 1    /* sendto(2) with an address is a trap on a stream as well */

/* As an entry's result from that call: not a socket that the supervisor serves. */
#define VRUN_SEND_NATIVE (-ENOSYS)

/* unistd.h declares these only where POSIX was asked for. */
extern long vrun_syscall_(long nr, ...) __asm__("syscall");

static inline int64_t vrun_send_natively_(const struct vrun_send *s, const void *data, size_t length)
{
	ssize_t n;

	if (s->reserved)
		return -EINVAL;
	if (s->flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR))
		return -EOPNOTSUPP;
	do
		n = sendto(s->fd, data, length, s->flags | MSG_DONTWAIT | MSG_NOSIGNAL,
			   (const struct sockaddr *)s->address, (socklen_t)(s->address ? s->address_len : 0));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The data in memory: as it is, or what the buffer holds of the file. False with errno. */
static inline int vrun_send_read_(const struct vrun_data *data, char *buf, size_t size, const void **ret,
				  size_t *ret_length)
{
	long n;

	if (data->reserved) {
		errno = EINVAL;
		return 0;
	}
	*ret = data->memory;
	*ret_length = (size_t)data->length;
	if (data->memory)
		return 1;
	if (data->length < size)
		size = (size_t)data->length;
	do
		n = vrun_syscall_(SYS_pread64, data->handle, buf, size, data->offset);
	while (n < 0 && errno == EINTR);
	*ret = buf;
	*ret_length = n < 0 ? 0 : (size_t)n;
	return n >= 0;
}

static inline int vrun_send_asks_(const struct vrun_send *list, size_t n)
{
#ifdef VRUN_SEND_ASK_ALWAYS
	(void)list;
	return n > 0;
#else
	static long what = -2; /* -1: nobody is there; -2: not known yet */
	long known = __atomic_load_n(&what, __ATOMIC_RELAXED);
	size_t i;

	for (i = 0; i < n && !list[i].address; i++)
		;
	if (i == n)
		return 0;
	if (known == -2) {
		const struct vrun_data none = { NULL, -1, 0, 0, 0 };

		do
			known = vrun_syscall_(VRUN_SEND_MULTI_NR, NULL, 0UL, &none, NULL, 0UL, 0UL);
		while (known < 0 && errno == EINTR);
		__atomic_store_n(&what, known, __ATOMIC_RELAXED);
	}
	return known > 0 && (known & VRUN_SENDTO_TRAPPED);
#endif
}

/* At most VRUN_SEND_MULTI_MAX of them. */
static inline int vrun_send_some_(const struct vrun_send *list, size_t n, const struct vrun_data *data,
				  int64_t *results)
{
	static unsigned long calls;
	const unsigned long call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	struct vrun_data copy = *data;
	char buf[16384];
	const void *memory;
	size_t length, i;
	long rc = -1;
	int sent = 0;

	errno = ENOSYS;
	if (vrun_send_asks_(list, n))
		do
			rc = vrun_syscall_(VRUN_SEND_MULTI_NR, list, n, &copy, results, call, 0UL);
		while (rc < 0 && errno == EINTR);
	/* A file that the supervisor would have to wait for, or may not read at all. */
	if (rc < 0 && errno == EAGAIN && !copy.memory) {
		if (!vrun_send_read_(data, buf, sizeof buf, &copy.memory, &length))
			return -1;
		copy.length = length;
		do
			rc = vrun_syscall_(VRUN_SEND_MULTI_NR, list, n, &copy, results, call, 1UL);
		while (rc < 0 && errno == EINTR);
	}
	if (rc < 0 && errno != ENOSYS && errno != EPERM) /* filters of others say EPERM */
		return -1;
	memory = NULL;
	length = 0;
	for (i = 0; i < n; i++) {
		if (rc < 0 || results[i] == VRUN_SEND_NATIVE) {
			if (!memory && !vrun_send_read_(data, buf, sizeof buf, &memory, &length)) {
				if (sent == 0 && rc < 0)
					return -1;
				results[i] = -errno;
			} else {
				results[i] = vrun_send_natively_(&list[i], memory, length);
			}
		}
		sent += results[i] >= 0;
	}
	return sent;
}

static inline int vrun_send_multi(const struct vrun_send *list, size_t n, const struct vrun_data *data,
				  int64_t *results)
{
	size_t at, some, i;
	int sent = 0, rc;

	for (at = 0; at < n; at += some) {
		some = n - at < VRUN_SEND_MULTI_MAX ? n - at : VRUN_SEND_MULTI_MAX;
		rc = vrun_send_some_(list + at, some, data, results + at);
		if (rc < 0 && at == 0)
			return -1;
		for (i = at; rc < 0 && i < at + some; i++)
			results[i] = -errno;
		sent += rc < 0 ? 0 : rc;
	}
	return sent;
}

#ifdef __cplusplus
}
#endif

#endif
