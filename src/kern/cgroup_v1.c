/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources into cgroup v1 files (Documentation/admin-guide/cgroup-v1/),
 * and the few that are the same on both versions. Shares, quotas, periods and
 * block weights of 0 mean "not given", as runc and crun take them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kern/cgroup_impl.h"

#define SWAP_HINT "boot with swapaccount=1, or leave memory.swap out"

/*
 * The kernel keeps memory <= memory and swap at all times, so when both move,
 * which goes first depends on the direction: the one that is refused waits for
 * the other.
 */
static int memory_and_swap(struct cgroup_apply *a, const struct cgroup_dir *d, int64_t total)
{
	const struct bundle_resources *r = a->r;
	int rc = 0;

	if (r->has_mem_limit) {
		rc = cgroup_try(d, "memory.limit_in_bytes", "%" PRId64, r->mem_limit);
		if (rc < 0 && rc != -EINVAL)
			return cgroup_failed(a, rc, d, "memory.limit", "memory.limit_in_bytes");
	}
	if (faccessat(d->fd, "memory.memsw.limit_in_bytes", F_OK, 0) < 0)
		return cgroup_refuse(a, ENOTSUP, SWAP_HINT,
				     "linux.resources.memory.swap: this kernel does not account "
				     "swap");
	if (cgroup_try(d, "memory.memsw.limit_in_bytes", "%" PRId64, total) < 0 || rc == -EINVAL) {
		rc = cgroup_set(a, d, "memory.swap", "memory.memsw.limit_in_bytes", "%" PRId64,
				total);
		if (rc == 0 && r->has_mem_limit)
			rc = cgroup_set(a, d, "memory.limit", "memory.limit_in_bytes", "%" PRId64,
					r->mem_limit);
	}
	return rc;
}

static int memory_limits(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int64_t swap;
	int rc;

	if (r->has_mem_swap) {
		rc = cgroup_swap_of_total(r, &swap);
		if (rc < 0)
			return cgroup_refuse(a, -rc, NULL,
					     "linux.resources.memory.swap: it is memory and swap "
					     "together, so it needs a limit and is not less than it");
		/* A total of 0 means no swap at all; the kernel wants the sum. */
		return memory_and_swap(a, d, r->mem_swap == 0 ? r->mem_limit : r->mem_swap);
	}
	if (!r->has_mem_limit)
		return 0;
	/* Lifting the limit lifts the total first, or the kernel refuses. */
	if (r->mem_limit == -1)
		(void)cgroup_try(d, "memory.memsw.limit_in_bytes", "-1");
	return cgroup_set(a, d, "memory.limit", "memory.limit_in_bytes", "%" PRId64, r->mem_limit);
}

int cgroup_v1_memory(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int rc = memory_limits(a, d);

	if (rc == 0 && r->has_mem_reservation)
		rc = cgroup_set(a, d, "memory.reservation", "memory.soft_limit_in_bytes",
				"%" PRId64, r->mem_reservation);
	/* No kernel limit is what every kernel gives; later ones know no other. */
	if (rc == 0 && r->has_mem_kernel && r->mem_kernel != -1)
		rc = cgroup_set(a, d, "memory.kernel", "memory.kmem.limit_in_bytes", "%" PRId64,
				r->mem_kernel);
	if (rc == 0 && r->has_mem_kernel_tcp && r->mem_kernel_tcp != -1)
		rc = cgroup_set(a, d, "memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes",
				"%" PRId64, r->mem_kernel_tcp);
	if (rc == 0 && r->has_swappiness)
		rc = cgroup_set(a, d, "memory.swappiness", "memory.swappiness", "%" PRIu64,
				r->swappiness);
	if (rc == 0 && r->has_disable_oom)
		rc = cgroup_set(a, d, "memory.disableOOMKiller", "memory.oom_control", "%d",
				r->disable_oom);
	/* Always on since 5.11, and the file only takes 1. */
	if (rc == 0 && r->has_use_hierarchy)
		rc = cgroup_set(a, d, "memory.useHierarchy", "memory.use_hierarchy", "%d",
				r->use_hierarchy);
	return rc;
}

