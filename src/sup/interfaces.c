/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioctl(2) for interfaces (netdevice(7)), in domains whose apps have sockets of
 * the host's, which would show the host's interfaces and addresses. What is
 * asked of another socket is done on the duplicate, for the descriptor may be
 * exchanged meanwhile.
 */
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/sup.h"

#define INTERFACES_MAX 1024

static int64_t one(struct call *c, int fd, unsigned long what)
{
	struct ifreq r;

	if (guestmem_read(c->tid, c->args[2], &r, sizeof r) < 0)
		return -EFAULT;
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (ioctl(fd, what, &r) < 0)
		return -errno;
	return guestmem_write(c->tid, c->args[2], &r, sizeof r) < 0 ? -EFAULT : 0;
}

static int64_t list(struct call *c, int fd)
{
	AUTO_FREE struct ifreq *found = NULL;
	struct ifconf asked, own;
	int room;

	if (guestmem_read(c->tid, c->args[2], &asked, sizeof asked) < 0)
		return -EFAULT;
	/* Linux looks at it only where there is a buffer. Who asks how many there are may leave anything in it (Java). */
	room = asked.ifc_req && asked.ifc_len > 0 ? asked.ifc_len : 0;
	if (room > (int)(INTERFACES_MAX * sizeof *found))
		room = INTERFACES_MAX * sizeof *found;
	found = calloc((size_t)room + 1, 1);
	if (!found)
		return -ENOMEM;
	own = (struct ifconf){ .ifc_len = room, .ifc_req = asked.ifc_req ? found : NULL };
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (ioctl(fd, SIOCGIFCONF, &own) < 0)
		return -errno;
	asked.ifc_len = own.ifc_len;
	if ((asked.ifc_req && own.ifc_len > 0 &&
	     guestmem_write(c->tid, (uintptr_t)asked.ifc_req, found, (size_t)own.ifc_len) < 0) ||
	    guestmem_write(c->tid, c->args[2], &asked, sizeof asked) < 0)
		return -EFAULT;
	return 0;
}

/* No more than the filter traps, should a bundle's own trap others: the supervisor has rights in F. */
static bool only_reads(unsigned long what)
{
	static const unsigned reading[] = { SIOCGIFNAME,    SIOCGIFCONF, SIOCGIFFLAGS,  SIOCGIFADDR, SIOCGIFBRDADDR,
					    SIOCGIFNETMASK, SIOCGIFMTU,	 SIOCGIFHWADDR, SIOCGIFINDEX };

	for (size_t i = 0; i < sizeof reading / sizeof *reading; i++)
		if (what == reading[i])
			return true;
	return false;
}

int64_t handle_ioctl(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	unsigned long what = (uint32_t)c->args[1];
	int64_t rc;

	if (!only_reads(what))
		return -ENOTTY;
	rc = call_target(c, &t);
	if (rc < 0)
		return rc == -ENOTSOCK ? -ENOTTY : rc;
	if (t.row && t.row->host)
		return -ENOTTY;
	return what == SIOCGIFCONF ? list(c, t.fd) : one(c, t.fd, what);
}
