/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/attend.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "kern/helper.h"
#include "model/endpoint.h"
#include "run/state.h"
#include "run/supervisor.h"
#include "sup/serve.h"

static const char help[] =
	"Usage: vrun supervise --listen PATH [-p POLICY] [--fabric NAME]\n\n"
	"Answers the socket calls of containers under their policies, until the last one ends.\n"
	"A container comes over the Unix socket PATH, as an OCI runtime sends it to the\n"
	"seccomp agent at \"listenerPath\". Each one whose policy leads outside gets a gateway.\n"
	"Audit records go to standard output.\n\n"
	"      --listen PATH    where runtimes connect to\n"
	"  -p, --policy POLICY  policy of every container (default: its bundle's policy.json)\n"
	"      --ceiling FILE   a policy that bounds theirs (default: that of the system)\n"
	"      --record DIR     where \"record\" of rules writes its files: in a directory for each container\n"
	"      --record-max SIZE  bytes of each file (default: 1GiB)\n"
	"      --fabric NAME    be the supervisor of that fabric: runs that name it join\n"
	"      --root DIR       directory of the records, in which fabrics have their names\n"
	"  -h, --help\n";

/* The process in front, which runtimes find. It has no part in what is served. */
struct front {
	struct attend_params params;
	int listener;     /* -1: nobody is to come any more */
	pid_t supervisor; /* 0: it has ended */
	pid_t attendants[AGENT_PEERS_MAX];
	size_t n;         /* of those */
	bool served;      /* one of them has had a container */
	bool failed, asked, told;
	int died_of;
	sigset_t before;
};

static volatile sig_atomic_t ended;

static void end(int sig)
{
	if (sig != SIGCHLD)
		ended = 1;
}

/* A pipe that has room at all takes PIPE_BUF bytes at once; one line of ours has less. */
static bool has_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* Who does not read holds nobody up: the apps of one domain can make more records than anybody reads. */
static void write_record(void *ctx, const struct audit_record *r)
{
	static uint64_t lost;
	char text[48];

	(void)ctx;
	if (!has_room(STDOUT_FILENO)) {
		lost++;
		return;
	}
	if (lost) {
		(void)snprintf(text, sizeof text, "{\"lost\":%llu}\n", (unsigned long long)lost);
		(void)fd_write_all(STDOUT_FILENO, text, strlen(text));
		lost = 0;
	}
	if (has_room(STDOUT_FILENO))
		(void)fd_write_all(STDOUT_FILENO, r->line, strlen(r->line));
	else
		lost++;
}

static void complain(const struct err *e)
{
	if (has_room(STDERR_FILENO))
		log_err(e);
}

/* It listens before anybody finds its name: who finds one at which nobody listens takes it over. */
static int open_listener(const char *path, int *ret_fd, struct err *e)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return err_sys(e, "socket");
	rc = agent_bind(fd, path, e);
	if (rc == 0 && listen(fd, AGENT_PEERS_MAX) < 0)
		rc = err_sys(e, "%s", path);
	if (rc == 0)
		*ret_fd = fd_take(&fd);
	return rc;
}

/* --- the supervisor ------------------------------------------------------------------ */

static int serve(int door, const sigset_t *mask, struct err *e)
{
	const int resolver = helper_open("vrun-resolver", false, e);
	const struct serve_params p = { .listener = -1,
					.launcher = -1,
					.resolver = resolver,
					.door = door,
					.spaces = { -1, -1 },
					.guarded = true,
					.mask = mask,
					.stop = &ended,
					.complain = complain,
					.audit = write_record };

	return resolver < 0 ? resolver : serve_run(&p, e);
}

static int start(struct front *f, struct err *e)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	pid = fork();
	if (pid == 0) {
		struct err own = { 0 };

		fd_close(&f->listener);
		(void)close(pair[0]);
		(void)prctl(PR_SET_NAME, "vrun-supervisor", 0, 0, 0);
		if (serve(pair[1], &f->before, &own) < 0) {
			log_err(&own);
			_exit(EXIT_VRUN);
		}
		_exit(0);
	}
	(void)close(pair[1]);
	f->params.door = pair[0];
	if (pid < 0)
		return err_sys(e, "the supervisor");
	f->supervisor = pid;
	return 0;
}

