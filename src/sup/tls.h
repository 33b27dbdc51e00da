/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds the beginning of a relayed connection back until its ClientHello has
 * named a server that the policy allows (model/clienthello.h).
 *
 * The app's bytes come first: the server's wait as long, so one that would
 * speak first does not. When the ClientHello has passed, what the app sends
 * behind it is held until the server answers, since a server may ask for
 * another ClientHello (HelloRetryRequest), and some take the name from that one.
 * Then everything passes.
 */
#ifndef VRUN_SUP_TLS_H
#define VRUN_SUP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/clienthello.h"

#define TLS_PATIENCE_MS 10000 /* for a ClientHello */

enum tls_phase { TLS_OPEN, TLS_FIRST, TLS_ANSWER, TLS_SECOND };

struct tls_gate {
	enum tls_phase phase; /* TLS_OPEN: nothing is held back (any more) */
	/* A ClientHello has come, or will not: whether it may pass. `h` is never HELLO_MORE; the name may be "". */
	bool (*allow)(void *ctx, enum hello h, const char *name);
	void *ctx;
};

/* Whether that side is to be read now. */
bool tls_reads(const struct tls_gate *g, bool app);
/* Whether it waits for the app, TLS_PATIENCE_MS at most. */
bool tls_waits(const struct tls_gate *g);

/*
 * What has come from a side and was not let through yet: how many of these bytes
 * may pass now, or -EACCES: none, and nothing ever.
 */
int64_t tls_look(struct tls_gate *g, bool app, const uint8_t *data, size_t len);
/* The app ended with that much held back, or its time is up (`late`). -EACCES; -ECANCELED: it never began;
 * 0: a policy of meanwhile lets it pass all the same. */
int tls_give_up(struct tls_gate *g, size_t held, bool late);

#endif
