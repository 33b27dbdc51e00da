/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of connections, in files that the launcher has made and opened:
 * "record" of rules. As pcapng each connection has the packets of TCP that it would
 * have had between the app's virtual address and the server, one network
 * interface without link layer; raw, a file is the bytes of both directions as they passed.
 *
 * What cannot be recorded does not pass: a file that is full, by its bound or by
 * its file system's, ends the connections that it has, and no new ones begin.
 * Files are written as the loop goes, through the page cache.
 */
#ifndef VRUN_SUP_TAPE_H
#define VRUN_SUP_TAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "model/policy.h"

/* A file. */
struct tape {
	int fd; /* owned; -1: none */
	bool raw;
	int error;         /* positive; nothing more is written to it */
	bool told;         /* somebody has heard of that */
	uint64_t len, max; /* bytes; of it, and that it may have */
	char *name;        /* owned */
};

/* Of a domain. Zeroed: none. */
struct tapes {
	unsigned n;
	struct tape v[POLICY_RECORDS_MAX];
};
/* Takes the descriptor, of an empty file. 0 or -errno. */
int tapes_add(struct tapes *t, const char *name, enum policy_record format, uint64_t max, int *fd);
struct tape *tapes_find(struct tapes *t, const char *name);
void tapes_fini(struct tapes *t);

/* A connection that is recorded. */
struct recording {
	struct tape *tape; /* borrowed; NULL: it is not */
	struct addr addr[2]; /* the app's, the server's: of one family */
	uint16_t port[2];
	uint32_t seq[2];   /* of the next byte of each */
	bool ended[2];
};

/* Each: 0 or -errno when it could not be written. `comment` is put beside the first packet. */
int recording_begin(struct recording *r, const char *comment);
int recording_bytes(struct recording *r, bool app, const uint8_t *data, size_t len);
/* That side sends no more. */
int recording_end(struct recording *r, bool app);
int recording_reset(struct recording *r);

#endif
