/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/vsk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sup/domain.h"
#include "sup/outgoing.h"
#include "sup/sup.h"

static_assert(sizeof(struct vsk) <= 264, "with what malloc adds and the table, a row is less than 300 bytes");

static const char *const status_names[] = {
	[VSK_UNCONNECTED] = "unconnected", [VSK_BOUND] = "bound",	  [VSK_LISTENING] = "listening",
	[VSK_CONNECTING] = "connecting",   [VSK_CONNECTED] = "connected",
};
static_assert(sizeof status_names / sizeof *status_names == VSK_STATUSES, "every status has a name");

const char *vsk_status_name(enum vsk_status s)
{
	return status_names[s];
}

/* Cookies are counted up by CPU, so their low bits are spread well enough. */
static struct vsk_list *bucket_of(const struct vsk_table *t, uint64_t cookie)
{
	return &t->buckets[(cookie ^ cookie >> 16) & (t->n_buckets - 1)];
}

int vsk_table_init(struct vsk_table *t)
{
	*t = (struct vsk_table){ .n_buckets = 256, .collect_at = VSK_COLLECT_MIN, .next_id = 1 };
	TAILQ_INIT(&t->loose);
	t->buckets = calloc(t->n_buckets, sizeof *t->buckets);
	return t->buckets ? 0 : -ENOMEM;
}

void vsk_table_fini(struct vsk_table *t)
{
	for (size_t i = 0; t->buckets && i < t->n_buckets; i++)
		while (!LIST_EMPTY(&t->buckets[i]))
			vsk_free(t, LIST_FIRST(&t->buckets[i]));
	free(t->buckets);
	t->buckets = NULL;
}

/* Without memory the table stays as it is, only slower. */
static void grow(struct vsk_table *t)
{
	struct vsk_table old = *t;
	struct vsk_list *buckets = calloc(t->n_buckets * 2, sizeof *buckets);

	if (!buckets)
		return;
	t->buckets = buckets;
	t->n_buckets *= 2;
	for (size_t i = 0; i < old.n_buckets; i++)
		while (!LIST_EMPTY(&old.buckets[i])) {
			struct vsk *v = LIST_FIRST(&old.buckets[i]);

			LIST_REMOVE(v, by_cookie);
			LIST_INSERT_HEAD(bucket_of(t, v->cookie), v, by_cookie);
		}
	free(old.buckets);
}

struct vsk *vsk_find(struct vsk_table *t, uint64_t cookie)
{
	struct vsk *v;

	LIST_FOREACH(v, bucket_of(t, cookie), by_cookie)
		if (v->cookie == cookie)
			return v;
	return NULL;
}

static bool has_port(const struct vsk *v, enum vsk_status s)
{
	return s == VSK_BOUND || s == VSK_LISTENING || (s == VSK_CONNECTED && v->client);
}

static struct vsk_list *ports_of(struct vsk_table *t, const struct domain *d, uint16_t port)
{
	return &t->ports[(port + d->number * 37U) % VSK_PORT_BUCKETS];
}

static void leave_lists(struct vsk_table *t, struct vsk *v)
{
	if (v->in_loose_list) {
		TAILQ_REMOVE(&t->loose, v, in_loose);
		t->n_loose--;
	}
	if (v->in_ports)
		LIST_REMOVE(v, by_port);
	v->in_loose_list = v->in_ports = false;
}

/* Wires are seen by the kernel's list whatever their state is. */
static void enter_lists(struct vsk_table *t, struct vsk *v)
{
	if (v->status == VSK_UNCONNECTED && !v->wire) {
		TAILQ_INSERT_TAIL(&t->loose, v, in_loose);
		t->n_loose++;
		v->in_loose_list = true;
	} else if (has_port(v, (enum vsk_status)v->status)) {
		LIST_INSERT_HEAD(ports_of(t, v->domain, v->local_port), v, by_port);
		v->in_ports = true;
	}
}

static void drop_arrival(struct vsk_arrival *a)
{
	TAILQ_REMOVE(&a->listener->arrivals, a, link);
	if (a->from)
		LIST_REMOVE(a, in_from);
	a->listener->n_arrivals--;
	free(a);
}

static void drop_queues(struct vsk *v)
{
	while (!TAILQ_EMPTY(&v->arrivals))
		drop_arrival(TAILQ_FIRST(&v->arrivals));
	v->n_tokens = v->n_parked = 0;
	while (!TAILQ_EMPTY(&v->parked)) {
		struct vsk_parked *p = TAILQ_FIRST(&v->parked);

		TAILQ_REMOVE(&v->parked, p, link);
		sup_give_files(v->domain, 1);
		(void)close(p->fd);
		free(p);
	}
}

