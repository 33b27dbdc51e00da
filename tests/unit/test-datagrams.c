/* SPDX-License-Identifier: Apache-2.0 */
/* What containers that a supervisor serves have of a network beside their streams; tests/guest/datagrams
 * makes the calls. */
#include "seam.h"

static int call(const char *name, const char *guest, char **ret_text)
{
	int out;
	pid_t pid = seam_run(name, NULL, &out, guest);

	*ret_text = seam_read_all(out);
	return seam_wait(pid);
}

static void test_interfaces(void)
{
	char *text;

	TAP_INT(call("plain", "datagrams interfaces", &text), 0, "interfaces");
	TAP_STR(text, "lo 10.88.0.10\nlo 127.0.0.1\nlo ::1\nlo fd00::10\n",
		"a domain without rules for UDP has its addresses on lo");
}

/* The app of a container that agent-client runs. */
static pid_t app_of(pid_t client)
{
	char path[64];
	AUTO_FREE char *text = NULL;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)client, (int)client);
	if (fd_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return -1;
	return (pid_t)strtol(text, NULL, 10);
}

/* A container in somebody else's network is not taken: its calls have nobody who answers them. */
static void test_strangers(pid_t keeper)
{
	char path[64], *text;

	TAP_INT(call("plain", "datagrams stream", &text), 0, "a container with a network of its own is served");
	(void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)app_of(keeper));
	(void)setenv("AGENT_CLIENT_NET", path, 1);
	TAP_INT(call("plain", "datagrams stream", &text), ENOSYS, "one in another's network is refused");
	(void)unsetenv("AGENT_CLIENT_NET");
}

int main(void)
{
	pid_t sup, keeper;
	int out;

	seam_init();
	seam_bundle("plain", "{\"version\":1,\"domain\":\"plain\",\"net\":{"
			     "\"address\":[\"10.88.0.10\",\"fd00::10\"],\"rules\":[]}}");
	seam_bundle("keeper", "{\"version\":1,\"domain\":\"keeper\",\"net\":{\"rules\":[]}}");
	sup = seam_supervise();
	keeper = seam_run("keeper", NULL, &out, "datagrams wait"); /* so that it is never the last one */
	(void)seam_ready(out);
	test_interfaces();
	test_strangers(keeper);
	(void)kill(app_of(keeper), SIGTERM);
	(void)seam_wait(keeper);
	(void)close(out);
	TAP_INT(seam_wait(sup), 0, "the supervisor ends after the last one");
	rmtree(seam_dir);
	return tap_done();
}
