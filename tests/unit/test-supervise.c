/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `vrun supervise` from end to end: tests/guest/agent-client hands it
 * containers as a runtime would, tests/guest/sockets and tests/guest/streams
 * make the calls: once over each transport. Without root everything runs in a
 * user namespace of its own.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "rmtree.h"
#include "tap.h"

static char vrun[PATH_MAX], guest[PATH_MAX], streams[PATH_MAX], client[PATH_MAX], dir[] = "/tmp/vrun-supervise-XXXXXX";
static char sock_path[64], audit_path[64];

static void own_namespace(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];

	if (uid == 0)
		return;
	if (unshare(CLONE_NEWUSER) < 0) {
		printf("1..0 # SKIP no user namespaces for this user\n");
		exit(getenv("VRUN_MUST_WORK") ? 1 : 0);
	}
	(void)fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof map, "0 %u 1\n", uid);
	(void)fd_write_file(AT_FDCWD, "/proc/self/uid_map", map);
	(void)snprintf(map, sizeof map, "0 %u 1\n", gid);
	(void)fd_write_file(AT_FDCWD, "/proc/self/gid_map", map);
}

/* Starts a program whose output comes to *ret_out, or goes to a file. */
static pid_t start(char *const *argv, const char *file, int *ret_out)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		exit(1);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int out = file ? open(file, O_WRONLY | O_CREAT | O_APPEND, 0600) : p[1];

		if (dup2(out, STDOUT_FILENO) < 0)
			_exit(1);
		(void)execv(argv[0], argv);
		_exit(1);
	}
	(void)close(p[1]);
	if (ret_out)
		*ret_out = p[0];
	else
		(void)close(p[0]);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = -1;

	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool can_connect(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", sock_path);
	ok = connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
	(void)close(fd);
	return ok;
}

static pid_t supervise(const char *policy)
{
	char command[] = "supervise", listen_option[] = "--listen", policy_option[] = "-p";
	char *file = policy ? strdup(policy) : NULL;
	char *argv[] = { vrun, command, listen_option, sock_path, file ? policy_option : NULL, file, NULL };
	int notes = inotify_init1(IN_CLOEXEC);
	struct pollfd p = { .fd = notes, .events = POLLIN };
	char buf[512];
	pid_t pid;

	(void)inotify_add_watch(notes, dir, IN_CREATE);
	pid = start(argv, audit_path, NULL);
	while (access(sock_path, F_OK) < 0 && poll(&p, 1, 10000) == 1)
		(void)!read(notes, buf, sizeof buf);
	(void)close(notes);
	/* Between bind and listen, which on a busy machine takes as long as it likes. */
	for (int i = 0; i < 20000 && !can_connect(); i++)
		(void)poll(NULL, 0, 1);
	free(file);
	return pid;
}

/* A bundle with a policy; `net` are the members of its "net" beside the transport. */
static void put(const char *name, const char *transport, const char *net)
{
	char path[PATH_MAX], text[1024];
	int fd;

	(void)snprintf(text, sizeof text,
		       "{\"version\":1,\"domain\":\"%s\",\"net\":{\"transport\":\"%s\",%s}}", name,
		       transport, net);
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/%s/policy.json", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	(void)fd_write_all(fd, text, strlen(text));
	(void)close(fd);
}

/* A container with the policy of that name. */
static pid_t run_program(const char *program, const char *name, int *ret_out, const char *what, const char *a,
			 const char *b, const char *c)
{
	char bundle[PATH_MAX];
	const char *argv[] = { client, sock_path, name, bundle, program, what, a, b, c, NULL };
	char *copy[10] = { 0 };
	pid_t pid;

	(void)snprintf(bundle, sizeof bundle, "%s/%s", dir, name);
	for (int i = 0; argv[i]; i++)
		copy[i] = strdup(argv[i]);
	pid = start(copy, NULL, ret_out);
	for (int i = 0; copy[i]; i++)
		free(copy[i]);
	return pid;
}

static pid_t run(const char *name, int *ret_out, const char *what, const char *a, const char *b, const char *c)
{
	return run_program(guest, name, ret_out, what, a, b, c);
}

static char *read_all(int fd)
{
	static char text[16384];
	size_t len = 0;
	ssize_t n;

	while (len + 1 < sizeof text && (n = read(fd, text + len, sizeof text - len - 1)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	(void)close(fd);
	return text;
}

static void wait_ready(int out)
{
	char line[6];
	size_t n = 0;

	while (n < sizeof line && read(out, line + n, 1) == 1)
		n++;
	TAP_OK(n == sizeof line && memcmp(line, "ready\n", 6) == 0, "the server is ready");
}

static void show_output(const char *text)
{
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, "\n");

		printf("#   %.*s\n", (int)n, s);
		s += n + (s[n] == '\n');
	}
}