void vsk_set_status(struct vsk_table *t, struct vsk *v, enum vsk_status status)
{
	bool closed = v->status == VSK_LISTENING && status != VSK_LISTENING;

	leave_lists(t, v);
	if (status != VSK_LISTENING)
		drop_queues(v);
	v->status = (uint8_t)status;
	v->missed = v->told = false;
	v->changed = t->survey;
	enter_lists(t, v);
	if (closed)
		publish_closed(v->domain, v->local_port);
}

struct vsk *vsk_new(struct vsk_table *t, struct domain *d, uint64_t cookie, bool v6)
{
	struct vsk *v = calloc(1, sizeof *v);

	if (!v)
		return NULL;
	if (t->n_loose >= VSK_LOOSE_MAX) {
		TAILQ_FIRST(&t->loose)->domain->n_forgotten++;
		vsk_free(t, TAILQ_FIRST(&t->loose));
	}
	if (t->n >= t->n_buckets)
		grow(t);
	v->domain = d;
	v->cookie = cookie;
	v->id = t->next_id++;
	v->v6 = v6;
	vsk_set_wire(t, v, d->policy.transport == POLICY_TRANSPORT_WIRE);
	v->changed = t->survey;
	v->status = VSK_UNCONNECTED;
	TAILQ_INIT(&v->arrivals);
	TAILQ_INIT(&v->parked);
	LIST_INSERT_HEAD(bucket_of(t, cookie), v, by_cookie);
	LIST_INSERT_HEAD(&d->rows, v, in_domain);
	enter_lists(t, v);
	t->n++;
	d->n_rows++;
	return v;
}

void vsk_set_wire(struct vsk_table *t, struct vsk *v, bool wire)
{
	t->n_wires += wire;
	t->n_wires -= v->wire;
	v->wire = wire;
}

void vsk_set_host(struct vsk_table *t, struct vsk *v)
{
	v->host = true;
	vsk_set_wire(t, v, false);
	t->n_host++;
}

void vsk_set_to(struct vsk *v, struct faddr *to)
{
	if (v->to)
		LIST_REMOVE(v, in_peers);
	v->to = to;
	if (to)
		LIST_INSERT_HEAD(&to->peers, v, in_peers);
}

void vsk_forget_place(struct faddr *place)
{
	struct vsk_arrival *a;

	while (!LIST_EMPTY(&place->peers))
		vsk_set_to(LIST_FIRST(&place->peers), NULL);
	while ((a = LIST_FIRST(&place->arrivals))) {
		a->listener->unsure = true;
		if (a->listener->wire) { /* the kernel's queue has it still */
			LIST_REMOVE(a, in_from);
			a->from = NULL;
		} else {
			drop_arrival(a);
		}
	}
}

void vsk_reset(struct vsk_table *t, struct vsk *v)
{
	v->remote = (struct addr){ 0 };
	v->remote_port = 0;
	vsk_set_to(v, NULL);
	if (v->bound && v->at) { /* a wildcard was the source of the connection meanwhile */
		v->local = v->at->virtual;
	} else {
		v->local = (struct addr){ 0 };
		v->local_port = 0;
		v->at = NULL;
		v->bound = v->bound_port = false;
	}
	vsk_set_status(t, v, v->bound ? VSK_BOUND : VSK_UNCONNECTED);
}

void vsk_free(struct vsk_table *t, struct vsk *v)
{
	if (v->out)
		outgoing_drop(v->out);
	t->n_host -= v->host;
	t->n_wires -= v->wire;
	leave_lists(t, v);
	drop_queues(v);
	vsk_set_to(v, NULL);
	LIST_REMOVE(v, by_cookie);
	LIST_REMOVE(v, in_domain);
	v->domain->n_rows--;
	t->n--;
	if (v->status == VSK_LISTENING)
		publish_closed(v->domain, v->local_port);
	free(v->options);
	free(v);
}

/* --- ports ----------------------------------------------------------------- */

static bool is_any(const struct addr *a)
{
	static const struct addr any6;
	const struct addr any4 = addr_v4(0, 0, 0, 0);

	return addr_equal(a, &any6) || addr_equal(a, &any4);
}

/* How well a bound row fits an address: 3 exactly, 2 by its own wildcard, 1 by the dual one, 0 not. */
static int fit(const struct vsk *v, const struct addr *a)
{
	if (addr_equal(&v->local, a))
		return 3;
	if (!is_any(&v->local))
		return 0;
	if (addr_is_v4(&v->local) == addr_is_v4(a))
		return 2;
	return addr_is_v4(a) && !v->v6only ? 1 : 0;
}

