/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/fd.h"
#include "base/num.h"
#include "kern/cgroup_impl.h"

#define IO_DEVICES_MAX 4096

/* Reads "NUMBER" and, when `after` is not 0, that character behind it; moves on. */
static bool take_number(const char **p, char after, uint64_t max, uint64_t *ret)
{
	char number[24];
	size_t n = strspn(*p, "0123456789");

	if (n == 0 || n >= sizeof number || (after && (*p)[n] != after))
		return false;
	memcpy(number, *p, n);
	number[n] = '\0';
	*p += n + (after != '\0');
	return num_parse_u64(number, 0, max, ret) == 0;
}

/* "MAJOR:MINOR " at the start of a line. */
static bool take_device(const char **p, uint64_t *ret_major, uint64_t *ret_minor)
{
	return take_number(p, ':', UINT32_MAX, ret_major) &&
	       take_number(p, ' ', UINT32_MAX, ret_minor);
}

static const char *next_line(const char *p)
{
	p = strchr(p, '\n');
	return p ? p + 1 : "";
}

/* Value of "KEY NUMBER" among the lines of a flat keyed file. False when it is not there. */
static bool keyed(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);

	for (const char *p = text; *p; p = next_line(p)) {
		if (strncmp(p, key, len) != 0 || p[len] != ' ')
			continue;
		p += len + 1;
		return take_number(&p, '\0', UINT64_MAX, ret);
	}
	return false;
}

static struct cgroup_io_stats *io_device(struct cgroup_stats *s, unsigned major, unsigned minor)
{
	struct cgroup_io_stats *grown;

	for (size_t i = 0; i < s->n_io; i++)
		if (s->io[i].major == major && s->io[i].minor == minor)
			return &s->io[i];
	if (s->n_io == IO_DEVICES_MAX)
		return NULL;
	grown = realloc(s->io, (s->n_io + 1) * sizeof *grown);
	if (!grown)
		return NULL;
	s->io = grown;
	s->io[s->n_io] = (struct cgroup_io_stats){ .major = major, .minor = minor };
	return &s->io[s->n_io++];
}

/* --- v2 --- */

static void v2_cpu(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	AUTO_FREE char *text = NULL;
	uint64_t us;

	if (cgroup_read(d->fd, "cpu.stat", &text) < 0)
		return;
	s->has_cpu = keyed(text, "usage_usec", &us);
	s->cpu_ns = s->has_cpu ? us * 1000 : 0;
	if (keyed(text, "user_usec", &us))
		s->cpu_user_ns = us * 1000;
	if (keyed(text, "system_usec", &us))
		s->cpu_system_ns = us * 1000;
	s->has_throttling = keyed(text, "nr_periods", &s->periods) &&
			    keyed(text, "nr_throttled", &s->throttled_periods);
	if (s->has_throttling && keyed(text, "throttled_usec", &us))
		s->throttled_ns = us * 1000;
}

static void v2_memory(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	AUTO_FREE char *events = NULL;

	s->has_memory = cgroup_read_u64(d->fd, "memory.current", &s->memory) == 0 &&
			cgroup_read_u64(d->fd, "memory.max", &s->memory_limit) == 0;
	(void)cgroup_read_u64(d->fd, "memory.peak", &s->memory_peak); /* 5.19 */
	s->has_swap = cgroup_read_u64(d->fd, "memory.swap.current", &s->swap) == 0 &&
		      cgroup_read_u64(d->fd, "memory.swap.max", &s->swap_limit) == 0;
	if (cgroup_read(d->fd, "memory.events", &events) < 0)
		return;
	(void)keyed(events, "max", &s->memory_failures);
	(void)keyed(events, "oom_kill", &s->oom_kills);
}

/* Value of "KEY=NUMBER" in one line; 0 when it is not there. */
static uint64_t nested(const char *line, const char *key)
{
	size_t len = strlen(key);
	uint64_t v = 0;

	while (*line && *line != '\n') {
		if (strncmp(line, key, len) == 0 && line[len] == '=') {
			line += len + 1;
			return take_number(&line, '\0', UINT64_MAX, &v) ? v : 0;
		}
		line += strcspn(line, " \n");
		line += *line == ' ';
	}
	return 0;
}

static int v2_io(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	AUTO_FREE char *text = NULL;

	if (cgroup_read(d->fd, "io.stat", &text) < 0)
		return 0;
	for (const char *p = text; *p; p = next_line(p)) {
		struct cgroup_io_stats *to;
		uint64_t major, minor;

		if (!take_device(&p, &major, &minor) || *p == '\n')
			continue;
		to = io_device(s, (uint32_t)major, (uint32_t)minor);
		if (!to)
			return -ENOMEM;
		to->read_bytes = nested(p, "rbytes");
		to->write_bytes = nested(p, "wbytes");
		to->read_ops = nested(p, "rios");
		to->write_ops = nested(p, "wios");
	}
	return 0;
}

/* --- v1 --- */

