/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client says in the clear at the beginning of TLS 1.0 to 1.3: the name
 * of the server that it wants (RFC 8446, 4.1.2; RFC 6066, 3). Pure functions
 * over the bytes that have come so far. Nothing is decrypted, and what two
 * servers could read differently is refused rather than read.
 */
#ifndef VRUN_MODEL_CLIENTHELLO_H
#define VRUN_MODEL_CLIENTHELLO_H

#include <stddef.h>
#include <stdint.h>

#include "model/endpoint.h"

#define CLIENTHELLO_MAX 16384 /* bytes of the message */
#define CLIENTHELLO_WIRE_MAX 32768 /* ... and with the headers of the records that it comes in */

enum hello {
	HELLO_MORE,      /* as far as it goes it is one: more is needed */
	HELLO_NAME,      /* with one name */
	HELLO_NOT_TLS,
	HELLO_MALFORMED, /* or ambiguous: an extension twice, several names, bytes behind it in its record */
	HELLO_TOO_BIG,
	HELLO_NO_NAME,
	HELLO_ECH,       /* the name that counts is encrypted (or pretends to be, which cannot be told apart) */
	/* Never read: what whoever waits for one finds. */
	HELLO_CUT,       /* the client ended before it was whole */
	HELLO_LATE,
	HELLOS
};

/*
 * Reads a ClientHello in as many records as it has, from the beginning of
 * what a client sends. HELLO_NAME: `name` has its name in its one form
 * (name_parse()), *ret_len how many bytes it and its records take; the same
 * with HELLO_ECH when there is a name to be seen, else name is "".
 */
enum hello hello_read(const uint8_t *data, size_t len, char name[static NAME_TEXT_MAX], size_t *ret_len);

/*
 * The same of the second one that a client sends when a server has asked for
 * it: records that may come before it are passed over (change_cipher_spec,
 * early data).
 */
enum hello hello_read_second(const uint8_t *data, size_t len, char name[static NAME_TEXT_MAX],
			     size_t *ret_len);

enum hello_answer {
	HELLO_ANSWER_MORE,
	HELLO_ANSWER_AGAIN, /* HelloRetryRequest: the client sends another ClientHello */
	HELLO_ANSWER_OTHER, /* whatever else */
};
/* The beginning of what the server sends. */
enum hello_answer hello_answer(const uint8_t *data, size_t len);

/* Why such a one is refused: "it has no server name"; "" for HELLO_MORE and HELLO_NAME. */
const char *hello_why(enum hello h);

#endif
