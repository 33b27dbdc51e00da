/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row of the socket table as people see it: what the table knows, joined
 * with what the kernel says at that moment. vrun(1), "vrun sockets", has the
 * columns and what each status means.
 */
#ifndef VRUN_SUP_ROWS_H
#define VRUN_SUP_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "kern/sockdiag.h"
#include "sup/flow.h"
#include "sup/vsk.h"

enum row_status {
	ROW_UNCONNECTED,
	ROW_BOUND,
	ROW_LISTENING,
	ROW_CONNECTING,
	ROW_CONNECTED,
	ROW_SENDING,      /* connected, and bytes wait to be sent or acknowledged */
	ROW_RECEIVING,    /* connected, and bytes wait for the app to read them */
	ROW_SHUTDOWN,     /* one of the two directions has ended */
	ROW_DISCONNECTED, /* both have ended */
	ROW_TERMINATED,   /* the app has closed it, or it was reset; the row goes with the next collection */
	ROW_STATUSES
};

/* "unconnected", "bound" ...; never NULL. */
const char *rows_status_name(enum row_status s);

/* `e` is what the kernel said, NULL when it did not list the socket. */
enum row_status rows_status(const struct vsk *v, const struct sockdiag_entry *e);

#define ROWS_LINE_MAX 4096

/* One JSON object with the end of its line. Returns its length, less than ROWS_LINE_MAX. */
size_t rows_json(const struct vsk *v, const struct sockdiag_entry *e, char buf[static ROWS_LINE_MAX]);
/* The same for datagrams: a flow that was allowed, as its first sender sees it, or the other side. */
size_t rows_flow_json(const struct flow *f, bool other_side, char buf[static ROWS_LINE_MAX]);

#endif
