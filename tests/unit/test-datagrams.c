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
	TAP_INT(call("web", "datagrams interfaces", &text), 0, "interfaces");
	TAP_STR(text, "eth0 10.88.0.12\neth0 fd00::12\nlo 127.0.0.1\nlo ::1\n",
		"one with them has an interface of its own");
}

/* The child of a process: the app of a container that agent-client runs. */
static pid_t app_of(pid_t client)
{
	char path[64];
	AUTO_FREE char *text = NULL;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)client, (int)client);
	if (fd_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return -1;
	return (pid_t)strtol(text, NULL, 10);
}

/* Ends such an app. One that has ended is nobody: 0 and -1 would be many. */
static void end_app(pid_t client)
{
	pid_t app = app_of(client);

	if (TAP_OK(app > 0, "the app is there still"))
		(void)kill(app, SIGTERM);
	(void)seam_wait(client);
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

static void test_self(void)
{
	char *text;

	if (!TAP_OK(call("plain", "datagrams self 10.88.0.10 fd00::10", &text) == 0 && strstr(text, " 0 failed"),
		    "datagrams in one domain are as on Linux"))
		printf("# %s\n", text);
	if (!TAP_OK(call("web", "datagrams self 10.88.0.12 fd00::12", &text) == 0 && strstr(text, " 0 failed"),
		    "also in one that has an interface"))
		printf("# %s\n", text);
	TAP_INT(call("web", "datagrams echo 0.0.0.0 7000 1", &text), EACCES, "a port that may not be served");
	TAP_INT(call("web", "datagrams echo unspec 7000 1", &text), EACCES, "nor at a wildcard without its family");
}

/* The answer to a question. */
static void ask(const char *domain, const char *how, const char *name, int type, const char *want)
{
	char guest[128], *text;

	(void)snprintf(guest, sizeof guest, "datagrams ask %s %s %d", how, name, type);
	TAP_INT(call(domain, guest, &text), 0, "%s asks for %s, type %d, over %s", domain, name, type, how);
	text[strcspn(text, "\n")] = '\0';
	TAP_STR(text, want, "and gets %s", want);
}

#define A 1
#define PTR 12
#define TXT 16
#define AAAA 28
#define ANY 255

static void test_names(void)
{
	static const char *const hows[] = { "udp", "tcp" };

	for (size_t i = 0; i < 2; i++) {
		ask("web", hows[i], "db", A, "code 0 10.88.0.11");
		ask("web", hows[i], "store", A, "code 0 10.88.0.11");
		ask("web", hows[i], "DB.", AAAA, "code 0 fd00::11");
		ask("web", hows[i], "web", A, "code 0 10.88.0.12");
		ask("web", hows[i], "localhost", AAAA, "code 0 ::1");
		ask("web", hows[i], "db", TXT, "code 0");
		ask("web", hows[i], "db", ANY, "code 0");
		ask("web", hows[i], "11.0.88.10.in-addr.arpa", PTR, "code 0 db");
		ask("web", hows[i], "12.0.88.10.in-addr.arpa", PTR, "code 0 web");
		/* Names that its policy does not speak of, whether they are there or not. */
		ask("web", hows[i], "keeper", A, "code 3");
		ask("web", hows[i], "nobody", A, "code 3");
		ask("web", hows[i], "db.example.com", A, "code 3");
		ask("web", hows[i], "1.2.0.192.in-addr.arpa", PTR, "code 3");
		/* A name of a rule that nobody has yet. */
		ask("web", hows[i], "later", A, "code 3");
	}
}

static char *log_of(const char *id)
{
	char text[128];

	(void)snprintf(text, sizeof text, "{\"query\":\"log\",\"id\":\"%s\"}", id);
	return seam_read_all(seam_say(text));
}

static size_t count_of(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

/* Names that no rule allows are on record, each once. Those that a rule speaks of are not. */
static void test_record(void)
{
	int out;
	pid_t pid = seam_run("web", NULL, &out, "datagrams asks NOBODY. later evil.example");
	char *text;

	if (!seam_ready(out))
		return;
	text = log_of("web");
	TAP_INT(count_of(text, "\"call\":\"resolve\""), 2, "two names are on record");
	TAP_INT(count_of(text, "\"attempt\":\"look up nobody\""), 1, "one of a domain");
	TAP_OK(count_of(text, "\"attempt\":\"look up evil.example\"") == 1, "and one of a host");
	TAP_INT(count_of(text, "later"), 0, "not the one that a rule has");
	if (count_of(text, "\"call\":\"resolve\"") != 2)
		printf("# %s\n", text);
	end_app(pid);
	(void)close(out);
}

/* The supervisor, its factory, and its resolver: children of children. */
static pid_t resolver_of(pid_t sup)
{
	return app_of(app_of(app_of(sup)));
}

/* Whatever becomes of the resolver, names come back. */
static void test_restart(pid_t sup)
{
	pid_t first = resolver_of(sup);

	if (!TAP_OK(first > 0, "a resolver runs"))
		return;
	(void)kill(first, SIGKILL);
	ask("web", "udp", "db", A, "code 0 10.88.0.11");
	TAP_OK(resolver_of(sup) > 0 && resolver_of(sup) != first, "another one answers after its end");
	if (resolver_of(sup) > 0)
		(void)kill(resolver_of(sup), SIGKILL);
	ask("web", "tcp", "db", A, "code 0 10.88.0.11");
}

static int send_to(const char *from, const char *how, const char *to, const char *port, char **ret_text)
{
	char guest[128];

	(void)snprintf(guest, sizeof guest, "datagrams send %s %s %s", how, to, port);
	return call(from, guest, ret_text);
}

static int lose(const char *from, const char *to, const char *port)
{
	char guest[128], *text;

	(void)snprintf(guest, sizeof guest, "datagrams lose sendmsg %s %s", to, port);
	return call(from, guest, &text);
}

static void test_domains(void)
{
	static const char *const hows[] = { "connect", "sendto", "sendmsg", "connect:5353", "sendto:5353", "big" };
	char *text;
	int out;
	pid_t db = seam_run("db", NULL, &out, "datagrams echo 0.0.0.0 5353 6");

	if (!seam_ready(out))
		return;
	for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
		TAP_INT(send_to("web", hows[i], "10.88.0.11", "5353", &text), 0, "web sends to db: %s", hows[i]);
		TAP_HAS(text, " from 10.88.0.11", "and hears from its address");
	}
	TAP_INT(seam_wait(db), 0, "db had its six");
	text = seam_read_all(out);
	TAP_INT(count_of(text, "5 from 10.88.0.12\n"), 5, "all from web's address");
	TAP_INT(count_of(text, "60000 from 10.88.0.12\n"), 1, "and one of 60000 bytes");
	db = seam_run("db", NULL, &out, "datagrams echo :: 5353 2");
	(void)seam_ready(out);
	TAP_INT(send_to("web", "sendto", "fd00::11", "5353", &text), 0, "by IPv6");
	TAP_STR(text, "5 from fd00::11\n", "from its IPv6 address");
	TAP_INT(send_to("web", "big:5353", "fd00::11", "5353", &text), 0, "60000 bytes by IPv6");
	TAP_INT(seam_wait(db), 0, "db had its two");
	(void)seam_read_all(out);
}

static void test_denied(void)
{
	char *text;
	int out;
	pid_t db = seam_run("db", NULL, &out, "datagrams wait");

	(void)seam_ready(out);
	TAP_INT(send_to("web", "connect", "10.88.0.11", "5353", &text), ECONNREFUSED, "nobody is at the port");
	TAP_INT(send_to("web", "connect:5353", "fd00::11", "5353", &text), ECONNREFUSED, "nor by IPv6");
	TAP_INT(send_to("web", "sendto", "10.88.0.11", "99", &text), EACCES, "a port that web has no rule for");
	TAP_INT(lose("web", "10.88.0.11", "99"), ETIMEDOUT, "what is not trapped is not delivered");
	TAP_INT(send_to("web", "sendto", "10.88.0.11", "54", &text), EACCES, "a port that db does not open");
	TAP_INT(send_to("web", "sendto", "192.0.2.1", "5353", &text), EACCES, "outside");
	TAP_INT(send_to("evil", "sendto", "10.88.0.11", "5353", &text), EACCES, "evil is not let in");
	TAP_INT(lose("evil", "10.88.0.11", "5353"), ETIMEDOUT, "not by sendmsg either");
	TAP_INT(send_to("plain", "sendto", "10.88.0.11", "5353", &text), EACCES, "who has no rules gets nowhere");
	TAP_INT(send_to("plain", "sendmsg", "10.88.0.11", "5353", &text), ENETUNREACH, "there is not even a way");
	end_app(db);
	(void)close(out);
}

int main(void)
{
	pid_t sup, keeper, holder;
	int out, held;

	seam_init();
	seam_bundle("plain", "{\"version\":1,\"domain\":\"plain\",\"net\":{"
			     "\"address\":[\"10.88.0.10\",\"fd00::10\"],\"rules\":[]}}");
	seam_bundle("db", "{\"version\":1,\"domain\":\"db\",\"net\":{\"address\":[\"10.88.0.11\",\"fd00::11\"],"
			  "\"names\":[\"store\"],\"rules\":["
			  "{\"allow\":\"listen\",\"at\":\":5353\",\"proto\":\"udp\",\"from\":\"web\"}]}}");
	seam_bundle("web", "{\"version\":1,\"domain\":\"web\",\"net\":{\"address\":[\"10.88.0.12\",\"fd00::12\"],"
			   "\"rules\":[{\"allow\":\"connect\",\"to\":[\"db:5353\",\"db:54\"],\"proto\":\"udp\"},"
			   "{\"deny\":\"listen\",\"at\":\":7000\",\"proto\":\"udp\"},"
			   "{\"deny\":\"connect\",\"to\":\"127.0.0.53:*\"},"
			   "{\"allow\":\"connect\",\"to\":\"later:80\"}]}}");
	seam_bundle("evil", "{\"version\":1,\"domain\":\"evil\",\"net\":{\"rules\":["
			    "{\"allow\":\"connect\",\"to\":\"*:*\",\"proto\":\"udp\"}]}}");
	seam_bundle("keeper", "{\"version\":1,\"domain\":\"keeper\",\"net\":{\"rules\":[]}}");
	sup = seam_supervise();
	keeper = seam_run("keeper", NULL, &out, "datagrams wait"); /* so that it is never the last one */
	(void)seam_ready(out);
	test_interfaces();
	test_strangers(keeper);
	test_self();
	test_domains();
	test_denied();
	holder = seam_run("db", NULL, &held, "datagrams wait");
	(void)seam_ready(held);
	test_names();
	test_record();
	test_restart(sup);
	end_app(holder);
	(void)close(held);
	end_app(keeper);
	(void)close(out);
	TAP_INT(seam_wait(sup), 0, "the supervisor ends after the last one");
	rmtree(seam_dir);
	return tap_done();
}
