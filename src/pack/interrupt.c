/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

void interrupt_install(void)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal }, old;

	(void)sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		if (sigaction(sigs[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue; /* nohup */
		(void)sigaction(sigs[i], &sa, NULL);
	}
	(void)signal(SIGPIPE, SIG_IGN);
}

int interrupt_check(struct err *e)
{
	if (!caught)
		return 0;
	return err_set(e, EINTR, "interrupted by %s", strsignal(caught));
}

int interrupt_signal(void)
{
	return caught;
}

void interrupt_raise(void)
{
	int sig = caught;

	if (!sig)
		return;
	(void)signal(sig, SIG_DFL);
	(void)kill(getpid(), sig);
}
