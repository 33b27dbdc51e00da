/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy apply: another policy for a sandbox that runs. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/attend.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "cli/policy_run.h"
#include "kern/control.h"
#include "run/state.h"

#define ANSWER_SECONDS 10
#define END_MS 2000 /* longest wait for the end of a run whose gateway has ended */
#define LOOK_MS 20

struct apply {
	struct policy_run run; /* its flag: a dry run */
};

/* "3 connections"; "" for none. */
static void print_count(const json_t *o, const char *key, const char *one, const char *many)
{
	long long n = ask_int(o, key);

	if (n)
		(void)printf(", %lld %s", n, n == 1 ? one : many);
}

static int print_text(void *ctx, json_t *o)
{
	const struct apply *a = ctx;

	if (a->run.flag) {
		(void)printf("it can be applied; generation %lld is in force\n", ask_int(o, "generation"));
		return fflush(stdout) == 0 ? 0 : -EPIPE;
	}
	(void)printf("in force as generation %lld", ask_int(o, "generation"));
	print_count(o, "connections", "connection cut", "connections cut");
	print_count(o, "listeners", "listener closed", "listeners closed");
	print_count(o, "flows", "flow of datagrams cut", "flows of datagrams cut");
	print_count(o, "stopped", "sandbox stopped, since it hid what had to be cut",
		    "sandboxes stopped, since they hid what had to be cut");
	return putchar('\n') >= 0 && fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int print_json(void *ctx, json_t *o)
{
	(void)ctx;
	if (json_dumpf(o, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0 || fflush(stdout) != 0)
		return -EPIPE;
	return 0;
}

static int send_policy(struct apply *a, const struct json_doc *doc, bool gateway, struct err *e)
{
	json_t *question = json_pack("{s:s, s:s, s:b, s:b, s:{s:s, s:s}}", "query", "apply", "id", a->run.whom.id, "dry",
				     a->run.flag, "gateway", gateway, "policy", "name", doc->name, "text", doc->text);
	int rc = policy_run_ask(&a->run.whom, question, a->run.json ? print_json : print_text, a,
				"end the run and start it with the new policy", e);

	return rc == -EPIPE && !e->num ? err_set(e, EPIPE, "writing what came of it") : rc;
}

/* --- the gateway ----------------------------------------------------------------- */

/*
 * Only the process in front of a supervisor may say which gateway is a container's (cli/attend.h), and that one is
 * in no pid namespace of a sandbox.
 */
static bool is_in_front(int sock)
{
	struct stat ours, theirs;
	struct ucred who;
	socklen_t len = sizeof who;
	char path[48];

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.pid <= 0)
		return false;
	(void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)who.pid);
	return stat("/proc/self/ns/pid", &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

/* "" when there is none, or nobody who may say so. The caller frees. */
static int ask_front(const struct apply *a, char **ret, struct err *e)
{
	const struct timeval most = { .tv_sec = ANSWER_SECONDS };
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	json_t *o = json_pack("{s:s}", ATTEND_GATEWAY_OF, a->run.whom.id);
	AUTO_FREE char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	char answer[256] = "";
	const char *name;
	ssize_t n;

	json_decref(o);
	if (sock < 0 || !text)
		return sock < 0 ? err_sys(e, "socket") : err_num(e, ENOMEM, "gateway");
	if (ask_connect(sock, a->run.whom.path, e) < 0)
		return -e->num;
	if (is_in_front(sock)) {
		(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
		if (send(sock, text, strlen(text), MSG_NOSIGNAL) < 0)
			return err_sys(e, "supervisor at %s", a->run.whom.path);
		n = recv(sock, answer, sizeof answer - 1, MSG_WAITALL);
		answer[n > 0 ? n : 0] = '\0';
	}
	o = json_loads(answer, 0, NULL);
	name = json_string_value(json_object_get(o, "gateway"));
	*ret = strdup(name ? name : "");
	json_decref(o);
	return *ret ? 0 : err_num(e, ENOMEM, "gateway");
}

/* The name of its control socket; "" when the run has no gateway. The caller frees. */
static int find_gateway(const struct apply *a, char **ret, struct err *e)
{
	AUTO_FREE char *root = NULL;
	AUTO_FD int dir = -1;
	struct state_record r;
	int rc;

	if (a->run.whom.path)
		return ask_front(a, ret, e);
	*ret = strdup("");
	rc = state_root(a->run.whom.root, &root, e);
	if (rc < 0)
		return rc;
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "state directory %s", root);
	rc = state_load(dir, a->run.whom.id, &r, e);
	if (rc < 0)
		return rc;
	if (!r.running)
		rc = err_set(e, ESRCH, "container %s has ended", a->run.whom.id);
	if (r.gateway) {
		free(*ret);
		*ret = strdup(r.gateway);
	}
	state_record_fini(&r);
	if (rc == 0 && !*ret)
		rc = err_num(e, ENOMEM, "gateway");
	return rc;
}

static int write_text(const struct json_doc *doc, int *ret_fd, struct err *e)
{
	json_t *o = json_pack("{s:{s:s, s:s}}", "policy", "name", doc->name, "text", doc->text);
	AUTO_FREE char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	AUTO_FD int fd = memfd_create("vrun-policy", MFD_CLOEXEC);
	int rc;

	json_decref(o);
	if (!text)
		return err_num(e, ENOMEM, "policy for the gateway");
	if (fd < 0)
		return err_sys(e, "memfd for the gateway's policy");
	rc = fd_write_all(fd, text, strlen(text));
	if (rc < 0)
		return err_num(e, -rc, "policy for the gateway");
	*ret_fd = fd_take(&fd);
	return 0;
}

static int gateway_gone(const struct apply *a, struct err *e)
{
	(void)err_set(e, ESRCH, "the gateway of %s has ended", a->run.whom.id);
	return err_hint(e, "nothing leads outside any more: start it anew");
}

/* From here to the end of the conversation the gateway decides by both policies. */
static int prepare_gateway(const struct apply *a, const struct json_doc *doc, char **ret_name, int *ret_sock, struct err *e)
{
	AUTO_FD int sock = -1, text = -1;
	int rc = find_gateway(a, ret_name, e);

	if (rc < 0 || !*ret_name || !**ret_name)
		return rc;
	rc = control_connect(*ret_name, &sock, e);
	if (rc == -ECONNREFUSED)
		return gateway_gone(a, e);
	if (rc == 0)
		rc = write_text(doc, &text, e);
	if (rc == 0)
		rc = control_ask(sock, CONTROL_PREPARE, text, e);
	if (rc == 0)
		*ret_sock = fd_take(&sock);
	return rc;
}

/* The run has gone, or another has its id. A gateway may end some moments before its run's record. */
static bool has_ended(const struct apply *a, const char *gateway)
{
	for (int ms = 0; ms < END_MS; ms += LOOK_MS) {
		AUTO_FREE char *name = NULL;
		struct err e = { 0 };

		if (find_gateway(a, &name, &e) < 0 || strcmp(name, gateway) != 0)
			return true;
		(void)poll(NULL, 0, LOOK_MS);
	}
	return false;
}

static int commit(const struct apply *a, int sock, const char *gateway, struct err *e)
{
	int rc = control_ask(sock, CONTROL_COMMIT, -1, e);

	if (rc != -EPIPE && rc != -ECONNRESET)
		return rc;
	/* What its app lost may have been the end of it, and of the gateway. */
	return has_ended(a, gateway) ? 0 : gateway_gone(a, e);
}

/* What is wrong in it is said here, with the place. */
static int apply(struct apply *a, const char *file, struct err *e)
{
	AUTO_FREE char *name = NULL;
	AUTO_FD int gateway = -1;
	struct json_doc doc;
	struct policy p;
	int rc = json_doc_load(&doc, AT_FDCWD, file, NULL, e);

	if (rc < 0)
		return rc;
	rc = policy_read(&p, &doc, NULL, e);
	if (rc == 0) {
		policy_fini(&p);
		rc = prepare_gateway(a, &doc, &name, &gateway, e);
	}
	if (rc == 0)
		rc = send_policy(a, &doc, gateway >= 0, e);
	if (rc == 0 && gateway >= 0 && !a->run.flag)
		rc = commit(a, gateway, name, e);
	json_doc_fini(&doc);
	return rc;
}

int policy_cmd_apply(int argc, char **argv)
{
	struct apply a = { .run = { .flag = false } };
	struct err e = { 0 };
	int over = policy_run_options(&a.run, argc, argv, "dry-run");

	if (over >= 0)
		return over;
	if (argc - optind != 2)
		return command_usage("policy", "apply wants an ID and a FILE");
	a.run.whom.id = argv[optind];
	return apply(&a, argv[optind + 1], &e) < 0 ? command_fail(&e) : 0;
}
