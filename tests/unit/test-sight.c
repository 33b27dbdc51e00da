/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor tells of its sockets, domains and decisions. tests/guest/states has one of each. */
#include "seam.h"

#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>

static pid_t sup;

/* The lines of an answer as an array. */
static json_t *ask(const char *question)
{
	char *text = seam_read_all(seam_say(question)), *line, *rest = text;
	json_t *all = json_array();

	while ((line = strsep(&rest, "\n")) && *line) {
		json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		if (!o)
			printf("# not JSON: %s\n", line);
		(void)json_array_append_new(all, o ? o : json_null());
	}
	return all;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "(none)";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* The row whose local (or remote) address has the port. */
static const json_t *row_at(const json_t *rows, const char *key, const char *port, const char *not_status)
{
	const json_t *o;
	size_t i;

	json_array_foreach(rows, i, o) {
		const char *place = strrchr(text_of(o, key), ':');

		if (place && strcmp(place + 1, port) == 0 && strcmp(text_of(o, "status"), not_status) != 0)
			return o;
	}
	return NULL;
}

static void test_rows(const json_t *rows)
{
	const json_t *row;
	const json_t *last = json_array_get(rows, json_array_size(rows) - 1);

	TAP_OK(json_is_true(json_object_get(last, "end")), "the answer says that it is whole");
	row = row_at(rows, "local", "1001", "");
	TAP_STR(text_of(row, "status"), "bound", "bound");
	TAP_STR(text_of(row, "local"), "10.88.0.20:1001", "by its virtual address");
	TAP_OK(json_is_true(json_object_get(json_object_get(row, "options"), "reuseAddr")), "with its options");
	row = row_at(rows, "local", "1002", "");
	TAP_STR(text_of(row, "status"), "listening", "listening");
	TAP_INT(number_of(row, "connectionQueue"), 2, "two wait");
	TAP_INT(number_of(row, "backlog"), 7, "of seven");
	TAP_STR(text_of(row, "rule"), "here", "by which rule");
	row = row_at(rows, "local", "1003", "terminated");
	TAP_STR(text_of(row, "status"), "connected", "connected");
	TAP_STR(text_of(row, "state"), "ESTABLISHED", "the kernel's word");
	row = row_at(rows, "local", "1004", "terminated");
	TAP_STR(text_of(row, "status"), "receiving", "receiving");
	TAP_INT(number_of(row, "receiveQueue"), 1000, "as many bytes as were sent wait");
	TAP_INT(number_of(row, "bytesIn"), 1000, "and were counted");
	TAP_INT(number_of(row_at(rows, "remote", "1004", "terminated"), "bytesOut"), 1000, "by the sender too");
	row = row_at(rows, "remote", "1005", "terminated");
	TAP_STR(text_of(row, "status"), "sending", "sending");
	TAP_OK(number_of(row, "sendQueue") > 0, "bytes wait (%lld)", (long long)number_of(row, "sendQueue"));
	row = row_at(rows, "remote", "1006", "terminated");
	TAP_STR(text_of(row, "status"), "shutdown", "shutdown");
	row = row_at(rows, "remote", "1007", "terminated");
	TAP_STR(row ? text_of(row, "status") : "disconnected", "disconnected", "disconnected");
	row = row_at(rows, "local", "1003", "connected");
	TAP_STR(text_of(row, "status"), "terminated", "a closed listener is terminated");
	TAP_OK(json_is_null(json_object_get(row, "receiveQueue")), "and has no queues");
	row = row_at(rows, "local", "0", "");
	TAP_STR(text_of(row, "status"), "unconnected", "unconnected");
	TAP_STR(text_of(row, "local"), "[::]:0", "nowhere");
	TAP_STR(text_of(row, "family"), "inet6", "of its family");
}

static void test_domains(void)
{
	json_t *all = ask("{\"query\":\"domains\"}"), *one = ask("{\"query\":\"domains\",\"id\":\"states\"}"),
	       *none = ask("{\"query\":\"domains\",\"id\":\"nobody\"}"), *odd = ask("{\"query\":\"weather\"}");
	const json_t *d = json_array_get(one, 0);

	TAP_INT(json_array_size(all), 3, "two domains and the end");
	TAP_INT(json_array_size(one), 2, "one by its id");
	TAP_STR(text_of(d, "domain"), "st", "it is called so");
	TAP_STR(json_string_value(json_array_get(json_object_get(d, "addresses"), 0)), "10.88.0.20", "its address");
	TAP_STR(text_of(json_array_get(none, 0), "error"), "no container with that id is served here", "an unknown id");
	TAP_STR(text_of(json_array_get(odd, 0), "error"), "there is no such query", "another question");
	json_decref(all);
	json_decref(one);
	json_decref(none);
	json_decref(odd);
}

static json_t *next_line(int fd)
{
	static char line[8192];
	size_t n = 0;

	while (n + 1 < sizeof line && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return json_loads(line, 0, NULL);
}

/* A container whose calls are denied, and which stays. */
static pid_t try(const char *name, const char *how, int *ret_in, int *ret_out)
{
	pid_t pid = seam_run(name, ret_in, ret_out, how);

	(void)seam_ready(*ret_out);
	return pid;
}

static void test_log(void)
{
	int all = seam_say("{\"query\":\"log\",\"follow\":true}"), own, out, in;
	pid_t pid = try("evil", "states try 10.88.0.20 1002 3", &in, &out);
	json_t *o = next_line(all), *once;

	TAP_STR(text_of(o, "domain"), "evil", "who follows all hears of it");
	TAP_STR(text_of(o, "call"), "connect", "by which call");
	TAP_STR(text_of(o, "decision"), "deny", "what was decided");
	TAP_STR(text_of(o, "attempt"), "accept from evil (10.88.0.66) at 10.88.0.20:1002/tcp", "about what");
	TAP_HAS(text_of(o, "line"), "\"from\": [\"evil\"]", "and the line that would allow it");
	json_decref(o);
	(void)close(all);
	once = ask("{\"query\":\"log\",\"id\":\"evil\"}");
	TAP_INT(json_array_size(once), 4, "what was is told later as well, and the end");
	TAP_HAS(text_of(json_array_get(once, 2), "attempt"), "10.88.0.20:1004", "in order");
	json_decref(once);
	once = ask("{\"query\":\"log\",\"id\":\"states\"}");
	TAP_INT(json_array_size(once), 1, "another domain's is its own");
	json_decref(once);
	own = seam_say("{\"query\":\"log\",\"id\":\"evil\",\"follow\":true}");
	for (int i = 0; i < 3; i++)
		json_decref(next_line(own));
	(void)close(in);
	(void)seam_wait(pid);
	o = next_line(own);
	TAP_OK(json_is_true(json_object_get(o, "end")), "a follower hears of the container's end");
	json_decref(o);
	(void)close(own);
	(void)close(out);
}

/* One who does not read is dropped, and told so when it reads at last; nobody else waits. */
static void test_slow_reader(void)
{
	int slow = seam_say("{\"query\":\"log\",\"follow\":true}"), small = 4096, in, out;
	json_t *once, *o = NULL;
	json_int_t heard = 0, lost = -1;
	pid_t pid;

	(void)setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	pid = try("evil", "states try 10.88.0.20 1002 3000", &in, &out);
	once = ask("{\"query\":\"log\",\"id\":\"evil\"}");
	TAP_OK(json_array_size(once) > 300 && json_array_size(once) <= 513, "as many are kept as there is room for (%zu)",
	       json_array_size(once));
	TAP_HAS(text_of(json_array_get(once, json_array_size(once) - 2), "attempt"), ":4001/", "the last ones");
	json_decref(once);
	for (; lost < 0; json_decref(o)) {
		o = next_line(slow);
		if (!o)
			break;
		heard++;
		lost = number_of(o, "lost");
	}
	TAP_OK(lost > 0, "the slow one hears in the end that it lost some (%lld of 3000)", (long long)lost);
	TAP_INT(heard - 1 + lost, 3000, "how many");
	TAP_OK(!next_line(slow), "and is hung up on");
	(void)close(slow);
	(void)close(in);
	(void)close(out);
	(void)seam_wait(pid);
}

/* A domain at its limit gets rid of the rows that it has no sockets for. */
static void test_limit_among_many(void)
{
	int in, out;
	pid_t pid = seam_run("small", &in, &out, "states churn 127.0.0.1 300");

	(void)seam_ready(out);
	(void)close(in);
	(void)close(out);
	TAP_INT(seam_wait(pid), 0, "ten sockets at a time are enough for three hundred connections");
}

/* More rows than fit into what is kept for a reader. */
static void test_many(void)
{
	int in, out, stalled = seam_say("{\"query\":\"sockets\"}"), small = 4096;
	pid_t pid;
	json_t *rows, *o;
	json_int_t lost = -1;

	(void)close(stalled);
	pid = seam_run("many", &in, &out, "states pairs 127.0.0.1 1500");
	if (!seam_ready(out))
		return;
	rows = ask("{\"query\":\"sockets\",\"id\":\"many\"}");
	TAP_INT(json_array_size(rows), 2 * 1500 + 2, "every row is told");
	json_decref(rows);
	stalled = seam_say("{\"query\":\"sockets\",\"id\":\"many\"}");
	(void)setsockopt(stalled, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	(void)poll(&(struct pollfd){ .fd = stalled, .events = POLLIN }, 1, 10000); /* it comes first */
	rows = ask("{\"query\":\"sockets\",\"id\":\"many\"}");
	TAP_INT(json_array_size(rows), 2 * 1500 + 2, "also behind one who does not read");
	json_decref(rows);
	for (; lost < 0; json_decref(o)) {
		o = next_line(stalled);
		if (!o)
			break;
		lost = number_of(o, "lost");
	}
	TAP_OK(lost > 0, "who hears what it lost (%lld rows)", (long long)lost);
	(void)close(stalled);
	test_limit_among_many();
	(void)close(in);
	(void)close(out);
	(void)seam_wait(pid);
}

int main(void)
{
	int in, out, states_in, states_out;
	pid_t keeper, states;
	json_t *rows;

	seam_init();
	seam_bundle("states", "{\"version\":1,\"domain\":\"st\",\"net\":{\"address\":[\"10.88.0.20\"],\"rules\":["
			      "{\"id\":\"here\",\"allow\":\"listen\",\"at\":\":*\",\"from\":[\"lb\"]}]}}");
	seam_bundle("evil", "{\"version\":1,\"domain\":\"evil\",\"net\":{\"address\":[\"10.88.0.66\"],\"rules\":["
			    "{\"allow\":\"connect\",\"to\":\"*:*\"}]}}");
	seam_bundle("many", "{\"version\":1,\"domain\":\"many\",\"net\":{\"rules\":[]},"
			    "\"limits\":{\"sockets\":10000}}");
	seam_bundle("small", "{\"version\":1,\"domain\":\"small\",\"net\":{\"rules\":[]},"
			     "\"limits\":{\"sockets\":10}}");
	seam_bundle("keeper", "{\"version\":1,\"domain\":\"keeper\",\"net\":{\"rules\":[]}}");
	sup = seam_supervise();
	keeper = seam_run("keeper", &in, &out, "states try 127.0.0.1 1 0");
	(void)seam_ready(out);
	states = seam_run("states", &states_in, &states_out, "states all 10.88.0.20");
	if (seam_ready(states_out)) {
		rows = ask("{\"query\":\"sockets\",\"id\":\"states\"}");
		test_rows(rows);
		json_decref(rows);
		test_domains();
		test_log();
		test_slow_reader();
		test_many();
	}
	(void)close(states_in);
	TAP_INT(seam_wait(states), 0, "the guest had what it wanted");
	(void)close(states_out);
	(void)close(in);
	TAP_INT(seam_wait(keeper), 0, "the last one too");
	(void)close(out);
	TAP_INT(seam_wait(sup), 0, "the supervisor ends after it");
	rmtree(seam_dir);
	return tap_done();
}
