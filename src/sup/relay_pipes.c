/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/relay_pipes.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"

static void pay_back(struct domain *payer)
{
	if (payer)
		sup_give_files(payer, 2);
}

bool relay_pipe_take(struct relay_pipes *p, struct domain *payer, int *ret)
{
	if (payer && !sup_take_files(payer, 2))
		return false;
	if (p->n) {
		p->n--;
		ret[0] = p->spare[p->n][0];
		ret[1] = p->spare[p->n][1];
		return true;
	}
	if (pipe2(ret, O_CLOEXEC | O_NONBLOCK) < 0) {
		pay_back(payer);
		return false;
	}
	(void)fcntl(ret[0], F_SETPIPE_SZ, RELAY_PIPE_SIZE);
	return true;
}

void relay_pipe_give(struct relay_pipes *p, struct domain *payer, int *pipe)
{
	if (pipe[0] < 0)
		return;
	pay_back(payer);
	if (p->n < RELAY_PIPES) {
		p->spare[p->n][0] = pipe[0];
		p->spare[p->n][1] = pipe[1];
		p->n++;
		pipe[0] = pipe[1] = -1;
		return;
	}
	fd_close(&pipe[0]);
	fd_close(&pipe[1]);
}

void relay_pipe_drop(struct domain *payer, int *pipe)
{
	if (pipe[0] < 0)
		return;
	pay_back(payer);
	fd_close(&pipe[0]);
	fd_close(&pipe[1]);
}

void relay_pipes_fini(struct relay_pipes *p)
{
	for (; p->n; p->n--) {
		fd_close(&p->spare[p->n - 1][0]);
		fd_close(&p->spare[p->n - 1][1]);
	}
}
