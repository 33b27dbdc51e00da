/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun hook: what another runtime calls around its containers, so that they
 * find a supervisor at their "listenerPath".
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "cli/attend.h"
#include "cli/command.h"
#include "cli/oci.h"
#include "model/bundle.h"
#include "model/syscalls.h"

static const char help[] =
	"Usage: vrun hook [--log-to FILE] createRuntime|poststop\n\n"
	"For \"hooks\" in a configuration of another OCI runtime. Reads the container's state on\n"
	"standard input. createRuntime starts a supervisor at linux.seccomp.listenerPath when none\n"
	"listens there; poststop removes that socket when nobody does any more.\n\n"
	"      --log-to FILE   audit records and complaints of a supervisor that is started\n"
	"  -h, --help\n";

#define START_MS 10000

/* --- the profile -------------------------------------------------------------------- */

/* What a runtime calls itself between the loading of the filter and the hand-over of its listener. */
static bool is_the_runtimes(const char *name)
{
	static const char *const names[] = { "close", "execve", "exit", "exit_group", "fcntl", "futex", "poll", "ppoll", "prctl",
					     "read", "recvmsg", "rt_sigreturn", "sendmsg", "write", "writev" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool is_served(const char *name)
{
	for (int t = 0; t < TRAP_COUNT; t++)
		if (strcmp(trap_info((enum trap)t)->name, name) == 0)
			return true;
	return false;
}

/* Before a container hangs for ever, or gets ENOSYS where nobody expects it. */
static int check_profile(const struct bundle_seccomp *s, struct err *e)
{
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct bundle_seccomp_rule *r = &s->rules[i];

		for (size_t k = 0; strcmp(r->action, "SCMP_ACT_NOTIFY") == 0 && k < r->names.n; k++) {
			char quoted[64];

			(void)log_quote(quoted, sizeof quoted, r->names.v[k]);
			if (is_the_runtimes(r->names.v[k])) {
				(void)err_set(e, EINVAL, "the profile traps %s, which the runtime itself needs to hand the listener over: both would wait for ever", quoted);
				return err_hint(e, "vrun policy seccomp prints a profile without it");
			}
			if (!is_served(r->names.v[k])) {
				(void)err_set(e, ENOTSUP, "the profile traps %s, which vrun's supervisor does not answer", quoted);
				return err_hint(e, "vrun policy seccomp prints a profile without it");
			}
		}
	}
	return 0;
}

static int read_state(struct bundle *ret, int64_t *ret_pid, struct err *e)
{
	AUTO_FREE char *text = NULL;
	const char *dir = NULL;
	struct json_doc doc;
	struct jat root;
	size_t len = 0;
	int rc = fd_read_all(STDIN_FILENO, "standard input", JSON_FILE_MAX, &text, &len, e);

	if (rc == 0)
		rc = json_doc_parse(&doc, "state on standard input", text, len, e);
	if (rc < 0)
		return rc;
	root = json_root(&doc);
	rc = json_expect_object(&root, e);
	if (rc == 0)
		rc = json_get_int(&root, "pid", 0, INT32_MAX, ret_pid, e);
	if (rc >= 0)
		rc = json_get_string(&root, "bundle", &dir, e);
	if (rc == 0)
		rc = json_error(&root, e, "\"bundle\" is missing");
	else if (rc > 0)
		rc = bundle_load(ret, dir, e);
	json_doc_fini(&doc);
	return rc;
}

/* --- the supervisor ------------------------------------------------------------------ */

/* 0: somebody listens, and is on the line. */
static int ring(const char *path, int *ret_fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof sa.sun_path)
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

static int knock(const char *path)
{
	AUTO_FD int fd = -1;

	return ring(path, &fd);
}

/*
 * Who serves other containers may be about to end with the last of them, and who was started for this one
 * should end when it never comes. -ECONNREFUSED: nobody waits for it.
 */
static int announce(const char *path, int process)
{
	static const char text[] = ATTEND_EXPECT;
	AUTO_FD int fd = -1;
	int rc = ring(path, &fd);
	char c;

	if (rc < 0 || process < 0)
		return rc;
	rc = fd_send(fd, text[0], &process, 1);
	if (rc == 0)
		rc = fd_write_all(fd, text + 1, sizeof text - 2);
	return rc == 0 && recv(fd, &c, 1, 0) == 1 ? 0 : -ECONNREFUSED;
}

static _Noreturn void supervisor(const char *path, const char *log)
{
	static char name[] = "vrun", command[] = "supervise", option[] = "--listen";
	char *argv[] = { name, command, option, (char *)(uintptr_t)path, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0600) : null;

	/* Nobody waits for the end of what the runtime has open, and no terminal's signals reach it. */
	(void)setsid();
	if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(EXIT_OCI);
	(void)sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void)execv("/proc/self/exe", argv);
	_exit(EXIT_OCI);
}

