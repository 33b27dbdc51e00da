/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/network.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static void settle(struct domain *d, const struct err *e)
{
	void (*settled)(struct domain *, void *, const struct err *) = d->settled;

	d->settled = NULL;
	if (settled)
		settled(d, d->settled_ctx, e);
	else if (e && d->sup->complain) /* whoever brought it did not wait */
		d->sup->complain(e);
}

/* Its network is there, and its ports of the machine; or not. */
static void published(struct domain *d, const struct err *e)
{
	struct err failed;

	if (e) {
		failed = *e;
		(void)err_wrap(&failed, "container %s", d->id);
	}
	settle(d, e ? &failed : NULL);
	if (e)
		sup_remove(d->sup, d);
}

static void made(void *ctx, struct factory_made *m, const struct err *e)
{
	struct domain *d = ctx;
	struct sup *s = d->sup;
	struct err failed;
	int rc = 0;

	if (e) {
		failed = *e;
		rc = err_wrap(&failed, "container %s", d->id);
	} else {
		d->net.cookie = m->cookie;
		d->net.resolver = fd_take(&m->resolver);
		d->net.packets = fd_take(&m->packets);
		memcpy(d->net.mac, m->mac, sizeof d->net.mac);
		resolver_add(s, d);
		rc = flow_add_domain(s, d);
		rc = rc < 0 ? err_num(&failed, -rc, "container %s", d->id) : sup_serve(s, d, &failed);
	}
	if (rc == 0 && publish_begin(d, published) < 0)
		rc = err_num(&failed, ENOMEM, "container %s", d->id);
	if (rc == 0)
		return;
	settle(d, &failed);
	sup_remove(s, d);
}

/* Addresses of two domains in one namespace would be those of both. */
static const struct domain *find_sharer(const struct sup *s, const struct domain *d)
{
	const struct domain *o;

	LIST_FOREACH(o, &s->domains, link)
		if (o != d && o->net.dev == d->net.dev && o->net.ino == d->net.ino)
			return o;
	return NULL;
}

static int check(const struct sup *s, struct domain *d, int ns, struct err *e)
{
	const struct domain *other;
	struct stat st;

	if (fstat(ns, &st) < 0)
		return err_sys(e, "container %s: network namespace", d->id);
	d->net.dev = st.st_dev;
	d->net.ino = st.st_ino;
	other = find_sharer(s, d);
	if (!other)
		return 0;
	(void)err_set(e, EBUSY, "container %s: its network namespace is that of container %s", d->id, other->id);
	return err_hint(e, "give each a network namespace of its own");
}

int network_of_process(pid_t pid, int *ret_ns, struct err *e)
{
	char path[48];

	if (pid <= 0)
		return err_set(e, EINVAL, "state.pid is missing");
	(void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
	*ret_ns = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_ns < 0 ? err_sys(e, "network namespace of process %d", (int)pid) : 0;
}

int network_begin(struct sup *s, struct domain *d, int ns, struct err *e)
{
	const struct factory_network want = { .addresses = d->virtual,
					      .n = d->n_virtual,
					      .number = d->number,
					      .udp = policy_needs(&d->policy) & POLICY_NEEDS_UDP };
	int rc = check(s, d, ns, e);

	return rc == 0 ? factory_network(&s->factory, &want, ns, made, d, e) : rc;
}

void network_end(struct sup *s, struct domain *d)
{
	factory_forget(&s->factory, d);
	resolver_remove(s, d);
	flow_remove_domain(s, d);
}
