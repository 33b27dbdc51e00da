/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of connections, in files that the launcher has made and opened:
 * "record" of rules. As pcapng each connection has the packets of TCP that it would
 * have had between the app's virtual address and the server, one network
 * interface without link layer; raw, a file is the bytes of both directions as they passed.
 *
 * What cannot be recorded does not pass: a file that is full, by its bound or by
 * its file system's, ends the connections that it has, and no new ones begin. Files are
 * written by processes of their own (scribe.h): bytes pass when that one has said that they are
 * written, and wait where it hangs, with whatever else has the file.
 */
#ifndef VRUN_SUP_TAPE_H
#define VRUN_SUP_TAPE_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/queue.h>

#include "base/addr.h"
#include "model/policy.h"
#include "sup/loop.h"

struct sup;
struct tape_piece;

/* Somebody waits for bytes to be in the file. Zeroed: nobody does. */
struct tape_wait {
	TAILQ_ENTRY(tape_wait) link;
	struct tape *tape; /* NULL: it does not wait */
	uint64_t at;       /* the length of the file that it waits for */
	void (*written)(struct tape_wait *w, int rc); /* from the loop, once: 0, or -errno: they never will be */
};

/* A file. */
struct tape {
	struct loop *loop;
	int sock;          /* owned; its scribe's; -1: none */
	struct watch watch;
	bool raw;
	int error;         /* positive; nothing more is written to it */
	bool told;         /* somebody has heard of that */
	uint64_t len, max; /* bytes; of it, when all is written, and that it may have */
	uint64_t done;     /* that are written */
	int64_t moved_at;  /* when that was heard last, or when there was nothing to write; loop_now() */
	char *name;        /* owned */
	TAILQ_HEAD(, tape_piece) pieces; /* that the scribe has no room for yet */
	TAILQ_HEAD(, tape_wait) waits;
};

/* Of a domain. Zeroed: none. */
struct tapes {
	unsigned n;
	struct tape v[POLICY_RECORDS_MAX];
};
/* Takes the descriptor, of an empty file. 0 or -errno. */
int tapes_add(struct tapes *t, struct sup *s, const char *name, enum policy_record format, uint64_t max, int *fd);
struct tape *tapes_find(struct tapes *t, const char *name);
/* What is still to be written is, unless the file hangs. */
void tapes_fini(struct tapes *t);

/* Tells when all that it was given so far is written; never from within. */
void tape_await(struct tape *t, struct tape_wait *w);
void tape_forget(struct tape_wait *w);

/* A connection that is recorded. */
struct recording {
	struct tape *tape; /* borrowed; NULL: it is not */
	struct addr addr[2]; /* the app's, the server's: of one family */
	uint16_t port[2];
	uint32_t seq[2];   /* of the next byte of each */
	bool ended[2];
};

/* Each: 0 or -errno when it cannot be written; that it is shows later. `comment` is put beside the first packet. */
int recording_begin(struct recording *r, const char *comment);
int recording_bytes(struct recording *r, bool app, const uint8_t *data, size_t len);
/* That side sends no more. */
int recording_end(struct recording *r, bool app);
int recording_reset(struct recording *r);

#endif