static void test_alone(const char *name, const char *own)
{
	int out;
	pid_t pid = run(name, &out, "self", own, NULL, NULL);
	char *text = read_all(out);

	if (!TAP_OK(wait_for(pid) == 0 && strstr(text, " 0 failed"), "sockets as on Linux, in %s", name))
		show_output(text);
}

static void test_streams(const char *what, const char *address, const char *n)
{
	int out;
	pid_t pid = run_program(streams, "alone", &out, what, address, n, NULL);
	char *text = read_all(out);

	if (!TAP_OK(wait_for(pid) == 0, "streams as TCP: %s", what))
		show_output(text);
}

static int call(const char *name, const char *address, const char *port, char **ret_text)
{
	int out;
	pid_t pid = run(name, &out, "call", address, port, NULL);

	*ret_text = read_all(out);
	return wait_for(pid);
}

/* The same without a sandbox, on the machine's loopback: what is expected is Linux's. */
static void test_bare(char *program, char *a, char *b)
{
	char *argv[] = { program, a, b, NULL }, *text;
	int out;
	pid_t pid = start(argv, NULL, &out);

	text = read_all(out);
	if (!TAP_OK(wait_for(pid) == 0 && strstr(text, " 0 failed"), "%s without a sandbox", a))
		show_output(text);
}

/* db serves; web may come in by either family; evil may not, nor does web get to another port. */
static void test_domains(void)
{
	int out4, out6;
	pid_t db = run("db", &out4, "serve", "0.0.0.0", "5432", "2"), six;
	char *text;

	wait_ready(out4);
	TAP_INT(call("web", "10.88.0.11", "5432", &text), 0, "web talks to db");
	TAP_HAS(text, "hello from 10.88.0.11", "and sees its virtual address");
	TAP_INT(call("evil", "10.88.0.11", "5432", &text), EACCES, "evil, which may go anywhere, is not let in");
	TAP_INT(call("web", "10.88.0.11", "5433", &text), EACCES, "web may not go to another port");
	TAP_INT(call("web", "192.0.2.1", "80", &text), EACCES, "nor out");
	TAP_INT(call("web", "127.0.0.1", "5432", &text), ECONNREFUSED, "its loopback is its own");
	TAP_INT(call("web", "::ffff:10.88.0.11", "5432", &text), 0, "by a mapped address");
	TAP_INT(wait_for(db), 0, "db had its two");
	text = read_all(out4);
	TAP_STR(text, "from 10.88.0.10\nfrom 10.88.0.10\n", "both from web's virtual address");
	six = run("db", &out6, "serve", "fd00::11", "5432", "1");
	wait_ready(out6);
	TAP_INT(call("web", "fd00::11", "5432", &text), 0, "IPv6");
	TAP_INT(wait_for(six), 0, "one");
	TAP_STR(read_all(out6), "from fd00::10\n", "from web's");
	six = run("web", &out6, "serve", "0.0.0.0", "80", "1");
	TAP_INT(wait_for(six), EACCES, "web may not serve");
	(void)close(out6);
}

/* A wire does not reach a TCP socket, nor the other way round. */
static void test_mixed(void)
{
	int out;
	pid_t db = run("db", &out, "serve", "0.0.0.0", "5432", "1");
	char *text;

	wait_ready(out);
	TAP_INT(call("other", "10.88.0.11", "5432", &text), EACCES, "another transport does not fit");
	text = read_all(open(audit_path, O_RDONLY | O_CLOEXEC));
	TAP_HAS(text, "\"reason\":\"transport\"", "which is on record");
	TAP_INT(call("web", "10.88.0.11", "5432", &text), 0, "the same does");
	TAP_INT(wait_for(db), 0, "and is served");
	(void)close(out);
}

static void test_audit(void)
{
	char *text = read_all(open(audit_path, O_RDONLY | O_CLOEXEC));

	TAP_HAS(text, "\"id\":\"evil\"", "evil's attempt is on record");
	TAP_HAS(text, "accept from evil", "as what db would have had to accept");
	TAP_HAS(text, "\"call\":\"listen\"", "web's listener too");
	TAP_HAS(text, "\"program\":\"sockets\"", "with the program");
	TAP_HAS(text, "\"line\":\"{ \\\"allow\\\": \\\"connect\\\", \\\"to\\\":", "and the line that would allow it");
}

/* Nonsense sent to the agent ends nothing. */
static void test_nonsense(void)
{
	static const char *const texts[] = { "", "{", "[]", "{\"fds\":[\"seccompFd\"]}",
					     "{\"fds\":[1],\"state\":{\"id\":\"x\"}}" };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", sock_path);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		char c;

		if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
			break;
		(void)fd_write_all(fd, texts[i], strlen(texts[i]));
		(void)shutdown(fd, SHUT_WR);
		TAP_INT(read(fd, &c, 1), 0, "the agent hangs up on \"%s\"", texts[i]);
		(void)close(fd);
	}
}

