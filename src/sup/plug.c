/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/plug.h"

#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/transport.h"

#define PIECE 65536

static char piece[PIECE]; /* too large for a stack, and there is one thread */

int plug_enter(struct plug *p, const struct guard *g, int wire)
{
	int rc = transport_wire_meet(g, wire, &p->fd);
	ssize_t n;

	if (rc < 0)
		return rc == -EISCONN || rc == -EINVAL ? -EMLINK : rc;
	memset(piece, 0, sizeof piece);
	p->filler = 0;
	/* A part of one piece is all that there was room for; a byte fills what is left of the last page. */
	while ((n = send(wire, piece, sizeof piece, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		p->filler += (size_t)n;
	while (send(wire, piece, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
		p->filler++;
	return 0;
}

int plug_open(struct plug *p)
{
	while (p->filler) {
		ssize_t n = recv(p->fd, piece, p->filler < sizeof piece ? p->filler : sizeof piece, MSG_DONTWAIT);

		if (n <= 0)
			break; /* the app has gone */
		p->filler -= (size_t)n;
	}
	return fd_take(&p->fd);
}
