/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources into cgroup v2 files (Documentation/admin-guide/cgroup-v2.rst).
 * The spec speaks cgroup v1; what v2 counts differently is converted as crun
 * and runc document it, so that a bundle means the same everywhere.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kern/cgroup_impl.h"

/* --- conversions --- */

/* log2 of 1 <= x < 2^32, in units of 2^-32: squaring doubles the logarithm, bit by bit. */
static uint64_t log2_fixed(uint64_t x)
{
	unsigned whole = 63U - (unsigned)__builtin_clzll(x);
	uint64_t m = x << (31 - whole); /* in [1, 2), units of 2^-31 */
	uint64_t result = (uint64_t)whole << 32;

	for (int bit = 31; bit >= 0; bit--) {
		m = m * m >> 31;
		if (m >= 1ULL << 32) {
			m >>= 1;
			result |= 1ULL << bit;
		}
	}
	return result;
}

/*
 * weight = ceil(10^((l^2 + 125 l) / 612 - 7/34)), l = log2(shares): the curve
 * on which 2, 1024 and 262144 shares are weights 1, 100 and 10000. Instead of
 * raising 10 to a power, the weight is searched whose logarithm is the first
 * to reach it; the logarithms are integers, so that no machine's rounding
 * differs. 10^e = w is e * log2(10) = log2(w).
 */
uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	static const uint64_t log2_of_10 = 14267572527; /* units of 2^-32 */
	static const int64_t slack = 16; /* what log2_fixed() and the constant lose */
	uint64_t l, lo = 1, hi = 10000;
	int64_t exponent, target;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2_fixed(shares);
	exponent = (int64_t)(((__int128)l * l + ((__int128)125 * l << 32)) / 612 >> 32) -
		   (int64_t)((7ULL << 32) / 34);
	target = (int64_t)((__int128)exponent * (int64_t)log2_of_10 >> 32);
	while (lo < hi) {
		uint64_t mid = (lo + hi) / 2;

		if ((int64_t)log2_fixed(mid) + slack >= target)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

uint64_t cgroup_weight_of_blkio(uint64_t weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

int cgroup_swap_of_total(const struct bundle_resources *r, int64_t *ret_swap)
{
	if (r->mem_swap == -1) {
		*ret_swap = -1;
		return 0;
	}
	if (!r->has_mem_limit || r->mem_limit < 0)
		return -EINVAL;
	if (r->mem_swap == 0) { /* no swap at all */
		*ret_swap = 0;
		return 0;
	}
	if (r->mem_swap < r->mem_limit)
		return -EINVAL;
	*ret_swap = r->mem_swap - r->mem_limit;
	return 0;
}

/* Writes a number, -1 as "max". */
static int set_max(struct cgroup_apply *a, const struct cgroup_dir *d, const char *key,
		   const char *file, int64_t value)
{
	if (value < 0)
		return cgroup_set(a, d, key, file, "max");
	return cgroup_set(a, d, key, file, "%" PRId64, value);
}

/* --- groups --- */

/* v1's kernel refuses a limit below what is used; v2's kills until it fits, unless we look first. */
static int check_usage(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	uint64_t used;

	if (!a->r->check_before_update || !a->r->has_mem_limit || a->r->mem_limit < 0)
		return 0;
	if (cgroup_read_u64(d->fd, "memory.current", &used) < 0)
		return 0;
	if (used <= (uint64_t)a->r->mem_limit)
		return 0;
	return cgroup_refuse(a, EBUSY, "choose a limit above it, or leave checkBeforeUpdate out",
			     "linux.resources.memory.limit: %" PRIu64
			     " bytes are in use, more than the new limit of %" PRId64,
			     used, a->r->mem_limit);
}

static int set_swap(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	int64_t swap;
	int rc;

	if (!a->r->has_mem_swap) {
		/* Lifting the limit lifts v1's total too. */
		if (a->r->has_mem_limit && a->r->mem_limit < 0)
			(void)cgroup_try(d, "memory.swap.max", "max");
		return 0;
	}
	rc = cgroup_swap_of_total(a->r, &swap);
	if (rc < 0)
		return cgroup_refuse(a, -rc, NULL,
				     "linux.resources.memory.swap: it is memory and swap together, "
				     "so it needs a limit and is not less than it");
	if (faccessat(d->fd, "memory.swap.max", F_OK, 0) < 0)
		return swap < 0 ? 0 :
				  cgroup_refuse(a, ENOTSUP,
						"boot with swapaccount=1, or leave memory.swap out",
						"linux.resources.memory.swap: this kernel does not "
						"account swap");
	return set_max(a, d, "memory.swap", "memory.swap.max", swap);
}

/* Keys that v2 has nothing for. -1, false and true are what it does anyway. */
static int no_such_memory(struct cgroup_apply *a)
{
	const struct bundle_resources *r = a->r;
	static const char why[] = "linux.resources.memory.%s: cgroup v2 has nothing like it";
	static const char hint[] = "leave it out, or pass --best-effort";
	int rc = 0;

	if (r->has_swappiness)
		rc = cgroup_refuse(a, ENOTSUP, hint, why, "swappiness");
	if (rc == 0 && r->has_disable_oom && r->disable_oom)
		rc = cgroup_refuse(a, ENOTSUP, hint, why, "disableOOMKiller");
	if (rc == 0 && r->has_mem_kernel && r->mem_kernel != -1)
		rc = cgroup_refuse(a, ENOTSUP, hint, why, "kernel");
	if (rc == 0 && r->has_mem_kernel_tcp && r->mem_kernel_tcp != -1)
		rc = cgroup_refuse(a, ENOTSUP, hint, why, "kernelTCP");
	if (rc == 0 && r->has_use_hierarchy && !r->use_hierarchy)
		rc = cgroup_refuse(a, ENOTSUP, hint, why, "useHierarchy (false)");
	return rc;
}

int cgroup_v2_memory(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int rc = no_such_memory(a);

	if (rc == 0)
		rc = check_usage(a, d);
	if (rc == 0)
		rc = set_swap(a, d);
	if (rc == 0 && r->has_mem_reservation)
		rc = set_max(a, d, "memory.reservation", "memory.low", r->mem_reservation);
	if (rc == 0 && r->has_mem_limit)
		rc = set_max(a, d, "memory.limit", "memory.max", r->mem_limit);
	return rc;
}

/* cpu.max is "QUOTA PERIOD"; what is not given stays as it is. */
static int set_cpu_max(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	AUTO_FREE char *now = NULL;
	char quota[32] = "max", period[32] = "";
	int rc;

	if (r->has_cpu_quota && r->cpu_quota > 0)
		(void)snprintf(quota, sizeof quota, "%" PRId64, r->cpu_quota);
	if (r->has_cpu_period && r->cpu_period)
		(void)snprintf(period, sizeof period, " %" PRIu64, r->cpu_period);
	if ((!r->has_cpu_quota || !r->cpu_quota) && cgroup_read(d->fd, "cpu.max", &now) == 0)
		(void)snprintf(quota, sizeof quota, "%.*s", (int)strcspn(now, " \n"), now);
	rc = cgroup_try(d, "cpu.max", "%s%s", quota, period);
	/* A quota below the burst that is set waits for the burst. */
	if (rc == -EINVAL && r->has_cpu_burst) {
		(void)cgroup_try(d, "cpu.max.burst", "%" PRIu64, r->cpu_burst);
		rc = cgroup_try(d, "cpu.max", "%s%s", quota, period);
	}
	return rc < 0 ? cgroup_failed(a, rc, d, "cpu.quota", "cpu.max") : 0;
}

int cgroup_v2_cpu(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int rc = 0;

	if (r->has_rt_runtime || r->has_rt_period)
		rc = cgroup_refuse(a, ENOTSUP, "leave realtimeRuntime and realtimePeriod out",
				   "linux.resources.cpu.realtimeRuntime: cgroup v2 does not control "
				   "realtime processes");
	if (rc == 0 && (r->has_cpu_quota || r->has_cpu_period))
		rc = set_cpu_max(a, d);
	if (rc == 0 && r->has_cpu_burst)
		rc = cgroup_set(a, d, "cpu.burst", "cpu.max.burst", "%" PRIu64, r->cpu_burst);
	/* The weight of an idle group cannot be changed. */
	if (rc == 0 && r->has_cpu_idle && r->cpu_idle == 0)
		rc = cgroup_set(a, d, "cpu.idle", "cpu.idle", "0");
	if (rc == 0 && r->has_cpu_shares && r->cpu_shares)
		rc = cgroup_set(a, d, "cpu.shares", "cpu.weight", "%" PRIu64,
				cgroup_weight_of_shares(r->cpu_shares));
	if (rc == 0 && r->has_cpu_idle && r->cpu_idle != 0)
		rc = cgroup_set(a, d, "cpu.idle", "cpu.idle", "%" PRId64, r->cpu_idle);
	return rc;
}

int cgroup_v2_cpuset(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	return cgroup_v1_cpuset(a, d); /* the same two files */
}

/* A weight for all devices ("default") or one of them. */
static int set_weight(struct cgroup_apply *a, const struct cgroup_dir *d, const char *device,
		      uint64_t weight)
{
	if (weight < 10 || weight > 1000)
		return cgroup_refuse(a, EINVAL, NULL,
				     "linux.resources.blockIO.weight: %" PRIu64
				     " is not between 10 and 1000",
				     weight);
	if (faccessat(d->fd, "io.bfq.weight", F_OK, 0) == 0)
		return cgroup_set(a, d, "blockIO.weight", "io.bfq.weight", "%s %" PRIu64, device,
				  weight);
	return cgroup_set(a, d, "blockIO.weight", "io.weight", "%s %" PRIu64, device,
			  cgroup_weight_of_blkio(weight));
}

static int set_weights(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	bool leaf = r->has_blkio_leaf;
	char device[32];
	int rc = 0;

	if (r->has_blkio_weight && r->blkio_weight)
		rc = set_weight(a, d, "default", r->blkio_weight);
	for (size_t i = 0; rc == 0 && i < r->n_blkio_weights; i++) {
		const struct bundle_weight_device *w = &r->blkio_weights[i];

		leaf = leaf || w->has_leaf;
		(void)snprintf(device, sizeof device, "%u:%u", w->major, w->minor);
		if (w->has_weight)
			rc = set_weight(a, d, device, w->weight);
	}
	if (rc == 0 && leaf)
		rc = cgroup_refuse(a, ENOTSUP, "leave leafWeight out",
				   "linux.resources.blockIO.leafWeight: cgroup v2 has nothing like "
				   "it");
	return rc;
}

int cgroup_v2_blkio(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	static const char *const words[THROTTLE_KINDS] = {
		[THROTTLE_READ_BPS] = "rbps",
		[THROTTLE_WRITE_BPS] = "wbps",
		[THROTTLE_READ_IOPS] = "riops",
		[THROTTLE_WRITE_IOPS] = "wiops",
	};
	int rc = set_weights(a, d);

	for (int k = 0; k < THROTTLE_KINDS; k++) {
		for (size_t i = 0; rc == 0 && i < a->r->n_throttle[k]; i++) {
			const struct bundle_throttle *t = &a->r->throttle[k][i];
			char rate[32] = "max"; /* v1 lifts a limit with 0 */

			if (t->rate)
				(void)snprintf(rate, sizeof rate, "%" PRIu64, t->rate);
			rc = cgroup_set(a, d, "blockIO.throttle", "io.max", "%u:%u %s=%s", t->major,
					t->minor, words[k], rate);
		}
	}
	return rc;
}

int cgroup_v2_hugetlb(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	for (size_t i = 0; i < a->r->n_hugepages; i++) {
		const struct bundle_hugepage *h = &a->r->hugepages[i];
		char file[64], quoted[64];
		int rc;

		if (!cgroup_page_size_ok(h->page_size))
			return err_set(a->e, EINVAL,
				       "linux.resources.hugepageLimits: '%s' is no page size",
				       log_quote(quoted, sizeof quoted, h->page_size));
		(void)snprintf(file, sizeof file, "hugetlb.%s.rsvd.max", h->page_size);
		rc = cgroup_try(d, file, "%" PRIu64, h->limit);
		if (rc < 0 && rc != -ENOENT)
			return cgroup_failed(a, rc, d, "hugepageLimits", file);
		(void)snprintf(file, sizeof file, "hugetlb.%s.max", h->page_size);
		rc = cgroup_set(a, d, "hugepageLimits", file, "%" PRIu64, h->limit);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- unified --- */

/* Files that are vrun's to write. A bundle could move host processes or kill through them. */
static bool reserved(const char *key)
{
	static const char *const names[] = { "cgroup.procs",  "cgroup.threads",
					     "cgroup.kill",   "cgroup.freeze",
					     "cgroup.type",   "cgroup.subtree_control" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	return false;
}

static bool key_ok(const char *key)
{
	return *key && *key != '.' && !strchr(key, '/') && strchr(key, '.') && strlen(key) < 200;
}

/* Keyed files take one line a write. */
static int write_lines(struct cgroup_apply *a, const struct cgroup_dir *d, const char *key,
		       const char *file, const char *text)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy;

	if (!copy)
		return err_num(a->e, ENOMEM, "linux.resources.unified");
	while (rest) {
		char *line = strsep(&rest, "\n");
		int rc;

		if (!*line && line != copy)
			continue;
		rc = cgroup_set(a, d, key, file, "%s", line);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cgroup_check_unified(const struct bundle_resources *r, struct err *e)
{
	for (size_t i = 0; i < r->n_unified; i++) {
		const char *key = r->unified[i].key;
		char quoted[256];

		if (!key_ok(key) || reserved(key))
			return err_set(e, EINVAL, "linux.resources.unified: '%s' cannot be set",
				       log_quote(quoted, sizeof quoted, key));
	}
	return 0;
}

int cgroup_v2_unified(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	for (size_t i = 0; i < a->r->n_unified; i++) {
		const struct key_value *u = &a->r->unified[i];
		char key[300], quoted[256];
		int rc;

		(void)snprintf(key, sizeof key, "unified[\"%s\"]",
			       log_quote(quoted, sizeof quoted, u->key));
		rc = write_lines(a, d, key, u->key, u->value);
		if (rc < 0)
			return rc;
	}
	return 0;
}
