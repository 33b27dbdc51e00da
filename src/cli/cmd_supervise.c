/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "model/endpoint.h"
#include "run/state.h"
#include "run/supervisor.h"
#include "sup/serve.h"

static const char help[] =
	"Usage: vrun supervise --listen PATH [-p POLICY] [--fabric NAME]\n\n"
	"Answers the socket calls of containers under their policies, until the last one ends.\n"
	"A container comes over the Unix socket PATH, as an OCI runtime sends it to the\n"
	"seccomp agent at \"listenerPath\". Audit records go to standard output.\n\n"
	"      --listen PATH    where runtimes connect to\n"
	"  -p, --policy POLICY  policy of every container (default: its bundle's policy.json)\n"
	"      --fabric NAME    be the supervisor of that fabric: runs that name it join\n"
	"      --root DIR       directory of the records, in which fabrics have their names\n"
	"  -h, --help\n";

static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
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

static int serve(int listener, const char *path, const char *policy, bool fabric, struct err *e)
{
	struct serve_params p = { .listener = listener,
				  .launcher = -1,
				  .path = path,
				  .spaces = { -1, -1 },
				  .guarded = fabric, /* of a runtime's container nobody knows a gateway */
				  .policy = policy,
				  .stop = &ended,
				  .complain = complain,
				  .audit = write_record };
	sigset_t ends, before;

	/* Only while it waits, or one between the question and the wait would be missed. */
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &ends, &before);
	p.mask = &before;
	return serve_run(&p, e);
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

int cmd_supervise(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "policy", required_argument, NULL, 'p' },
		{ "fabric", required_argument, NULL, 'f' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct sigaction on_end = { .sa_handler = end };
	const char *path = NULL, *policy = globals.policy, *fabric = globals.fabric;
	AUTO_FREE char *name = NULL;
	AUTO_FD int listener = -1;
	int rc;
	struct policy check;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == '?')
			return command_usage("supervise", "unknown option or missing value");
		if (opt == 'r')
			globals.root = optarg;
		else
			*(opt == 'l' ? &path : opt == 'f' ? &fabric : &policy) = optarg;
	}
	if (!path || optind < argc)
		return command_usage("supervise", "expected --listen PATH and nothing else");
	if (policy) { /* now, and not when the first container comes */
		if (policy_load(&check, AT_FDCWD, policy, NULL, &e) < 0)
			return command_fail(&e);
		policy_fini(&check);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* of a record that may not grow */
	(void)sigaction(SIGINT, &on_end, NULL);
	(void)sigaction(SIGTERM, &on_end, NULL);
	rc = open_listener(path, &listener, &e);
	if (rc == 0 && fabric) {
		rc = take_name(path, fabric, &name, &e);
		if (rc < 0)
			(void)unlink(path);
	}
	if (rc == 0)
		rc = serve(fd_take(&listener), path, policy, fabric != NULL, &e);
	if (name)
		(void)unlink(name);
	return rc < 0 ? command_fail(&e) : 0;
}
