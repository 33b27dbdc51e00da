/* SPDX-License-Identifier: Apache-2.0 */
/* All ports that policies allow, against the decision at each; hostile names in a graph. */
#include <stdlib.h>

#include "model/graph.h"
#include "model/policy_reach.h"
#include "policy-gen.h"

static struct err err;

static bool random_loaded(struct policy *p)
{
	struct rule rules[RULES_MAX];
	unsigned n = random_policy(rules);
	char *text = policy_json(rules, n, false, NULL);
	int rc = load(p, text, &err);

	free(text);
	return rc == 0;
}

/* At how many ports the set and the decision differ. */
static unsigned compare_one(const struct policy *p, const struct policy *ceiling)
{
	struct arena arena = { 0 };
	struct port_set set;
	struct policy_verdict v;
	struct try t = random_try();
	struct real r;
	unsigned bad = 0;

	make_real(&t, &r);
	if (policy_reach(p, ceiling, &r.a, &arena, &set, &err) < 0)
		return 1;
	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
		r.a.port = (uint16_t)probes[i];
		policy_decide_bounded(p, ceiling, &r.a, &v);
		bad += v.allow != ports_have(&set, r.a.port);
	}
	arena_fini(&arena);
	return bad;
}

static unsigned compare_pair(const struct policy *p, const struct policy *q)
{
	static const char *const name[] = { "a" };
	struct addr one, two;
	struct policy_side client = { .policy = p, .addr = &one }, server = { .policy = q, .addr = &two, .names = name, .n_names = 1 };
	struct policy_pair_verdict v;
	struct port_set both, half;
	struct arena arena = { 0 };
	unsigned bad = 0;

	if (addr_parse("10.88.0.10", &one, &err) < 0 || addr_parse("10.1.2.3", &two, &err) < 0 ||
	    policy_reach_pair(&client, &server, POLICY_UDP, &arena, &both, &half, &err) < 0)
		return 1;
	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
		uint16_t port = (uint16_t)probes[i];

		policy_decide_pair(&client, &server, POLICY_UDP, port, &v);
		bad += v.allow != ports_have(&both, port);
		bad += (v.client.allow && !v.allow) != ports_have(&half, port);
	}
	arena_fini(&arena);
	return bad;
}

static void test_reach(void)
{
	unsigned one = 0, pair = 0, n = 0;

	seed_random();
	while (n < 300) {
		struct policy p, q;

		if (!random_loaded(&p))
			continue;
		if (random_loaded(&q)) {
			n++;
			one += compare_one(&p, NULL) + compare_one(&p, &q);
			pair += compare_pair(&p, &q);
			policy_fini(&q);
		}
		policy_fini(&p);
	}
	TAP_INT(one, 0, "the ports of a party are those that the decision allows");
	TAP_INT(pair, 0, "and those of two domains");
}

static char *dot_of(const struct graph *g)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	graph_write_dot(g, f);
	if (fclose(f) != 0)
		abort();
	return text;
}

static void test_texts(void)
{
	struct graph g = { 0 };
	char *dot;

	TAP_INT(graph_add_seen(&g, "a\"]; evil [label=\"", "x&lt;\\N\n\033[31m", GRAPH_DENIED, POLICY_TCP, 25, 2, &err), 0, "takes any name");
	TAP_INT(graph_add_seen(&g, "a\"]; evil [label=\"", /* NOLINT(misc-misleading-bidirectional): as somebody would */ "\xe2\x80\xaegnp.exe", GRAPH_DID, POLICY_UDP, 53, 1, &err), 0, "takes any name");
	dot = dot_of(&g);
	TAP_HAS(dot, "label=\"a\\\"]; evil [label=\\\"\"", "quotes are escaped");
	TAP_HAS(dot, "x&amp;lt;\\\\x5cN\\\\x0a\\\\x1b[31m", "so are entities, backslashes and what is no character");
	TAP_HAS(dot, "\"\\\\xe2\\\\x80\\\\xaegnp.exe\"", "and what turns text around");
	TAP_HAS(dot, "25/tcp (2)", "what happened more than once is counted");
	free(dot);
	TAP_INT(graph_add_open(&g, "web", "db", POLICY_TCP, 80, &err), 0, "an open connection");
	TAP_INT(graph_add_open(&g, "web", "db", POLICY_TCP, 80, &err), 0, "and another one");
	TAP_INT(graph_add_seen(&g, "web", "db", GRAPH_DID, POLICY_TCP, 443, 5, &err), 0, "some on record");
	TAP_INT(graph_add_open(&g, "web", "db", POLICY_TCP, 443, &err), 0, "one of which is open");
	dot = dot_of(&g);
	TAP_HAS(dot, "80/tcp (2)\\n443/tcp (5)", "is counted once");
	free(dot);
	graph_fini(&g);
}

static void test_bounds(void)
{
	struct graph g = { 0 };
	char name[32];
	char *dot;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 2 * GRAPH_NODES_MAX; i++) {
		(void)snprintf(name, sizeof name, "10.0.%u.%u", i / 256, i % 256);
		rc = graph_add_seen(&g, "web", name, GRAPH_DENIED, POLICY_TCP, 1, 1, &err);
	}
	TAP_INT(rc, 0, "a flood is no failure");
	TAP_INT(g.n_nodes, GRAPH_NODES_MAX, "nodes are bounded");
	dot = dot_of(&g);
	TAP_HAS(dot, "401 more are not drawn", "what is left out is said");
	free(dot);
	for (unsigned i = 0; rc == 0 && i < 65535; i++)
		rc = graph_add_seen(&g, "web", "10.0.0.1", GRAPH_DENIED, POLICY_TCP, (uint16_t)i, 1, &err);
	TAP_INT(rc, 0, "nor are all ports");
	graph_fini(&g);
}

int main(void)
{
	test_reach();
	test_texts();
	test_bounds();
	return tap_done();
}