/* Of several that fit as well (SO_REUSEPORT) each has its turn. */
struct vsk *vsk_find_listener(struct vsk_table *t, const struct domain *d, const struct addr *a,
			      uint16_t port)
{
	struct vsk *v, *best = NULL;
	unsigned n = 0, turn = t->turn;
	int most = 0;

	LIST_FOREACH(v, ports_of(t, d, port), by_port) {
		int f = v->domain == d && v->local_port == port && v->status == VSK_LISTENING ? fit(v, a) : 0;

		if (f > most) {
			most = f;
			best = v;
			n = 1;
		} else if (f && f == most && turn % ++n == 0) {
			best = v;
		}
	}
	return best;
}

struct vsk *vsk_next_listener(struct vsk_table *t, const struct domain *d, uint16_t port, const struct vsk *after)
{
	struct vsk *v = after ? LIST_NEXT(after, by_port) : LIST_FIRST(ports_of(t, d, port));

	while (v && (v->domain != d || v->local_port != port || v->status != VSK_LISTENING))
		v = LIST_NEXT(v, by_port);
	return v;
}

bool vsk_client_taken(struct vsk_table *t, const struct vsk *v)
{
	struct vsk *o;

	LIST_FOREACH(o, ports_of(t, v->domain, v->local_port), by_port) {
		if (o == v || o->domain != v->domain || o->local_port != v->local_port)
			continue;
		if (o->status != VSK_CONNECTED ||
		    (addr_equal(&o->local, &v->local) && addr_equal(&o->remote, &v->remote) &&
		     o->remote_port == v->remote_port))
			return true;
	}
	return false;
}

/* Some address belongs to both. */
static bool overlap(const struct vsk *a, const struct vsk *b)
{
	return fit(a, &b->local) || fit(b, &a->local);
}

struct vsk *vsk_find_conflict(struct vsk_table *t, const struct vsk *v, bool for_listen)
{
	struct vsk *o;

	LIST_FOREACH(o, ports_of(t, v->domain, v->local_port), by_port) {
		if (o == v || o->domain != v->domain || o->local_port != v->local_port || !overlap(v, o))
			continue;
		if (o->status == VSK_CONNECTED)
			continue; /* a wire's client: its port is between it and its peer */
		if (v->reuse_port && o->reuse_port)
			continue;
		if (v->reuse_addr && o->reuse_addr && o->status != VSK_LISTENING)
			continue;
		if (for_listen && o->status != VSK_LISTENING)
			continue;
		return o;
	}
	return NULL;
}

/* --- connections that wait to be accepted ------------------------------------ */

int vsk_arrive(struct vsk *listener, const struct vsk *client)
{
	struct vsk_arrival *a = malloc(sizeof *a);

	if (!a)
		return -ENOMEM;
	/* Clients that gave up before they were accepted leave theirs behind; a wire's queue keeps them. */
	if (!listener->wire && listener->n_arrivals > 2 * (listener->backlog + 8)) {
		drop_arrival(TAILQ_FIRST(&listener->arrivals));
		listener->unsure = true;
	}
	*a = (struct vsk_arrival){ .listener = listener, .token = !client };
	if (client) {
		a->from = client->at;
		if (a->from)
			LIST_INSERT_HEAD(&a->from->arrivals, a, in_from);
		a->peer = client->local;
		a->local = client->remote;
		a->port = client->local_port;
	}
	TAILQ_INSERT_TAIL(&listener->arrivals, a, link);
	listener->n_arrivals++;
	return 0;
}

bool vsk_take_arrival(struct vsk *listener, const struct faddr *from, uint16_t port,
		      struct vsk_arrival *ret)
{
	struct vsk_arrival *a;

	TAILQ_FOREACH(a, &listener->arrivals, link) {
		if (a->from != from || a->port != port)
			continue;
		*ret = *a;
		drop_arrival(a);
		return true;
	}
	return false;
}

bool vsk_take_first_arrival(struct vsk *listener, struct vsk_arrival *ret)
{
	struct vsk_arrival *a = TAILQ_FIRST(&listener->arrivals);

	if (!a)
		return false;
	*ret = *a;
	drop_arrival(a);
	return true;
}

void vsk_take_last_arrival(struct vsk *listener)
{
	drop_arrival(TAILQ_LAST(&listener->arrivals, vsk_arrivals));
}
