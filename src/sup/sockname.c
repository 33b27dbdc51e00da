/* SPDX-License-Identifier: Apache-2.0 */
/* getsockname(2) and getpeername(2): virtual addresses from the row, errors from the kernel. */
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/sup.h"

static int64_t answer(struct call *c, bool peer)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);
	int got;

	if (rc < 0)
		return rc;
	got = peer ? getpeername(t.fd, (struct sockaddr *)&sa, &len) :
		     getsockname(t.fd, (struct sockaddr *)&sa, &len);
	if (got < 0)
		return -errno;
	if (!t.row)
		rc = call_write_address(c, c->args[1], c->args[2], &sa, len);
	else if (peer)
		rc = call_write_name(c, c->args[1], c->args[2], t.row, &t.row->remote, t.row->remote_port);
	else
		rc = call_write_name(c, c->args[1], c->args[2], t.row, &t.row->local, t.row->local_port);
	return rc == -ENOENT ? CALL_ANSWERED : rc;
}

int64_t handle_getsockname(struct call *c)
{
	return answer(c, false);
}

int64_t handle_getpeername(struct call *c)
{
	return answer(c, true);
}
