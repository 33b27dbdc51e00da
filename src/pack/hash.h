/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 of files, by libsodium. */
#ifndef VRUN_PACK_HASH_H
#define VRUN_PACK_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HASH_BYTES 32U
#define HASH_HEX (2 * HASH_BYTES + 1)

/*
 * Digest of everything that an fd holds from its start; its offset is not
 * used. Interruptible. ret_size may be NULL. `buffer` of `size` bytes is
 * scratch space.
 */
int hash_fd(int fd, void *buffer, size_t size, unsigned char ret[HASH_BYTES], uint64_t *ret_size,
	    const char *name, struct err *e);
void hash_data(const void *data, size_t len, unsigned char ret[HASH_BYTES]);

/* Lower-case hexadecimal digits into buf. Returns buf. */
const char *hash_hex(const unsigned char digest[HASH_BYTES], char buf[HASH_HEX]);
/* The reverse, strict. -EINVAL. */
int hash_from_hex(const char *hex, unsigned char ret[HASH_BYTES]);

#endif
