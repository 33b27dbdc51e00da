/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/attributes.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"

/* include/uapi/linux/sched/types.h, the first version of the structure with the two clamps */
struct sched_attributes {
	uint32_t size;
	uint32_t sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period;
	uint32_t sched_util_min, sched_util_max;
};

int attributes_set_rlimits(const struct rlimit_entry *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct rlimit lim = { .rlim_cur = v[i].soft, .rlim_max = v[i].hard };
		int rc;

		if (setrlimit((__rlimit_resource_t)v[i].resource, &lim) == 0)
			continue;
		rc = err_sys(e, "resource limit number %d (soft %llu, hard %llu)", v[i].resource,
			     (unsigned long long)v[i].soft, (unsigned long long)v[i].hard);
		if (rc == -EPERM)
			(void)err_hint(e, "raising a hard limit needs CAP_SYS_RESOURCE on the host");
		return rc;
	}
	return 0;
}

int attributes_set_oom_score(int proc_fd, int value, struct err *e)
{
	char text[16];
	int rc;

	(void)snprintf(text, sizeof text, "%d", value);
	rc = fd_write_file(proc_fd, "self/oom_score_adj", text);
	if (rc == 0)
		return 0;
	(void)err_num(e, -rc, "oomScoreAdj %d", value);
	return rc == -EACCES ? err_hint(e, "a lower score than the caller's own needs CAP_SYS_RESOURCE on the host") :
			       rc;
}

int attributes_set_scheduler(const struct bundle_scheduler *s, struct err *e)
{
	struct sched_attributes a = { .size = sizeof a,
				      .sched_policy = s->policy,
				      .sched_flags = s->flags,
				      .sched_nice = s->nice,
				      .sched_priority = (uint32_t)s->priority,
				      .sched_runtime = s->runtime,
				      .sched_deadline = s->deadline,
				      .sched_period = s->period };

	if (syscall(__NR_sched_setattr, 0, &a, 0) < 0)
		return err_sys(e, "process.scheduler");
	return 0;
}

int attributes_set_ioprio(int ioprio, struct err *e)
{
	if (syscall(__NR_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, ioprio) < 0)
		return err_sys(e, "process.ioPriority");
	return 0;
}

static bool cpu_number(const char **p, unsigned long *ret)
{
	char *end;

	if (**p < '0' || **p > '9')
		return false;
	*ret = strtoul(*p, &end, 10);
	*p = end;
	return *ret < CPU_SETSIZE;
}

int attributes_set_affinity(const char *cpus, struct err *e)
{
	const char *p = cpus;
	char quoted[128];
	cpu_set_t set;

	CPU_ZERO(&set);
	for (;;) {
		unsigned long a, b;

		if (!cpu_number(&p, &a))
			break;
		b = a;
		if (*p == '-') {
			p++;
			if (!cpu_number(&p, &b) || b < a)
				break;
		}
		for (; a <= b; a++)
			CPU_SET(a, &set);
		if (*p == '\0') {
			if (sched_setaffinity(0, sizeof set, &set) < 0)
				return err_sys(e, "CPU affinity %s", cpus);
			return 0;
		}
		if (*p++ != ',')
			break;
	}
	return err_set(e, EINVAL, "CPU affinity \"%s\": not a list of CPU numbers",
		       log_quote(quoted, sizeof quoted, cpus));
}

int attributes_set_personality(unsigned long persona, struct err *e)
{
	if (personality(persona) < 0)
		return err_sys(e, "linux.personality");
	return 0;
}
