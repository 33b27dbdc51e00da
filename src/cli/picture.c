/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/picture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"

#define RECORD_MAX (1U << 20) /* bytes of a line */

static int begin(struct picture *p, struct err *e)
{
	*p = (struct picture){ .sockets = json_array(), .records = json_array() };
	return p->sockets && p->records ? 0 : err_num(e, ENOMEM, "graph");
}

void picture_fini(struct picture *p)
{
	graph_fini(&p->graph);
	running_fini(&p->running);
	for (size_t i = 0; i < p->n_policies; i++)
		policy_fini(&p->policies[i]);
	free(p->policies);
	free(p->list);
	json_decref(p->sockets);
	json_decref(p->records);
}

/* --- gathering --------------------------------------------------------------------------- */

static int keep(void *ctx, json_t *o)
{
	json_t *list = ctx;

	if (json_array_size(list) >= PICTURE_ROWS_MAX)
		(void)json_array_remove(list, 0);
	return json_array_append(list, o) == 0 ? 0 : -ENOMEM;
}

int picture_of_run(struct picture *p, const struct ask_whom *whom, struct err *e)
{
	struct ask_whom by = *whom;
	struct ask_targets t;
	int rc = begin(p, e);

	if (rc == 0)
		rc = running_load(&p->running, whom, e);
	if (rc < 0)
		return rc;
	p->fabric = p->running.fabric;
	by.id = whom->path || whom->fabric ? NULL : whom->id;
	rc = ask_whom(&by, &t, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < t.n; i++) {
		rc = ask_each(t.v[i].path, "sockets", NULL, false, keep, p->sockets, e);
		if (rc == 0)
			rc = ask_each(t.v[i].path, "log", NULL, false, keep, p->records, e);
	}
	ask_targets_fini(&t);
	return rc == -ENOMEM && !e->num ? err_num(e, ENOMEM, "graph") : rc;
}

int picture_of_files(struct picture *p, char *const *paths, size_t n, struct err *e)
{
	int rc = begin(p, e);

	if (rc < 0)
		return rc;
	p->policies = calloc(n + 1, sizeof *p->policies);
	p->list = calloc(n + 1, sizeof(void *));
	if (!p->policies || !p->list)
		return err_num(e, ENOMEM, "policies");
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = policy_load(&p->policies[i], AT_FDCWD, paths[i], NULL, e);
		if (rc == 0)
			p->list[p->n_policies++] = &p->policies[i];
	}
	p->fabric = (struct fabric){ .others = p->list, .n_others = p->n_policies };
	return rc;
}

static int read_log(struct picture *p, FILE *f, const char *name, struct err *e)
{
	AUTO_FREE char *line = NULL;
	size_t room = 0, number = 0;
	int rc = 0;
	ssize_t n;

	while (rc == 0 && (n = getline(&line, &room, f)) > 0) {
		json_t *o = n <= (ssize_t)RECORD_MAX ? json_loads(line, 0, NULL) : NULL;

		number++;
		if (!json_is_object(o) || !*ask_string(o, "decision"))
			rc = err_set(e, EINVAL, "%s:%zu: not an audit record", name, number);
		else
			rc = keep(p->records, o);
		json_decref(o);
	}
	if (rc == -ENOMEM)
		(void)err_num(e, ENOMEM, "%s", name);
	return rc == 0 && ferror(f) ? err_sys(e, "%s", name) : rc;
}

int picture_add_log(struct picture *p, const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int rc;

	if (!f)
		return err_sys(e, "%s", path);
	rc = read_log(p, f, path, e);
	if (f != stdin)
		(void)fclose(f);
	return rc;
}

/* --- what happened ---------------------------------------------------------------------------- */

/* The domain of a virtual address, or NULL. */
static const struct policy *owner(const struct fabric *f, const struct addr *a)
{
	for (size_t i = 0; i <= f->n_others; i++) {
		const struct policy *p = i < f->n_others ? f->others[i] : f->self;

		for (size_t k = 0; p && k < p->n_addresses; k++)
			if (addr_equal(&p->addresses[k], a))
				return p;
	}
	return NULL;
}

static const struct policy *by_file(const struct fabric *f, const char *file)
{
	for (size_t i = 0; i <= f->n_others; i++) {
		const struct policy *p = i < f->n_others ? f->others[i] : f->self;

		if (p && p->file && file && strcmp(p->file, file) == 0)
			return p;
	}
	return NULL;
}

