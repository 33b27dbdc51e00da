/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/hash.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "pack/interrupt.h"

_Static_assert(HASH_BYTES == crypto_hash_sha256_BYTES, "SHA-256");

int hash_fd(int fd, void *buffer, size_t size, unsigned char ret[HASH_BYTES], uint64_t *ret_size,
	    const char *name, struct err *e)
{
	crypto_hash_sha256_state st;
	uint64_t at = 0;

	(void)crypto_hash_sha256_init(&st);
	for (;;) {
		ssize_t n = pread(fd, buffer, size, (off_t)at);
		int rc = interrupt_check(e);

		if (rc < 0)
			return rc;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s", name);
		if (n == 0)
			break;
		(void)crypto_hash_sha256_update(&st, buffer, (unsigned long long)n);
		at += (uint64_t)n;
	}
	(void)crypto_hash_sha256_final(&st, ret);
	if (ret_size)
		*ret_size = at;
	return 0;
}

void hash_data(const void *data, size_t len, unsigned char ret[HASH_BYTES])
{
	(void)crypto_hash_sha256(ret, data, len);
}

const char *hash_hex(const unsigned char digest[HASH_BYTES], char buf[HASH_HEX])
{
	return sodium_bin2hex(buf, HASH_HEX, digest, HASH_BYTES);
}

int hash_from_hex(const char *hex, unsigned char ret[HASH_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(hex) != HASH_HEX - 1 || strspn(hex, digits) != HASH_HEX - 1)
		return -EINVAL;
	for (size_t i = 0; i < HASH_BYTES; i++) {
		const char *hi = strchr(digits, hex[2 * i]), *lo = strchr(digits, hex[2 * i + 1]);

		ret[i] = (unsigned char)((hi - digits) << 4 | (lo - digits));
	}
	return 0;
}
