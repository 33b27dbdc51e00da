/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/supervise.h"

#include <signal.h>

#include "base/log.h"
#include "sup/serve.h"

int supervise_for_launch(int listener, int launcher, int resolver, const int *spaces, bool outside, struct err *e)
{
	const struct serve_params p = { .listener = listener,
					.launcher = launcher,
					.resolver = resolver,
					.spaces = { spaces[0], spaces[1] },
					.door = -1,
					.guarded = outside,
					.cell = true,
					.complain = log_err };

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* of a record that may not grow */
	return serve_run(&p, e);
}
