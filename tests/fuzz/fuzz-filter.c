/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a seccomp program: what bpf_prog_check() lets through the
 * kernel would take too, and bpf_prog_shrink() leaves every verdict as it was.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* NOLINTNEXTLINE(bugprone-suspicious-include): the simulator is in no library, and a fuzzer is one file. */
#include "../unit/bpf_sim.c"
#include "kern/bpf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A call whose parts are constants of the program, or next to one, so that every way through is tried. */
static struct seccomp_data make_call(const struct bpf_prog *p, uint64_t seed)
{
	struct seccomp_data d = { 0 };
	uint32_t word[4];

	for (unsigned i = 0; i < 4; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		word[i] = p->v[(seed >> 33) % p->n].k + (uint32_t)(seed >> 30) % 3 - 1;
	}
	d.nr = (int)word[0];
	d.arch = word[1];
	for (unsigned i = 0; i < 6; i++)
		d.args[i] = (uint64_t)word[i % 4] << 32 | word[(i + 2) % 4];
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bpf_prog p = { .n = (unsigned short)(size / sizeof *p.v) }, q = { 0 };

	if (p.n == 0 || size / sizeof *p.v > BPF_MAXINSNS)
		return 0;
	p.v = malloc(p.n * sizeof *p.v);
	if (!p.v)
		return 0;
	memcpy(p.v, data, p.n * sizeof *p.v);
	if (!bpf_prog_check(&p)) {
		if (bpf_sim_check(p.v, p.n))
			abort();
		if (bpf_prog_shrink(&p, &q) == 0) {
			if (bpf_sim_check(q.v, q.n))
				abort();
			for (uint64_t i = 0; i < 200; i++) {
				struct seccomp_data d = make_call(&p, i);

				if (bpf_sim_run(p.v, p.n, &d, NULL) != bpf_sim_run(q.v, q.n, &d, NULL))
					abort();
			}
		}
	}
	bpf_prog_fini(&q);
	bpf_prog_fini(&p);
	return 0;
}
