/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default profile in force: tests/guest/doors runs under it, and under
 * none, where it has to find doors open, or it would prove nothing.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kern/filter.h"
#include "kern/profile.h"
#include "tap.h"

static char guest[PATH_MAX];

/* In the child: the filter, then the guest. Exit codes from 90 on are this function's own. */
static void become_guest(const struct bpf_prog *prog, const char *net, int out)
{
	struct err e = { 0 };

	if (dup2(out, STDOUT_FILENO) < 0)
		_exit(90);
	if (prog && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(91);
	if (prog && filter_load(prog, SECCOMP_FILTER_FLAG_SPEC_ALLOW, NULL, &e) < 0) {
		(void)dprintf(STDOUT_FILENO, "%s\n", e.text);
		_exit(92);
	}
	(void)execl(guest, guest, net, (char *)NULL);
	_exit(93);
}

/* Exit code; the output, cut to size, in out. */
static int run_guest(const struct bpf_prog *prog, const char *net, char *out, size_t size)
{
	size_t len = 0;
	int p[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(p) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become_guest(prog, net, p[1]);
	(void)close(p[1]);
	while (len + 1 < size && (n = read(p[0], out + len, size - len - 1)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	(void)close(p[0]);
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void show_open(const char *out)
{
	for (const char *line = out; *line;) {
		const char *end = strchrnul(line, '\n');

		if (memmem(line, (size_t)(end - line), "OPEN", 4))
			printf("# %.*s\n", (int)(end - line), line);
		line = *end ? end + 1 : end;
	}
}

static void test_guest(void)
{
	static const struct {
		enum profile_net net;
		const char *word;
	} nets[] = {
		{ PROFILE_NET_NONE, "none" },
		{ PROFILE_NET_LOOPBACK, "loopback" },
		{ PROFILE_NET_HOST, "loopback" },
	};
	static char out[32768];
	char *count;

	for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
		const struct profile_params params = { .net = nets[i].net };
		struct bpf_prog prog = { 0 };
		int rc;

		if (profile_default_build(&params, &prog, NULL) < 0)
			continue;
		rc = run_guest(&prog, nets[i].word, out, sizeof out);
		TAP_INT(rc, 0, "net %d: every door is shut", (int)nets[i].net);
		if (rc != 0)
			show_open(out);
		TAP_HAS(out, "\n0 open\n", "net %d: the guest came to its end", (int)nets[i].net);
		bpf_prog_fini(&prog);
	}
	TAP_INT(run_guest(NULL, "none", out, sizeof out), 1, "without a filter doors are open");
	out[strlen(out) ? strlen(out) - 1 : 0] = '\0'; /* the last line's end */
	count = strrchr(out, '\n');
	if (!TAP_OK(count && strtoul(count + 1, NULL, 10) > 60, "and the guest sees most of them"))
		printf("#   it says: %s\n", count ? count + 1 : out);
}

/* filter_load() and filter_probe(), each in a child of its own: filters stay for ever. */
static int in_child(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(what());
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static const struct sock_filter allow_all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

static struct bpf_prog allowing(void)
{
	struct bpf_prog p = { .v = malloc(sizeof allow_all), .n = 1 };

	if (!p.v)
		_exit(120);
	*p.v = allow_all;
	return p;
}

static int child_listener(void)
{
	struct bpf_prog p = allowing();
	struct err e = { 0 };
	int fd = -1, second = -1;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (filter_load(&p, 0, &fd, &e) < 0 || fd < 0)
		return 1;
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
		return 2;
	if (filter_load(&p, SECCOMP_FILTER_FLAG_TSYNC, NULL, &e) < 0)
		return 3;
	if (filter_load(&p, 0, &second, &e) != -EBUSY || second != -1 || !*e.hint)
		return 4;
	return 0;
}

static int child_bad(void)
{
	struct bpf_prog p = allowing();
	struct err e = { 0 };

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (filter_load(&p, 1U << 31, NULL, &e) != -EINVAL || !*e.text)
		return 1;
	p.v->code = BPF_LD | BPF_W | BPF_ABS;
	if (filter_load(&p, 0, NULL, &e) != -EINVAL)
		return 2;
	return 0;
}

static int child_without_rights(void)
{
	struct bpf_prog p = allowing();
	struct err e = { 0 };

	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
		return 1;
	return filter_load(&p, 0, NULL, &e) == -EACCES && *e.hint ? 0 : 2;
}

static int child_probe_under_filter(void)
{
	struct bpf_prog p = allowing();
	struct filter_features f;
	struct err e = { 0 };
	int fd = -1;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (filter_load(&p, 0, &fd, &e) < 0 || filter_probe(&f, &e) < 0)
		return 1;
	return f.load_error == 0 && f.listener_error == EBUSY ? 0 : 2;
}

static void test_filter(void)
{
	struct filter_features f = { 0 };
	struct err e = { 0 };

	TAP_INT(in_child(child_listener), 0, "a listener; no second one");
	TAP_INT(in_child(child_bad), 0, "unknown flags and programs are errors");
	TAP_INT(in_child(child_without_rights), 0, "without no_new_privs it is refused, with a hint");
	TAP_INT(in_child(child_probe_under_filter), 0, "under a listener the probe says so");
	TAP_INT(filter_probe(&f, &e), 0, "the probe works");
	TAP_OK(f.filter && f.kill_process && f.ret_errno && f.user_notif && f.log && f.trap && f.trace &&
		       f.kill_thread,
	       "actions");
	TAP_OK(f.tsync && f.flag_log && f.spec_allow && f.new_listener && f.tsync_esrch, "flags");
	TAP_INT(f.data_size, sizeof(struct seccomp_data), "size of the data");
	TAP_OK(f.notif_size >= sizeof(struct seccomp_notif) &&
		       f.resp_size >= sizeof(struct seccomp_notif_resp),
	       "sizes of the notifications");
	TAP_INT(f.load_error, 0, "loading works");
	TAP_INT(f.listener_error, 0, "a listener works");
	TAP_INT(prctl(PR_GET_SECCOMP), 0, "and this process is under no filter");
}

int main(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		return 1;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	if (snprintf(guest, sizeof guest, "%s/../guest/doors", self) >= (int)sizeof guest)
		return 1;
	test_guest();
	test_filter();
	return tap_done();
}
