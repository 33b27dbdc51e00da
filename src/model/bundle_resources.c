/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's linux.resources (runtime-spec config-linux.md, "Control groups"). */
#include <stdio.h>
#include <string.h>

#include "model/bundle_read.h"

#define DEV_MAJOR_MAX 0xfff
#define DEV_MINOR_MAX 0xfffff

/*
 * An optional number of the document and where it goes. For most of them
 * engines write 0 to say "not set", and no kernel file would take 0 for
 * anything else, so `zero_absent` counts it as absent.
 */
struct number_field {
	const char *key;
	size_t value, has; /* offsets in struct bundle_resources; 64 bits, and a bool */
	int64_t min;       /* 0 also says that the value is unsigned */
	bool zero_absent;
};
#define FIELD(key_, name, min_, zero)                                                              \
	{                                                                                          \
		.key = (key_), .value = offsetof(struct bundle_resources, name),                   \
		.has = offsetof(struct bundle_resources, has_##name), .min = (min_),               \
		.zero_absent = (zero),                                                             \
	}

static int read_number(struct bundle_resources *r, const struct jat *at,
		       const struct number_field *f, struct err *e)
{
	bool *has = (bool *)((char *)r + f->has);
	void *value = (char *)r + f->value;
	uint64_t u = 0;
	int64_t i = 0;
	int rc;

	if (f->min < 0) {
		rc = json_get_int(at, f->key, f->min, INT64_MAX, &i, e);
		u = (uint64_t)i;
	} else {
		rc = json_get_uint(at, f->key, UINT64_MAX, &u, e);
	}
	if (rc <= 0 || (u == 0 && f->zero_absent))
		return rc;
	memcpy(value, &u, sizeof u);
	*has = true;
	return 0;
}

static int read_numbers(struct bundle_resources *r, const struct jat *at,
			const struct number_field *fields, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int rc = read_number(r, at, &fields[i], e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_switch(const struct jat *at, const char *key, bool *ret_has, bool *ret,
		       struct err *e)
{
	int rc = json_get_bool(at, key, ret, e);

	*ret_has = rc > 0;
	return rc;
}

static int read_memory(struct bundle *b, const struct jat *at, struct err *e)
{
	static const struct number_field fields[] = {
		FIELD("limit", mem_limit, -1, true),
		FIELD("reservation", mem_reservation, -1, true),
		FIELD("swap", mem_swap, -1, true),
		FIELD("kernel", mem_kernel, -1, true),
		FIELD("kernelTCP", mem_kernel_tcp, -1, true),
		FIELD("swappiness", swappiness, 0, false),
	};
	struct bundle_resources *r = &b->resources;
	struct jat mem, m;
	int rc = json_get_object(at, "memory", &mem, e);

	if (rc <= 0 ||
	    (rc = read_numbers(r, &mem, fields, sizeof fields / sizeof *fields, e)) < 0 ||
	    (rc = read_switch(&mem, "disableOOMKiller", &r->has_disable_oom, &r->disable_oom,
			      e)) < 0 ||
	    (rc = read_switch(&mem, "useHierarchy", &r->has_use_hierarchy, &r->use_hierarchy,
			      e)) < 0 ||
	    (rc = read_switch(&mem, "checkBeforeUpdate", &r->has_check_before_update,
			      &r->check_before_update, e)) < 0)
		return rc;
	(void)json_member(&mem, "swappiness", &m);
	if (r->swappiness > 100)
		return json_error(&m, e, "%llu is out of range (0 to 100)",
				  (unsigned long long)r->swappiness);
	(void)json_member(&mem, "swap", &m);
	if (r->mem_swap > 0 && r->mem_limit > r->mem_swap)
		return json_error(&m, e, "swap counts memory and swap together, so it cannot be"
					 " below limit");
	if (r->mem_swap > 0 && r->mem_limit < 0)
		return json_error(&m, e, "a swap limit with unlimited memory");
	return 0;
}

static int read_cpu(struct bundle *b, const struct jat *at, struct err *e)
{
	static const struct number_field fields[] = {
		FIELD("shares", cpu_shares, 0, true),
		FIELD("quota", cpu_quota, -1, true),
		FIELD("period", cpu_period, 0, true),
		FIELD("burst", cpu_burst, 0, false),
		FIELD("realtimeRuntime", rt_runtime, -1, true),
		FIELD("realtimePeriod", rt_period, 0, true),
		FIELD("idle", cpu_idle, 0, false),
	};
	struct bundle_resources *r = &b->resources;
	struct jat cpu, m;
	int rc = json_get_object(at, "cpu", &cpu, e);

	if (rc <= 0 ||
	    (rc = read_numbers(r, &cpu, fields, sizeof fields / sizeof *fields, e)) < 0 ||
	    (rc = bundle_get_cpulist(&b->arena, &cpu, "cpus", &r->cpus, e)) < 0 ||
	    (rc = bundle_get_cpulist(&b->arena, &cpu, "mems", &r->mems, e)) < 0)
		return rc;
	(void)json_member(&cpu, "idle", &m);
	if (r->cpu_idle < 0 || r->cpu_idle > 1)
		return json_error(&m, e, "%lld is out of range (0 to 1)", (long long)r->cpu_idle);
	(void)json_member(&cpu, "burst", &m);
	if (r->cpu_quota > 0 && r->cpu_burst > (uint64_t)r->cpu_quota)
		return json_error(&m, e, "burst is above quota");
	return 0;
}

static int need_device(const struct jat *at, uint32_t *ret_major, uint32_t *ret_minor,
		       struct err *e)
{
	int rc = bundle_need_u32(at, "major", DEV_MAJOR_MAX, ret_major, e);

	return rc < 0 ? rc : bundle_need_u32(at, "minor", DEV_MINOR_MAX, ret_minor, e);
}

/* A block I/O weight; 0 is how engines write "not set". Returns as the getters. */
static int get_weight(const struct jat *at, const char *key, uint16_t *ret, struct err *e)
{
	uint32_t w = 0;
	struct jat m;
	int rc = bundle_get_u32(at, key, UINT16_MAX, &w, e);

	if (rc <= 0 || w == 0)
		return rc < 0 ? rc : 0;
	(void)json_member(at, key, &m);
	if (w < 10 || w > 1000)
		return json_error(&m, e, "%u is out of range (10 to 1000)", w);
	*ret = (uint16_t)w;
	return 1;
}

static int read_weight_device(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_weight_device *d = item;
	int rc = need_device(at, &d->major, &d->minor, e);

	(void)b;
	if (rc < 0 || (rc = get_weight(at, "weight", &d->weight, e)) < 0)
		return rc;
	d->has_weight = rc > 0;
	rc = get_weight(at, "leafWeight", &d->leaf_weight, e);
	d->has_leaf = rc > 0;
	if (rc == 0 && !d->has_weight)
		return json_error(at, e, "neither weight nor leafWeight");
	return rc;
}

static int read_throttle(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_throttle *t = item;
	int rc = need_device(at, &t->major, &t->minor, e);

	(void)b;
	if (rc >= 0)
		rc = json_get_uint(at, "rate", UINT64_MAX, &t->rate, e);
	return rc == 0 ? bundle_missing(at, "rate", e) : rc;
}

static int read_blkio(struct bundle *b, const struct jat *at, struct err *e)
{
	static const char *const keys[THROTTLE_KINDS] = {
		[THROTTLE_READ_BPS] = "throttleReadBpsDevice",
		[THROTTLE_WRITE_BPS] = "throttleWriteBpsDevice",
		[THROTTLE_READ_IOPS] = "throttleReadIOPSDevice",
		[THROTTLE_WRITE_IOPS] = "throttleWriteIOPSDevice",
	};
	struct bundle_resources *r = &b->resources;
	struct bundle_items items = { 0 };
	struct jat io;
	int rc = json_get_object(at, "blockIO", &io, e);

	if (rc <= 0 || (rc = get_weight(&io, "weight", &r->blkio_weight, e)) < 0)
		return rc;
	r->has_blkio_weight = rc > 0;
	if ((rc = get_weight(&io, "leafWeight", &r->blkio_leaf_weight, e)) < 0)
		return rc;
	r->has_blkio_leaf = rc > 0;
	rc = bundle_get_items(b, &io, "weightDevice", sizeof(struct bundle_weight_device),
			      read_weight_device, &items, e);
	r->blkio_weights = items.v;
	r->n_blkio_weights = items.n;
	for (int i = 0; rc >= 0 && i < THROTTLE_KINDS; i++) {
		items = (struct bundle_items){ 0 };
		rc = bundle_get_items(b, &io, keys[i], sizeof(struct bundle_throttle),
				      read_throttle, &items, e);
		r->throttle[i] = items.v;
		r->n_throttle[i] = items.n;
	}
	return rc;
}

static bool access_ok(const char *access)
{
	unsigned seen = 0;

	for (; *access; access++) {
		unsigned bit = *access == 'r' ? 1 : *access == 'w' ? 2 : *access == 'm' ? 4 : 8;

		if (bit == 8 || (seen & bit) != 0)
			return false;
		seen |= bit;
	}
	return true;
}

static int read_device_rule(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	static const struct name_value types[] = {
		{ "a", 'a' }, { "", 'a' }, { "c", 'c' }, { "b", 'b' }, { NULL, 0 },
	};
	struct bundle_device_rule *r = item;
	uint64_t type = 'a';
	struct jat m;
	int rc = json_get_bool(at, "allow", &r->allow, e);

	if (rc == 0)
		return bundle_missing(at, "allow", e);
	r->major = r->minor = -1;
	r->access = "rwm";
	if (rc < 0 ||
	    (rc = bundle_get_name(at, "type", types, "type of device (a, b or c)", &type, e)) < 0 ||
	    (rc = json_get_int(at, "major", -1, DEV_MAJOR_MAX, &r->major, e)) < 0 ||
	    (rc = json_get_int(at, "minor", -1, DEV_MINOR_MAX, &r->minor, e)) < 0 ||
	    (rc = bundle_get_text(&b->arena, at, "access", &r->access, e)) < 0)
		return rc;
	r->type = (char)type;
	(void)json_member(at, "access", &m);
	if (!access_ok(r->access))
		return bundle_bad_word(&m, r->access, e, "expected some of r, w and m");
	return 0;
}

/* "64KB", "2MB", "1GB" */
static bool page_size_ok(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n < 10 && *s != '0' && s[n] && strchr("KMG", s[n]) && s[n + 1] == 'B' &&
	       s[n + 2] == '\0';
}

static int read_hugepage(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_hugepage *h = item;
	struct jat m;
	int rc = bundle_need_text(&b->arena, at, "pageSize", &h->page_size, e);

	if (rc < 0)
		return rc;
	(void)json_member(at, "pageSize", &m);
	if (!page_size_ok(h->page_size))
		return bundle_bad_word(&m, h->page_size, e, "expected a size like \"2MB\"");
	rc = json_get_uint(at, "limit", UINT64_MAX, &h->limit, e);
	return rc == 0 ? bundle_missing(at, "limit", e) : rc;
}

static int read_net_prio(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct key_value *kv = item;
	uint32_t priority = 0;
	int rc = bundle_need_text(&b->arena, at, "name", &kv->key, e);

	if (rc < 0 || (rc = bundle_need_u32(at, "priority", UINT32_MAX, &priority, e)) < 0)
		return rc;
	kv->value = arena_printf(&b->arena, "%u", priority);
	return kv->value ? 0 : bundle_no_memory(at, e);
}

static int read_network(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_resources *r = &b->resources;
	struct bundle_items items = { 0 };
	struct jat net;
	int rc = json_get_object(at, "network", &net, e);

	if (rc <= 0 || (rc = bundle_get_u32(&net, "classID", UINT32_MAX, &r->net_class, e)) < 0)
		return rc;
	r->has_net_class = rc > 0;
	rc = bundle_get_items(b, &net, "priorities", sizeof(struct key_value), read_net_prio,
			      &items, e);
	r->net_prios = items.v;
	r->n_net_prios = items.n;
	return rc;
}

static int read_rdma(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_resources *r = &b->resources;
	struct jat obj, m;
	const char *name;
	json_t *value;
	int rc = json_get_object(at, "rdma", &obj, e);

	if (rc <= 0)
		return rc;
	r->rdma = arena_array(&b->arena, json_object_size(obj.val), sizeof *r->rdma);
	if (!r->rdma)
		return bundle_no_memory(at, e);
	json_object_foreach((json_t *)(uintptr_t)obj.val, name, value) {
		struct bundle_rdma *d = &r->rdma[r->n_rdma++];

		(void)json_member(&obj, name, &m);
		d->device = arena_strdup(&b->arena, name);
		if (!d->device)
			return bundle_no_memory(at, e);
		if ((rc = json_expect_object(&m, e)) < 0 ||
		    (rc = bundle_get_u32(&m, "hcaHandles", UINT32_MAX, &d->handles, e)) < 0)
			return rc;
		d->has_handles = rc > 0;
		if ((rc = bundle_get_u32(&m, "hcaObjects", UINT32_MAX, &d->objects, e)) < 0)
			return rc;
		d->has_objects = rc > 0;
		if (!*name || (!d->has_handles && !d->has_objects))
			return json_error(&m, e, "neither hcaHandles nor hcaObjects");
	}
	return 0;
}

static int read_unified(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_resources *r = &b->resources;
	struct jat obj, m;
	int rc = bundle_get_pairs(&b->arena, at, "unified", &r->unified, &r->n_unified, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, "unified", &obj);
	for (size_t i = 0; i < r->n_unified; i++) {
		const char *file = r->unified[i].key;

		if (!strchr(file, '/') && *file != '.')
			continue;
		(void)json_member(&obj, file, &m);
		return json_error(&m, e, "not the name of a file in a cgroup");
	}
	return 0;
}

static int read_lists(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_resources *r = &b->resources;
	struct bundle_items items = { 0 };
	struct jat pids;
	int rc = bundle_get_items(b, at, "devices", sizeof(struct bundle_device_rule),
				  read_device_rule, &items, e);

	if (rc < 0)
		return rc;
	r->devices = items.v;
	r->n_devices = items.n;
	items = (struct bundle_items){ 0 };
	rc = bundle_get_items(b, at, "hugepageLimits", sizeof(struct bundle_hugepage),
			      read_hugepage, &items, e);
	if (rc < 0)
		return rc;
	r->hugepages = items.v;
	r->n_hugepages = items.n;
	rc = json_get_object(at, "pids", &pids, e);
	if (rc > 0) {
		rc = json_get_int(&pids, "limit", -1, INT64_MAX, &r->pids_limit, e);
		r->has_pids = rc > 0;
	}
	return rc;
}

int bundle_read_resources(struct bundle *b, const struct jat *linux_at, struct err *e)
{
	struct jat at;
	int rc = json_get_object(linux_at, "resources", &at, e);

	if (rc <= 0)
		return rc;
	b->resources.given = true;
	if ((rc = read_lists(b, &at, e)) < 0 || (rc = read_memory(b, &at, e)) < 0 ||
	    (rc = read_cpu(b, &at, e)) < 0 || (rc = read_blkio(b, &at, e)) < 0 ||
	    (rc = read_network(b, &at, e)) < 0 || (rc = read_rdma(b, &at, e)) < 0)
		return rc;
	return read_unified(b, &at, e);
}
