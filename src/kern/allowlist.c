/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/allowlist.h"

#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "kern/filter.h"

#define DENY (SECCOMP_RET_ERRNO | EPERM)

#if defined __SANITIZE_ADDRESS__
/* The search for leaks at the end stops all threads and reads /proc, which is shut by then
 * (sanitizer/lsan_interface.h). */
static bool loaded;
int __lsan_is_turned_off(void); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): its name */
int __lsan_is_turned_off(void)  /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
{
	return loaded;
}
#endif

int allowlist_load(const uint16_t *calls, size_t n, const struct bpf_rule *special, size_t n_special,
		   struct err *e)
{
	AUTO_FREE struct bpf_table *t = calloc(1, sizeof *t);
	struct bpf_prog prog = { 0 };
	int rc = 0;

	if (!t)
		return err_num(e, ENOMEM, "a filter for vrun itself");
	t->arch = BPF_NATIVE_ARCH;
	t->foreign_action = SECCOMP_RET_KILL_PROCESS;
	t->x32_action = SECCOMP_RET_KILL_PROCESS;
	t->default_action = DENY;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = bpf_table_add(t, calls[i], SECCOMP_RET_ALLOW, NULL, 0);
	for (size_t i = 0; i < n_special && rc == 0; i++)
		rc = bpf_table_add(t, special[i].nr, SECCOMP_RET_ALLOW, special[i].conds, special[i].n_conds);
#if defined __SANITIZE_ADDRESS__
	if (rc == 0) /* asked before each _exit() */
		rc = bpf_table_add(t, __NR_sigaltstack, SECCOMP_RET_ALLOW, NULL, 0);
#endif
	if (rc < 0)
		return err_num(e, -rc, "a filter for vrun itself");
	rc = bpf_compile(t, &prog, e);
	if (rc == 0)
		rc = filter_load(&prog, 0, NULL, e);
#if defined __SANITIZE_ADDRESS__
	loaded = rc == 0;
#endif
	bpf_prog_fini(&prog);
	return rc;
}