/* process: a pidfd of the container's, or -1. */
static int start(const char *path, int process, const char *log, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int rc = announce(path, process), status;
	pid_t pid;

	if (rc == 0)
		return 0;
	if (rc != -ENOENT && rc != -ECONNREFUSED)
		return err_num(e, -rc, "linux.seccomp.listenerPath %s", path);
	pid = fork();
	if (pid < 0)
		return err_sys(e, "supervisor");
	if (pid == 0)
		supervisor(path, log);
	/* Of several hooks one starts it; it is there for all. */
	for (int ms = 0; ms < START_MS; ms += 10) {
		bool over = waitpid(pid, &status, WNOHANG) == pid;

		if (announce(path, process) == 0)
			return 0;
		if (over)
			return err_set(e, ECHILD, "the supervisor for %s ended at once%s", path,
				       log ? ": its log says why" : " (--log-to FILE lets it say why)");
		(void)nanosleep(&pause, NULL);
	}
	(void)kill(pid, SIGKILL);
	return err_set(e, ETIMEDOUT, "the supervisor for %s does not listen", path);
}

static int run(const char *kind, const char *log, struct err *e)
{
	bool before = strcmp(kind, "createRuntime") == 0;
	const struct bundle_seccomp *s;
	struct bundle b = { 0 };
	AUTO_FD int process = -1;
	int64_t pid = 0;
	int rc = read_state(&b, &pid, e);

	if (rc < 0)
		return rc;
	s = &b.seccomp;
	if (!s->given || !s->listener_path) {
		rc = err_set(e, EINVAL, "the container's configuration has no linux.seccomp.listenerPath");
		(void)err_hint(e, "vrun policy seccomp prints one");
	} else if (before) {
		rc = check_profile(s, e);
		process = pid ? sys_pidfd_open((pid_t)pid, 0) : -1;
		if (rc == 0 && pid && process < 0)
			rc = err_sys(e, "the container's process %lld", (long long)pid);
		if (rc == 0)
			rc = start(s->listener_path, process, log, e);
	} else if (knock(s->listener_path) == -ECONNREFUSED) {
		(void)unlink(s->listener_path); /* its supervisor was killed */
	}
	bundle_fini(&b);
	return rc;
}

int cmd_hook(int argc, char **argv)
{
	static const struct option options[] = {
		{ "log-to", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *log = NULL;
	struct err e = { 0 };
	int opt;

	(void)signal(SIGPIPE, SIG_IGN); /* of a supervisor that ends while we talk to it */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return oci_help(help);
		if (opt == '?')
			return oci_usage("hook", "unknown option or missing value");
		log = optarg;
	}
	if (argc - optind != 1 || (strcmp(argv[optind], "createRuntime") != 0 && strcmp(argv[optind], "poststop") != 0))
		return oci_usage("hook", "expected createRuntime or poststop");
	return run(argv[optind], log, &e) < 0 ? oci_fail(&e) : 0;
}