static void v1_cpu(const struct cgroup_dir *cpu, const struct cgroup_dir *acct,
		   struct cgroup_stats *s)
{
	AUTO_FREE char *text = NULL;

	if (acct) {
		s->has_cpu = cgroup_read_u64(acct->fd, "cpuacct.usage", &s->cpu_ns) == 0;
		(void)cgroup_read_u64(acct->fd, "cpuacct.usage_user", &s->cpu_user_ns);
		(void)cgroup_read_u64(acct->fd, "cpuacct.usage_sys", &s->cpu_system_ns);
	}
	if (!cpu || cgroup_read(cpu->fd, "cpu.stat", &text) < 0)
		return;
	s->has_throttling = keyed(text, "nr_periods", &s->periods) &&
			    keyed(text, "nr_throttled", &s->throttled_periods) &&
			    keyed(text, "throttled_time", &s->throttled_ns);
}

/* v1 says "no limit" as the largest number of whole pages. */
static uint64_t v1_limit(uint64_t value)
{
	return value >= (uint64_t)INT64_MAX - 65536 ? UINT64_MAX : value;
}

static void v1_memory(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	AUTO_FREE char *oom = NULL;

	s->has_memory = cgroup_read_u64(d->fd, "memory.usage_in_bytes", &s->memory) == 0 &&
			cgroup_read_u64(d->fd, "memory.limit_in_bytes", &s->memory_limit) == 0;
	s->memory_limit = v1_limit(s->memory_limit);
	(void)cgroup_read_u64(d->fd, "memory.max_usage_in_bytes", &s->memory_peak);
	(void)cgroup_read_u64(d->fd, "memory.failcnt", &s->memory_failures);
	s->has_swap = cgroup_read_u64(d->fd, "memory.memsw.usage_in_bytes", &s->swap) == 0 &&
		      cgroup_read_u64(d->fd, "memory.memsw.limit_in_bytes", &s->swap_limit) == 0;
	s->swap_limit = v1_limit(s->swap_limit);
	if (cgroup_read(d->fd, "memory.oom_control", &oom) == 0)
		(void)keyed(oom, "oom_kill", &s->oom_kills);
}

/* "8:0 Read 4096" lines of one file. */
static int v1_io_file(const struct cgroup_dir *d, const char *file, bool bytes,
		      struct cgroup_stats *s)
{
	AUTO_FREE char *text = NULL;

	if (cgroup_read(d->fd, file, &text) < 0)
		return 0;
	for (const char *p = text; *p; p = next_line(p)) {
		struct cgroup_io_stats *to;
		uint64_t major, minor, v;
		bool read;

		if (!take_device(&p, &major, &minor))
			continue;
		read = strncmp(p, "Read ", 5) == 0;
		if (!read && strncmp(p, "Write ", 6) != 0)
			continue;
		p += read ? 5 : 6;
		if (!take_number(&p, '\0', UINT64_MAX, &v))
			continue;
		to = io_device(s, (uint32_t)major, (uint32_t)minor);
		if (!to)
			return -ENOMEM;
		if (bytes)
			*(read ? &to->read_bytes : &to->write_bytes) = v;
		else
			*(read ? &to->read_ops : &to->write_ops) = v;
	}
	return 0;
}

int cgroup_stats(struct cgroup *cg, struct cgroup_stats *ret, struct err *e)
{
	struct cgroup_stats s = { 0 };
	const struct cgroup_dir *v2 = cg ? cgroup_dir_v2(cg) : NULL, *d;
	int rc = 0;

	/* v2 counts processor time in every cgroup, with or without its controller. */
	if (v2)
		v2_cpu(v2, &s);
	d = cg ? cgroup_dir_of(cg, CGROUP_CPUACCT) : NULL;
	if (d)
		v1_cpu(cgroup_dir_of(cg, CGROUP_CPU), d, &s);
	d = cg ? cgroup_dir_of(cg, CGROUP_MEMORY) : NULL;
	if (d && d->v2)
		v2_memory(d, &s);
	else if (d)
		v1_memory(d, &s);
	d = cg ? cgroup_dir_of(cg, CGROUP_PIDS) : NULL;
	if (d)
		s.has_pids = cgroup_read_u64(d->fd, "pids.current", &s.pids) == 0 &&
			     cgroup_read_u64(d->fd, "pids.max", &s.pids_limit) == 0;
	d = cg ? cgroup_dir_of(cg, CGROUP_IO) : NULL;
	if (d && d->v2)
		rc = v2_io(d, &s);
	else if (d && (rc = v1_io_file(d, "blkio.throttle.io_service_bytes_recursive", true,
				       &s)) == 0)
		rc = v1_io_file(d, "blkio.throttle.io_serviced_recursive", false, &s);
	if (rc < 0) {
		cgroup_stats_fini(&s);
		return err_num(e, -rc, "reading the cgroup's statistics");
	}
	*ret = s;
	return 0;
}

void cgroup_stats_fini(struct cgroup_stats *s)
{
	free(s->io);
	s->io = NULL;
	s->n_io = 0;
}