static const char *name_of(const struct policy *p)
{
	return !p ? NULL : p->n_names ? p->names[0] : p->file;
}

/* Whom an audit record is about, when it is one of the others. */
static const char *other_of(const struct picture *p, const json_t *o)
{
	const char *what = ask_string(o, "what"), *peer = ask_string(o, "peer"), *name;
	struct addr a;

	if (strcmp(what, "accept") != 0)
		return strcmp(ask_string(o, "reason"), "own") == 0 || strcmp(what, "listen") == 0 ? "" : peer;
	/* The record is the client's, the denial the server's. */
	name = addr_parse(ask_string(o, "local"), &a, NULL) == 0 ? name_of(owner(&p->fabric, &a)) : NULL;
	return name ?: name_of(by_file(&p->fabric, ask_string(o, "policy"))) ?: "";
}

static int draw_record(struct picture *p, const json_t *o, struct err *e)
{
	bool denied = strcmp(ask_string(o, "decision"), "deny") == 0;
	enum policy_proto proto = strcmp(ask_string(o, "proto"), "udp") == 0 ? POLICY_UDP : POLICY_TCP;
	const char *to = other_of(p, o), *from = ask_string(o, "domain");
	long long port = ask_int(o, "port");

	if (!*to || port < 0 || port > UINT16_MAX || (!denied && strcmp(ask_string(o, "what"), "resolve") == 0))
		return 0;
	return graph_add_seen(&p->graph, *from ? from : ask_string(o, "id"), to, denied ? GRAPH_DENIED : GRAPH_DID,
			      proto, (uint16_t)port, 1, e);
}

/* "10.88.0.11:5432", "[fd00::1]:80". */
static bool parse_place(const char *text, struct addr *ret, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	char host[ADDR_TEXT_MAX + 2];
	uint64_t port;
	size_t n;

	if (!colon || (size_t)(colon - text) >= sizeof host || num_parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0)
		return false;
	n = (size_t)(colon - text);
	if (n > 2 && *text == '[')
		(void)snprintf(host, sizeof host, "%.*s", (int)n - 2, text + 1);
	else
		(void)snprintf(host, sizeof host, "%.*s", (int)n, text);
	*ret_port = (uint16_t)port;
	return addr_parse(host, ret, NULL) == 0;
}

/* Whoever listens at the place where the row's connection ends is the one who was connected to. */
static bool came_in(const struct picture *p, const json_t *row)
{
	const char *local = ask_string(row, "local"), *port = strrchr(local, ':'), *other;
	const json_t *o;
	size_t i;

	json_array_foreach(p->sockets, i, o) {
		other = strrchr(ask_string(o, "local"), ':');
		if (port && other && strcmp(port, other) == 0 && strcmp(ask_string(o, "status"), "listening") == 0 &&
		    strcmp(ask_string(o, "container"), ask_string(row, "container")) == 0)
			return true;
	}
	return false;
}

static int draw_socket(struct picture *p, const json_t *row, struct err *e)
{
	bool udp = strcmp(ask_string(row, "protocol"), "udp") == 0;
	const char *from = ask_string(row, "domain"), *to;
	char text[ADDR_TEXT_MAX];
	struct addr a;
	uint16_t port;

	if (!parse_place(ask_string(row, "remote"), &a, &port) || port == 0)
		return 0;
	/* Of a flow the other side has no rule. */
	if (udp ? !*ask_string(row, "rule") : came_in(p, row))
		return 0;
	to = name_of(owner(&p->fabric, &a));
	if (to && strcmp(to, from) == 0)
		return 0; /* with itself */
	if (!to && addr_kind(&a) == ADDR_LOOPBACK)
		return 0;
	return graph_add_open(&p->graph, from, to ?: addr_format(&a, text, sizeof text), udp ? POLICY_UDP : POLICY_TCP,
			      port, e);
}

int picture_draw(struct picture *p, struct err *e)
{
	const json_t *o;
	int rc = graph_add_policies(&p->graph, &p->fabric, e);
	size_t i;

	json_array_foreach(p->records, i, o)
		rc = rc < 0 ? rc : draw_record(p, o, e);
	json_array_foreach(p->sockets, i, o)
		rc = rc < 0 ? rc : draw_socket(p, o, e);
	return rc;
}