/* --- those who come ------------------------------------------------------------------ */

static bool may_speak(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == geteuid() || who.uid == 0);
}

/* Whether somebody came. */
static bool admit(struct front *f)
{
	int conn = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid = -1;

	if (conn < 0)
		return false;
	f->params.slot = 0;
	/* A container that we cannot serve loses its listener, and with that its sockets. */
	while (f->params.slot < AGENT_PEERS_MAX && f->attendants[f->params.slot])
		f->params.slot++;
	if (may_speak(conn) && f->params.slot < AGENT_PEERS_MAX)
		pid = fork();
	if (pid == 0) {
		fd_close(&f->listener);
		(void)signal(SIGINT, SIG_IGN); /* a terminal's is for the one in front */
		(void)signal(SIGTERM, SIG_DFL);
		(void)sigprocmask(SIG_SETMASK, &f->before, NULL);
		_exit(attend(&f->params, conn));
	}
	if (pid > 0) {
		f->attendants[f->params.slot] = pid;
		f->n++;
	}
	(void)close(conn);
	return true;
}

static void reap(struct front *f)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == f->supervisor) {
			f->supervisor = 0;
			f->failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
			f->died_of = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		}
		for (size_t i = 0; i < AGENT_PEERS_MAX; i++)
			if (f->attendants[i] == pid) {
				f->attendants[i] = 0;
				f->params.slots[i].ready = 0;
				f->n--;
				f->served = f->served || (WIFEXITED(status) && WEXITSTATUS(status) == ATTEND_SERVED);
			}
	}
}

/* One signal or one that comes. */
static void turn(struct front *f)
{
	struct pollfd p = { .fd = f->listener, .events = POLLIN };

	if (ppoll(&p, 1, NULL, &f->before) == 1)
		(void)admit(f);
	reap(f);
}

/*
 * Until the supervisor has ended, or the last container. Then nobody finds us any more; whoever has found us before
 * is served.
 */
static void attend_all(struct front *f, const char *path, const char *name)
{
	while (f->supervisor && !ended && !(f->served && f->n == 0))
		turn(f);
	if (name)
		(void)unlink(name);
	(void)unlink(path);
	f->params.closing = true;
	while (f->supervisor && !ended && admit(f))
		;
	fd_close(&f->listener);
	while (f->supervisor && !ended && f->n)
		turn(f);
}

/* The supervisor ends when its door is shut and it serves nobody; those who attend, with it. */
static void end_all(struct front *f)
{
	fd_close(&f->params.door);
	while (f->supervisor || f->n) {
		for (size_t i = 0; !f->supervisor && i < AGENT_PEERS_MAX; i++)
			if (f->attendants[i] && !f->told) /* one whose client never speaks */
				(void)kill(f->attendants[i], SIGTERM);
		f->told = f->told || !f->supervisor;
		if (ended && f->supervisor && !f->asked)
			f->asked = kill(f->supervisor, SIGTERM) == 0;
		turn(f);
	}
}

static int run(struct front *f, const char *path, const char *name, struct err *e)
{
	sigset_t all;
	int rc;

	(void)sigemptyset(&all);
	(void)sigaddset(&all, SIGINT);
	(void)sigaddset(&all, SIGTERM);
	(void)sigaddset(&all, SIGCHLD);
	/* Only while it waits, or one between the question and the wait would be missed. */
	(void)sigprocmask(SIG_BLOCK, &all, &f->before);
	rc = start(f, e);
	/* Now: the supervisor is not to have it. */
	f->params.slots = mmap(NULL, AGENT_PEERS_MAX * sizeof *f->params.slots, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->params.slots == MAP_FAILED)
		return err_sys(e, "memory");
	attend_all(f, path, name);
	if (rc < 0)
		return rc;
	end_all(f);
	if (f->died_of && !ended)
		return err_set(e, ECHILD, "the supervisor was ended by signal %d", f->died_of);
	return f->failed && !ended ? -ECHILD : 0;
}

