/* SPDX-License-Identifier: Apache-2.0 */
/* vrun_send_multi(3): tests/guest/multi says the same under a supervisor and without one. */
#include "seam.h"

static void check(pid_t pid, int out, const char *where)
{
	const char *text = seam_read_all(out), *s = text;

	if (TAP_OK(seam_wait(pid) == 0 && strstr(text, " 0 failed"), "as promised, %s", where))
		return;
	while (*s) {
		int n = (int)strcspn(s, "\n");

		printf("#   %.*s\n", n, s);
		s += n + (s[n] == '\n');
	}
}

int main(void)
{
	char program[PATH_MAX], *argv[] = { program, NULL, NULL };
	char served[] = "served";
	int in, out;
	pid_t keeper, sup;

	seam_init();
	if (chdir(seam_dir) < 0)
		return 1;
	(void)snprintf(program, sizeof program, "%s/tests/guest/multi", seam_build);
	seam_bundle("a", "{\"version\":1,\"domain\":\"a\",\"net\":{\"rules\":[]}}");
	seam_bundle("keeper", "{\"version\":1,\"domain\":\"keeper\",\"net\":{\"rules\":[]}}");
	sup = seam_supervise();
	keeper = seam_run("keeper", &in, &out, "states try 127.0.0.1 1 0");
	(void)seam_ready(out);
	(void)close(out);
	argv[1] = served;
	TAP_INT(seam_wait(seam_start(argv, NULL, &out)), 1, "no kernel has it");
	(void)close(out);
	TAP_INT(seam_wait(seam_run("a", NULL, &out, "multi served")), 0, "a supervisor has it");
	(void)close(out);
	argv[1] = NULL;
	check(seam_start(argv, NULL, &out), out, "outside");
	check(seam_run("a", NULL, &out, "multi"), out, "in a domain");
	check(seam_run("a", NULL, &out, "multi-asks"), out, "all of it by the supervisor");
	(void)close(in);
	TAP_INT(seam_wait(keeper), 0, "the last one ends");
	TAP_INT(seam_wait(sup), 0, "and the supervisor with it");
	rmtree(seam_dir);
	return tap_done();
}
