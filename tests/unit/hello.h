/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos for tests. */
#ifndef VRUN_TEST_HELLO_H
#define VRUN_TEST_HELLO_H

#include <stdint.h>
#include <string.h>

struct bytes {
	uint8_t v[65536];
	size_t n;
};

static inline void put(struct bytes *b, const void *data, size_t n)
{
	memcpy(b->v + b->n, data, n);
	b->n += n;
}

static inline void put_number(struct bytes *b, size_t size, size_t v)
{
	while (size--)
		b->v[b->n++] = (uint8_t)(v >> (8 * size));
}

/* A server_name extension with these names of type host_name. */
static inline void put_names(struct bytes *b, const char *const *names, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += 3 + strlen(names[i]);
	put_number(b, 2, 0);
	put_number(b, 2, len + 2);
	put_number(b, 2, len);
	for (size_t i = 0; i < n; i++) {
		put_number(b, 1, 0);
		put_number(b, 2, strlen(names[i]));
		put(b, names[i], strlen(names[i]));
	}
}

static inline void put_extension(struct bytes *b, size_t type, size_t len)
{
	put_number(b, 2, type);
	put_number(b, 2, len);
	memset(b->v + b->n, 0x5a, len);
	b->n += len;
}

/* The message, without records. */
static inline void make_hello(struct bytes *ret, size_t version, const struct bytes *extensions)
{
	static const uint8_t random[32] = { 1, 2, 3 };

	ret->n = 0;
	put_number(ret, 1, 1);
	put_number(ret, 3, 2 + 32 + 1 + 2 + 4 + 2 + (extensions ? 2 + extensions->n : 0));
	put_number(ret, 2, version);
	put(ret, random, sizeof random);
	put_number(ret, 1, 0);
	put_number(ret, 2, 4);
	put_number(ret, 4, 0x13011302);
	put_number(ret, 2, 0x0100);
	if (extensions) {
		put_number(ret, 2, extensions->n);
		put(ret, extensions->v, extensions->n);
	}
}

/* In records of at most that many bytes. */
static inline void put_records(struct bytes *to, const struct bytes *message, size_t most)
{
	for (size_t at = 0; at < message->n; at += most) {
		size_t n = message->n - at < most ? message->n - at : most;

		put_number(to, 1, 22);
		put_number(to, 2, 0x0301);
		put_number(to, 2, n);
		put(to, message->v + at, n);
	}
}

/* The usual one: in one record, with that name. */
static inline void usual_hello(struct bytes *ret, const char *name)
{
	static struct bytes added, all;

	added.n = 0;
	put_extension(&added, 43, 5);
	put_names(&added, &name, 1);
	put_extension(&added, 51, 38);
	make_hello(&all, 0x0303, &added);
	ret->n = 0;
	put_records(ret, &all, 16384);
}

/* What asks for another one. */
static inline void retry_request(struct bytes *ret)
{
	static const uint8_t random[32] = {
		0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
		0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
	};

	ret->n = 0;
	put_number(ret, 1, 22);
	put_number(ret, 2, 0x0303);
	put_number(ret, 2, 4 + 2 + 32 + 4);
	put_number(ret, 1, 2);
	put_number(ret, 3, 2 + 32 + 4);
	put_number(ret, 2, 0x0303);
	put(ret, random, sizeof random);
	put_number(ret, 4, 0x00130100);
}

#endif
