/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a record (tape.h): a process for each file, since writing may take as long as
 * the file's system likes, and the loop waits for nothing. It has that file and a
 * socket, and no rights; the supervisor has no file. It ends with the socket.
 */
#ifndef VRUN_SUP_SCRIBE_H
#define VRUN_SUP_SCRIBE_H

#include <stdint.h>

#include "base/err.h"

#define SCRIBE_MESSAGE_MAX (64 << 10)

/* What it says after each message, of which the file has all or nothing. */
struct scribe_said {
	uint64_t done; /* bytes in the file */
	int32_t error; /* positive: why there will be no more */
};

enum scribe_fd { SCRIBE_SOCK, SCRIBE_FILE, SCRIBE_FDS };

struct factory;
/* Has the factory fork one, for an empty file, which is borrowed. Its end of a SOCK_SEQPACKET pair. */
int scribe_start(struct factory *f, int file, int *ret_sock, struct err *e);

/* Its process. */
_Noreturn void scribe_main(const int fds[static SCRIBE_FDS]);

#endif
