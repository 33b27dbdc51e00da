/* SPDX-License-Identifier: Apache-2.0 */
/* vrun-pack VERB ARGS...: the helper behind `vrun pack` and `vrun verify`. */
#include <linux/capability.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "pack/interrupt.h"
#include "pack/pack.h"
#include "pack/verify.h"

#define EXIT_FAILURE_OWN 125

static void print_notes(const struct notes *n)
{
	for (const struct note *note = n->first; note; note = note->next)
		log_warn("%s", note->text);
}

static void print_summary(const struct pack *p)
{
	char size[16], quoted[PATH_MAX];
	size_t libraries = 0;

	for (size_t i = 0; i < p->libs.all.n; i++)
		libraries += p->libs.all.v[i]->loader != NULL;
	(void)log_quote(quoted, sizeof quoted, p->o->bundle);
	(void)printf("%s: %llu files, %s, %zu libraries\nnext: vrun %s\n", quoted,
		     (unsigned long long)p->copied.n_files,
		     progress_size(p->copied.bytes, size, sizeof size), libraries, quoted);
}

static bool is_shell(const char *real)
{
	static const char *const shells[] = { "sh", "dash", "bash", "zsh", "ksh", "mksh", "busybox" };

	for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
		if (strcmp(path_base(real), shells[i]) == 0)
			return true;
	return false;
}

/* What the program may miss when it runs as root without privileges, as packed by default. */
static void print_hints(const struct pack *p)
{
	static const uint64_t drops = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_CHOWN;
	const char *program = p->program.step[p->program.n - 1].real;
	char quoted[256];

	if (p->program.n > 1 && is_shell(program) && !p->o->trace)
		(void)printf("hint: which commands a shell script calls is not known: --trace runs it"
			     " once to see\n");
	if (p->o->user || p->o->caps)
		return;
	if (p->service_user && strcmp(p->service_user, "root") != 0)
		(void)printf("hint: its service runs as another user: --user %s\n",
			     log_quote(quoted, sizeof quoted, p->service_user));
	else if ((p->needs.caps & drops) && p->program.n == 1 && !runtime_known(program))
		(void)printf("hint: started as root it may want to change users: --user USER, or"
			     " --cap chown --cap setgid --cap setuid\n");
}

static int main_pack(int argc, char **argv)
{
	struct pack_options o;
	struct err e = { 0 };
	struct pack p;
	int rc = pack_options_parse(&o, argc, argv, &e);

	if (rc > 0) {
		pack_options_help(stdout);
		return 0;
	}
	if (rc < 0) {
		log_err(&e);
		return EXIT_FAILURE_OWN;
	}
	rc = pack_run(&p, &o, &e);
	print_notes(&p.notes);
	if (rc < 0) {
		log_err(&e);
	} else if (!o.quiet) {
		print_summary(&p);
		print_hints(&p);
	}
	pack_fini(&p);
	pack_options_fini(&o);
	return rc < 0 ? EXIT_FAILURE_OWN : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int (*run)(int argc, char **argv);
	} verbs[] = { { "pack", main_pack }, { "verify", verify_main } };

	interrupt_install();
	if (sodium_init() < 0) {
		log_error("libsodium does not start");
		return EXIT_FAILURE_OWN;
	}
	for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++) {
		int rc;

		if (strcmp(argv[1], verbs[i].verb) != 0)
			continue;
		rc = verbs[i].run(argc - 1, argv + 1);
		if (interrupt_signal() && rc != 0)
			interrupt_raise();
		return rc;
	}
	log_error("vrun-pack is started by vrun (vrun pack, vrun verify)");
	return EXIT_FAILURE_OWN;
}
