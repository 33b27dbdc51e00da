/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about what the supervisor does, over the agent's socket, which
 * only its own user and root can reach. An answer is one JSON object a line:
 *
 *   {"query": "sockets", "id": ID}             rows of the socket table (rows.h)
 *   {"query": "domains", "id": ID}             the domains
 *   {"query": "policies", "id": ID}            the same with the policies in force, {"partial": true}:
 *                                              "policy" and, where there is one, "ceiling", each
 *                                              {"name", "text"}, and "hits". Behind it come lines with
 *                                              the rest of them: {"of": "policy", "piece": TEXT},
 *                                              {"hits": {ID: N}} and at last {"whole": true} (telling.h)
 *   {"query": "log", "id": ID, "follow": true} audit records (audit.h): the last
 *                                              ones, then those that come
 *   {"query": "apply", "id": ID, "policy": {"name", "text"}, "dry": false, "gateway": false}
 *                                              another policy for that container (apply.h)
 *
 *   {"query": "asks", "id": ID, "follow": true} questions of calls that wait (asks.h): {"number",
 *                                              "program", "attempt", "line"}; those that wait, then those that come
 *   {"query": "answer", "id": ID, "number": N, "allow": true} the answer to one
 *
 * Without "id": of all containers. The last line is {"end": true}, or
 * {"error": TEXT}, or {"lost": N} for a reader that did not follow: nobody is
 * waited for, and what is kept for one is bounded.
 */
#ifndef VRUN_SUP_QUERY_H
#define VRUN_SUP_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct domain;
struct json_doc;
struct query_reader;
struct sup;

#define QUERY_READERS_MAX 32
#define QUERY_BYTES 327680 /* kept for a reader; more than the records of a domain */
#define QUERY_STALL_MS 2000       /* how long the socket table is kept waiting by one */

struct queries {
	LIST_HEAD(, query_reader) readers;
	unsigned n;
};

void query_init(struct queries *q);
/* Whoever still reads gets what fits into its socket. */
void query_fini(struct sup *s);

/* The message is a question. */
bool query_is(const struct json_doc *doc);
/* Takes the connection, a stream socket, and answers. Keeps nothing of the document. */
void query_serve(struct sup *s, int fd, const struct json_doc *doc);

/* An audit record was made: a line with its end. */
void query_record(struct sup *s, const struct domain *d, const char *line, size_t len);
struct ask;
/* A question has come up. */
void query_question(struct sup *s, const struct domain *d, const struct ask *k);
/* A domain is about to end. */
void query_forget(struct sup *s, const struct domain *d);

/* Milliseconds until query_step() has something to do; -1: it has not. */
int query_timeout(const struct sup *s);
void query_step(struct sup *s);

#endif