/* A realtime budget has to be there in each directory above. Tops up the ones that vrun made. */
static void fill_rt(const struct cgroup_dir *d, uint64_t period, int64_t runtime)
{
	for (unsigned level = d->above; level > 0; level--) {
		char up[3 * 64 + 1], number[32];
		AUTO_FD int fd = -1;
		size_t n = 0;

		for (unsigned i = 0; i < level && n + 3 < sizeof up; i++, n += 3)
			memcpy(up + n, "../", 3);
		up[n] = '\0';
		fd = openat(d->fd, up, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (period) {
			(void)snprintf(number, sizeof number, "%" PRIu64, period);
			(void)fd_write_file(fd, "cpu.rt_period_us", number);
		}
		(void)snprintf(number, sizeof number, "%" PRId64, runtime);
		(void)fd_write_file(fd, "cpu.rt_runtime_us", number);
	}
}

static int realtime(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int rc = 0;

	if (r->has_rt_runtime)
		fill_rt(d, r->has_rt_period ? r->rt_period : 0, r->rt_runtime);
	if (r->has_rt_period)
		rc = cgroup_set(a, d, "cpu.realtimePeriod", "cpu.rt_period_us", "%" PRIu64,
				r->rt_period);
	if (rc == 0 && r->has_rt_runtime)
		rc = cgroup_set(a, d, "cpu.realtimeRuntime", "cpu.rt_runtime_us", "%" PRId64,
				r->rt_runtime);
	return rc;
}

/* The kernel checks quota, period and burst against each other at each write: a refused one waits. */
static int bandwidth(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int rc = 0;

	if (r->has_cpu_period && r->cpu_period)
		rc = cgroup_try(d, "cpu.cfs_period_us", "%" PRIu64, r->cpu_period);
	if (rc < 0 && (rc != -EINVAL || !r->has_cpu_quota))
		return cgroup_failed(a, rc, d, "cpu.period", "cpu.cfs_period_us");
	if (r->has_cpu_quota && r->cpu_quota) {
		int q = cgroup_try(d, "cpu.cfs_quota_us", "%" PRId64, r->cpu_quota);

		if (q == -EINVAL && r->has_cpu_burst) {
			(void)cgroup_try(d, "cpu.cfs_burst_us", "%" PRIu64, r->cpu_burst);
			q = cgroup_try(d, "cpu.cfs_quota_us", "%" PRId64, r->cpu_quota);
		}
		if (q < 0)
			return cgroup_failed(a, q, d, "cpu.quota", "cpu.cfs_quota_us");
	}
	if (rc < 0)
		rc = cgroup_set(a, d, "cpu.period", "cpu.cfs_period_us", "%" PRIu64, r->cpu_period);
	if (rc == 0 && r->has_cpu_burst)
		rc = cgroup_set(a, d, "cpu.burst", "cpu.cfs_burst_us", "%" PRIu64, r->cpu_burst);
	return rc;
}

int cgroup_v1_cpu(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	int rc = bandwidth(a, d);

	/* Shares of an idle group cannot be changed. */
	if (rc == 0 && r->has_cpu_idle && r->cpu_idle == 0)
		rc = cgroup_set(a, d, "cpu.idle", "cpu.idle", "0");
	if (rc == 0 && r->has_cpu_shares && r->cpu_shares)
		rc = cgroup_set(a, d, "cpu.shares", "cpu.shares", "%" PRIu64, r->cpu_shares);
	if (rc == 0 && r->has_cpu_idle && r->cpu_idle != 0)
		rc = cgroup_set(a, d, "cpu.idle", "cpu.idle", "%" PRId64, r->cpu_idle);
	return rc == 0 ? realtime(a, d) : rc;
}

int cgroup_v1_cpuset(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	int rc = 0;

	if (a->r->cpus)
		rc = cgroup_set(a, d, "cpu.cpus", "cpuset.cpus", "%s", a->r->cpus);
	if (rc == 0 && a->r->mems)
		rc = cgroup_set(a, d, "cpu.mems", "cpuset.mems", "%s", a->r->mems);
	return rc;
}

/* The first of two files that is there: BFQ and, before it, CFQ have their own. */
static const char *either(const struct cgroup_dir *d, const char *one, const char *other)
{
	return faccessat(d->fd, one, F_OK, 0) == 0 ? one : other;
}

static int blkio_weights(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	const struct bundle_resources *r = a->r;
	const char *file = either(d, "blkio.bfq.weight_device", "blkio.weight_device");
	int rc = 0;

	if (r->has_blkio_weight && r->blkio_weight)
		rc = cgroup_set(a, d, "blockIO.weight",
				either(d, "blkio.bfq.weight", "blkio.weight"), "%u",
				r->blkio_weight);
	if (rc == 0 && r->has_blkio_leaf)
		rc = cgroup_set(a, d, "blockIO.leafWeight", "blkio.leaf_weight", "%u",
				r->blkio_leaf_weight);
	for (size_t i = 0; rc == 0 && i < r->n_blkio_weights; i++) {
		const struct bundle_weight_device *w = &r->blkio_weights[i];

		if (w->has_weight)
			rc = cgroup_set(a, d, "blockIO.weightDevice", file, "%u:%u %u", w->major,
					w->minor, w->weight);
		if (rc == 0 && w->has_leaf)
			rc = cgroup_set(a, d, "blockIO.weightDevice.leafWeight",
					"blkio.leaf_weight_device", "%u:%u %u", w->major, w->minor,
					w->leaf_weight);
	}
	return rc;
}

int cgroup_v1_blkio(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	static const struct {
		const char *key, *file;
	} throttles[THROTTLE_KINDS] = {
		[THROTTLE_READ_BPS] = { "blockIO.throttleReadBpsDevice",
					"blkio.throttle.read_bps_device" },
		[THROTTLE_WRITE_BPS] = { "blockIO.throttleWriteBpsDevice",
					 "blkio.throttle.write_bps_device" },
		[THROTTLE_READ_IOPS] = { "blockIO.throttleReadIOPSDevice",
					 "blkio.throttle.read_iops_device" },
		[THROTTLE_WRITE_IOPS] = { "blockIO.throttleWriteIOPSDevice",
					  "blkio.throttle.write_iops_device" },
	};
	int rc = blkio_weights(a, d);

	for (int k = 0; k < THROTTLE_KINDS; k++) {
		for (size_t i = 0; rc == 0 && i < a->r->n_throttle[k]; i++) {
			const struct bundle_throttle *t = &a->r->throttle[k][i];

			rc = cgroup_set(a, d, throttles[k].key, throttles[k].file,
					"%u:%u %" PRIu64, t->major, t->minor, t->rate);
		}
	}
	return rc;
}

bool cgroup_page_size_ok(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 8 &&
	       (strcmp(text + digits, "KB") == 0 || strcmp(text + digits, "MB") == 0 ||
		strcmp(text + digits, "GB") == 0);
}

/* Both the reservation's limit, which fails at mmap(2), and, where there is none, the fault's. */
int cgroup_v1_hugetlb(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	for (size_t i = 0; i < a->r->n_hugepages; i++) {
		const struct bundle_hugepage *h = &a->r->hugepages[i];
		char file[64], quoted[64];
		int rc;

		if (!cgroup_page_size_ok(h->page_size))
			return err_set(a->e, EINVAL,
				       "linux.resources.hugepageLimits: '%s' is no page size",
				       log_quote(quoted, sizeof quoted, h->page_size));
		(void)snprintf(file, sizeof file, "hugetlb.%s.rsvd.limit_in_bytes", h->page_size);
		rc = cgroup_try(d, file, "%" PRIu64, h->limit);
		if (rc < 0 && rc != -ENOENT)
			return cgroup_failed(a, rc, d, "hugepageLimits", file);
		(void)snprintf(file, sizeof file, "hugetlb.%s.limit_in_bytes", h->page_size);
		rc = cgroup_set(a, d, "hugepageLimits", file, "%" PRIu64, h->limit);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cgroup_v1_net_cls(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	return cgroup_set(a, d, "network.classID", "net_cls.classid", "%u", a->r->net_class);
}

int cgroup_v1_net_prio(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->r->n_net_prios; i++)
		rc = cgroup_set(a, d, "network.priorities", "net_prio.ifpriomap", "%s %s",
				a->r->net_prios[i].key, a->r->net_prios[i].value);
	return rc;
}

int cgroup_set_pids(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	if (a->r->pids_limit < 0)
		return cgroup_set(a, d, "pids.limit", "pids.max", "max");
	return cgroup_set(a, d, "pids.limit", "pids.max", "%" PRId64, a->r->pids_limit);
}

int cgroup_set_rdma(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->r->n_rdma; i++) {
		const struct bundle_rdma *v = &a->r->rdma[i];
		char handles[32] = "", objects[32] = "";

		if (v->has_handles)
			(void)snprintf(handles, sizeof handles, " hca_handle=%u", v->handles);
		if (v->has_objects)
			(void)snprintf(objects, sizeof objects, " hca_object=%u", v->objects);
		rc = cgroup_set(a, d, "rdma", "rdma.max", "%s%s%s", v->device, handles, objects);
	}
	return rc;
}