static void find_programs(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		exit(1);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	(void)snprintf(vrun, sizeof vrun, "%.4000s/../../vrun", self);
	(void)snprintf(guest, sizeof guest, "%.4000s/../guest/sockets", self);
	(void)snprintf(streams, sizeof streams, "%.4000s/../guest/streams", self);
	(void)snprintf(client, sizeof client, "%.4000s/../guest/agent-client", self);
}

static void put_policies(const char *transport, const char *other)
{
	put("db", transport,
	    "\"address\":[\"10.88.0.11\",\"fd00::11\"],"
	    "\"rules\":[{\"allow\":\"listen\",\"at\":\":5432\",\"from\":[\"web\",\"other\"]}]");
	put("web", transport,
	    "\"address\":[\"10.88.0.10\",\"fd00::10\"],"
	    "\"rules\":[{\"allow\":\"connect\",\"to\":\"db:5432\"},{\"deny\":\"listen\",\"at\":\":80\"}]");
	put("evil", transport,
	    "\"rules\":[{\"allow\":\"connect\",\"to\":\"db:*\"},"
	    "{\"allow\":\"connect\",\"to\":\"10.88.0.0/16:*\"}]");
	put("alone", transport,
	    "\"address\":[\"10.88.0.20\",\"fd00::20\"],\"rules\":[{\"allow\":\"listen\",\"at\":\":*\"}]");
	put("keeper", transport, "\"rules\":[]");
	if (other)
		put("other", other, "\"rules\":[{\"allow\":\"connect\",\"to\":\"db:5432\"}]");
}

/* The network namespace of the supervisor, the first child of the process that was called: not ours. */
static int network_of(pid_t front)
{
	AUTO_FREE char *text = NULL;
	struct stat own, theirs;
	AUTO_FD int fd = -1;
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)front, (int)front);
	if (fd_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return -1;
	(void)snprintf(path, sizeof path, "/proc/%ld/ns/net", strtol(text, NULL, 10));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &theirs) < 0 || stat("/proc/self/ns/net", &own) < 0 || own.st_ino == theirs.st_ino)
		return -1;
	return fd_take(&fd);
}

/* Leaves few ports to clients there. False where nobody may. */
static bool narrow(pid_t sup)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = network_of(sup);

		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			_exit(1);
		_exit(fd_write_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", "60000 60039") < 0);
	}
	return wait_for(pid) == 0;
}

static void test_transport(const char *transport, const char *other)
{
	pid_t sup, keeper;
	int out;

	printf("# transport %s\n", transport);
	put_policies(transport, other);
	(void)unlink(audit_path);
	sup = supervise(NULL);
	keeper = run("keeper", &out, "serve", "127.0.0.1", "7", "1"); /* so that it is never the last one */
	wait_ready(out);
	test_nonsense();
	test_alone("alone", "10.88.0.20");
	test_alone("alone", "fd00::20");
	test_streams("127.0.0.1", NULL, NULL);
	test_streams("fd00::20", NULL, NULL);
	test_streams("many", "10.88.0.20", "6000");
	test_domains();
	test_audit();
	if (other)
		test_mixed();
	if (strcmp(transport, "tcp") == 0 && narrow(sup))
		test_streams("ports", "10.88.0.20", "100");
	/* The app is the client's child; it ends with its listener's loss of every task. */
	(void)kill(sup, SIGTERM);
	TAP_INT(wait_for(sup), 0, "the supervisor ends when it is told to");
	TAP_OK(access(sock_path, F_OK) < 0, "and takes its path along");
	TAP_OK(wait_for(keeper) != 0, "an app that waits gets an error then");
	(void)close(out);
	sup = supervise(NULL);
	TAP_INT(call("alone", "127.0.0.1", "9", &(char *){ NULL }), ECONNREFUSED, "a last container");
	TAP_INT(wait_for(sup), 0, "the supervisor ends after it");
}

static bool has_wires(void)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int off = 0;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) == 0;
}

/* An older kernel: the cause and the remedy, and no app. */
static void test_no_wires(void)
{
	int out, status;
	pid_t sup, app;

	put_policies("wire", "tcp");
	sup = supervise(NULL);
	app = run("alone", &out, "call", "127.0.0.1", "9", NULL);
	status = wait_for(app);
	TAP_OK(status != ECONNREFUSED && status != 0, "a policy with wires is refused (%d)", status);
	(void)close(out);
	(void)kill(sup, SIGTERM);
	(void)wait_for(sup);
}

int main(void)
{
	bool wires = has_wires();

	find_programs();
	own_namespace();
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(sock_path, sizeof sock_path, "%s/agent", dir);
	(void)snprintf(audit_path, sizeof audit_path, "%s/audit", dir);
	test_bare(guest, (char[]){ "self" }, NULL);
	test_bare(streams, (char[]){ "127.0.0.1" }, NULL);
	test_transport("tcp", wires ? "wire" : NULL);
	if (wires)
		test_transport("wire", "tcp");
	else
		test_no_wires();
	rmtree(dir);
	return tap_done();
}
