/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/caps.h"

#include <sys/capability.h>
#include <sys/prctl.h>

static bool has(uint64_t mask, int cap)
{
	return cap < 64 && (mask >> cap & 1U);
}

int caps_last(void)
{
	int n = 0;

	/* prctl answers EINVAL for the first number that the kernel does not know. */
	while (n < 63 && prctl(PR_CAPBSET_READ, n + 1, 0, 0, 0) >= 0)
		n++;
	return n;
}

int caps_limit_bounding(uint64_t keep, struct err *e)
{
	for (int c = 0; c < 64; c++) {
		if (has(keep, c) || cap_drop_bound((cap_value_t)c) == 0)
			continue;
		if (errno == EINVAL)
			break; /* past the last one */
		return err_sys(e, "dropping capability %d from the bounding set", c);
	}
	return 0;
}

int caps_keep_over_setuid(void)
{
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int set_flags(cap_t caps, cap_flag_t flag, uint64_t mask)
{
	cap_value_t list[64];
	int n = 0;

	for (int c = 0; c < 64; c++)
		if (has(mask, c))
			list[n++] = (cap_value_t)c;
	return n == 0 ? 0 : cap_set_flag(caps, flag, n, list, CAP_SET);
}

static const char *cap_text(int c, char buf[static 24])
{
	char *name = cap_to_name((cap_value_t)c);
	size_t i = 0;

	if (name) {
		for (; i < 23 && name[i]; i++) {
			buf[i] = name[i];
			if (name[i] >= 'a' && name[i] <= 'z')
				buf[i] = (char)(name[i] - 'a' + 'A');
		}
		(void)cap_free(name);
	}
	buf[i] = '\0';
	return buf;
}

static int apply_ambient(uint64_t mask, struct err *e)
{
	char name[24];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, "clearing the ambient capabilities");
	for (int c = 0; c < 64; c++) {
		if (!has(mask, c) || cap_set_ambient((cap_value_t)c, CAP_SET) == 0)
			continue;
		return err_sys(e, "ambient capability %s", cap_text(c, name));
	}
	return 0;
}

/* Mask of one of the calling process's sets; 0 when it cannot be read. */
static uint64_t held(cap_flag_t flag)
{
	cap_t now = cap_get_proc();
	uint64_t mask = 0;

	for (int c = 0; now && c < 64; c++) {
		cap_flag_value_t v = CAP_CLEAR;

		if (cap_get_flag(now, (cap_value_t)c, flag, &v) == 0 && v == CAP_SET)
			mask |= 1ULL << c;
	}
	(void)cap_free(now);
	return mask;
}

static int missing(uint64_t wanted, struct err *e)
{
	const uint64_t lacking = wanted & ~held(CAP_PERMITTED);
	char name[24];

	for (int c = 0; c < 64; c++) {
		if (!has(lacking, c))
			continue;
		(void)err_num(e, EPERM, "capability %s", cap_text(c, name));
		return err_hint(e, "vrun does not hold it here: take it out of process.capabilities");
	}
	return err_num(e, EPERM, "setting the capabilities");
}

int caps_apply(const struct cap_sets *sets, struct err *e)
{
	cap_t caps = cap_init();
	int rc = 0;

	if (!caps)
		return err_sys(e, "capabilities");
	if (set_flags(caps, CAP_EFFECTIVE, sets->effective) < 0 ||
	    set_flags(caps, CAP_PERMITTED, sets->permitted) < 0 ||
	    set_flags(caps, CAP_INHERITABLE, sets->inheritable) < 0)
		rc = err_sys(e, "capabilities");
	else if (cap_set_proc(caps) < 0)
		rc = errno == EPERM ? missing(sets->permitted | sets->inheritable, e) :
				      err_sys(e, "setting the capabilities");
	(void)cap_free(caps);
	return rc < 0 ? rc : apply_ambient(sets->ambient & sets->permitted & sets->inheritable, e);
}

uint64_t caps_effective(void)
{
	return held(CAP_EFFECTIVE);
}

uint64_t caps_permitted(void)
{
	return held(CAP_PERMITTED);
}
