/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/profile.h"

#include <stdlib.h>

#include "base/fd.h"

int profile_default_build(const struct profile_params *p, struct bpf_prog *ret, struct err *e)
{
	AUTO_FREE struct bpf_table *table = malloc(sizeof *table);
	int rc;

	if (!table)
		return err_num(e, ENOMEM, "seccomp filter");
	rc = profile_default_table(p, table, e);
	if (rc < 0)
		return rc;
	return bpf_compile(table, ret, e);
}