/* Runs look for a fabric's supervisor under this name (run/supervisor.c). A link leads from there. */
static int take_name(const char *path, const char *fabric, char **ret_name, struct err *e)
{
	AUTO_FREE char *root = NULL, *name = NULL, *whole = NULL, *cwd = *path == '/' ? strdup("") : realpath(".", NULL);
	AUTO_FD int dir = -1;
	char text[NAME_TEXT_MAX], plain[96];
	int rc = state_root(globals.root, &root, e);

	if (rc < 0)
		return rc;
	if (strlen(fabric) > 63 || name_parse_domain(fabric, text, NULL) < 0)
		return err_set(e, EINVAL, "--fabric takes a name: letters, digits and '-', at most 63");
	(void)snprintf(plain, sizeof plain, "fabric-%s.sock", fabric);
	if (!cwd || asprintf(&whole, "%s%s%s", cwd, *cwd ? "/" : "", path) < 0 || asprintf(&name, "%s/%s", root, plain) < 0)
		return err_num(e, ENOMEM, "fabric %s", fabric);
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* What a supervisor left that was killed: a socket at which nobody listens, or a link to nothing. */
	if (dir >= 0 && !supervisor_remove_socket(dir, plain) && access(name, F_OK) < 0)
		(void)unlink(name);
	if (symlink(whole, name) < 0)
		return errno == EEXIST ? err_set(e, EEXIST, "fabric %s has a supervisor already", fabric) :
					 err_sys(e, "fabric %s in %s", fabric, root);
	*ret_name = mem_take(&name);
	return 0;
}

/* Now, and not when the first container comes. */
static int check_now(const char *policy, const char *record, struct err *e)
{
	struct policy_record_file files[POLICY_RECORDS_MAX];
	const struct policy_rule *r = NULL;
	AUTO_FD int dir = record ? open(record, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct policy p;
	int rc;

	if (record && dir < 0)
		return err_sys(e, "--record %s", record);
	rc = policy ? policy_load(&p, AT_FDCWD, policy, NULL, e) : 0;
	if (rc < 0 || !policy)
		return rc;
	if (!record && policy_record_files(&p, NULL, files, &r) > 0) {
		rc = err_set(e, ENOTSUP, "%s: rule %s records to the file %s, and there is no directory for it", policy, r->id,
			     r->options.record_file);
		(void)err_hint(e, "give one: --record DIR");
	}
	policy_fini(&p);
	return rc;
}

int cmd_supervise(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "policy", required_argument, NULL, 'p' },
		{ "fabric", required_argument, NULL, 'f' },
		{ "ceiling", required_argument, NULL, 'c' },
		{ "record", required_argument, NULL, 'd' },
		{ "record-max", required_argument, NULL, 'm' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct sigaction on_end = { .sa_handler = end };
	const char *path = NULL, *policy = globals.policy, *fabric = globals.fabric, *ceiling = globals.ceiling, *record = NULL;
	uint64_t record_max = 0;
	static struct front f;
	AUTO_FREE char *name = NULL;
	AUTO_FD int listener = -1;
	int rc;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == '?')
			return command_usage("supervise", "unknown option or missing value");
		if (opt == 'm' && (num_parse_size(optarg, INT64_MAX, &record_max) < 0 || record_max == 0))
			return command_usage("supervise", "--record-max takes a size, like 100M");
		if (opt == 'r')
			globals.root = optarg;
		else if (opt != 'm')
			*(opt == 'l' ? &path : opt == 'f' ? &fabric : opt == 'c' ? &ceiling : opt == 'd' ? &record : &policy) = optarg;
	}
	if (!path || optind < argc)
		return command_usage("supervise", "expected --listen PATH and nothing else");
	if (check_now(policy, record, &e) < 0)
		return command_fail(&e);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* of a record that may not grow */
	(void)sigaction(SIGINT, &on_end, NULL);
	(void)sigaction(SIGTERM, &on_end, NULL);
	(void)sigaction(SIGCHLD, &on_end, NULL);
	rc = open_listener(path, &listener, &e);
	if (rc == 0 && fabric) {
		rc = take_name(path, fabric, &name, &e);
		if (rc < 0)
			(void)unlink(path);
	}
	if (rc < 0)
		return command_fail(&e);
	f.params = (struct attend_params){ .door = -1, .policy = policy, .ceiling = ceiling, .record = record,
					    .record_max = record_max };
	f.listener = fd_take(&listener);
	rc = run(&f, path, name, &e);
	return rc == 0 ? 0 : e.num ? command_fail(&e) : EXIT_VRUN;
}
