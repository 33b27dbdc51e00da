/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/query.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/json.h"
#include "sup/apply.h"
#include "sup/rows.h"
#include "sup/sup.h"
#include "sup/telling.h"

enum kind { KIND_SOCKETS, KIND_DOMAINS, KIND_POLICIES, KIND_LOG, KIND_ASKS, KIND_ANSWER, KIND_APPLY, KINDS };
static const char *const kinds[KINDS] = { "sockets", "domains", "policies", "log", "asks", "answer", "apply" };

struct query_reader {
	LIST_ENTRY(query_reader) link;
	struct watch watch;
	struct survey_job job;
	struct sup *sup;
	int fd; /* owned */
	enum kind kind;
	char *id; /* owned; NULL: all containers */
	bool surveying, follow;
	bool writing;    /* it is watched for room */
	bool over;       /* the last line is put; it goes when all is written */
	struct telling telling; /* POLICIES: of the domain before the next */
	uint64_t told;   /* rows */
	uint64_t lost;   /* lines that found no room; with the first one nothing more is put */
	uint32_t next;   /* DOMAINS, POLICIES and LOG: the number of the next domain to tell of */
	unsigned bucket; /* SOCKETS: of flows, when streams are told */
	int64_t since;   /* when it last took something, in milliseconds */
	char *out;       /* owned; QUERY_BYTES */
	size_t at, len;  /* what is still to be written */
};

/* --- readers --------------------------------------------------------------------- */

static void reader_free(struct query_reader *r)
{
	struct sup *s = r->sup;

	if (r->surveying)
		survey_remove(&s->survey, &r->job);
	loop_remove(&s->loop, r->fd, &r->watch);
	LIST_REMOVE(r, link);
	s->queries.n--;
	fd_close(&r->fd);
	telling_end(&r->telling);
	free(r->id);
	free(r->out);
	free(r);
}

static size_t room(const struct query_reader *r)
{
	return QUERY_BYTES - r->len;
}

static void put(struct query_reader *r, const char *line, size_t len)
{
	if ((r->lost && !r->over) || len > room(r)) {
		r->lost++;
		return;
	}
	if (r->at + r->len + len > QUERY_BYTES) {
		memmove(r->out, r->out + r->at, r->len);
		r->at = 0;
	}
	memcpy(r->out + r->at + r->len, line, len);
	r->len += len;
}

static void put_json(struct query_reader *r, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(o);
	if (!text)
		return;
	text[len] = '\n'; /* in place of its end */
	put(r, text, len + 1);
	free(text);
}

/* Not for one that has lost something: it hears of that instead. */
static void put_last(struct query_reader *r, json_t *o)
{
	put_json(r, o);
	r->over = r->lost == 0;
}

/* There is more to tell, which is told when there is room for it: also when all that was told is written. */
static bool has_more(const struct query_reader *r)
{
	if (r->over || r->lost || r->surveying)
		return false;
	return r->kind == KIND_SOCKETS || r->telling.on ||
	       ((r->kind == KIND_DOMAINS || r->kind == KIND_POLICIES) && r->next <= UINT16_MAX);
}

/* Writes what the socket takes. False: the reader is gone, and freed. */
static bool flush(struct query_reader *r)
{
	ssize_t n = 1;
	bool wants;

	while (r->len && n > 0) {
		n = send(r->fd, r->out + r->at, r->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			r->at += (size_t)n;
			r->len -= (size_t)n;
			r->since = loop_now();
		}
		if (r->len == 0)
			r->at = 0;
		if (r->len == 0 && r->lost && !r->over) {
			r->over = true;
			put_json(r, json_pack("{s:I}", "lost", (json_int_t)r->lost));
		}
	}
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || (r->len == 0 && r->over)) {
		reader_free(r);
		return false;
	}
	wants = r->len != 0 || has_more(r);
	if (wants != r->writing) {
		r->writing = wants;
		loop_change(&r->sup->loop, r->fd, r->writing ? EPOLLOUT : 0, &r->watch);
	}
	return true;
}

static bool is_about(const struct query_reader *r, const struct domain *d)
{
	return !r->id || strcmp(r->id, d->id) == 0;
}

/* The domain with the least number from `next` on that the reader asks for. */
static struct domain *next_domain(const struct query_reader *r)
{
	struct domain *d, *best = NULL;

	LIST_FOREACH(d, &r->sup->domains, link)
		if (d->number >= r->next && is_about(r, d) && (!best || d->number < best->number))
			best = d;
	return best;
}

/* --- the socket table ------------------------------------------------------------ */

static struct query_reader *of_job(struct survey_job *j)
{
	return (struct query_reader *)((char *)j - offsetof(struct query_reader, job));
}

static bool has_room(struct survey_job *j)
{
	return room(of_job(j)) >= QUERY_BYTES / 2;
}

static void put_row(struct survey_job *j, struct vsk *v, const struct sockdiag_entry *e)
{
	struct query_reader *r = of_job(j);
	char line[ROWS_LINE_MAX];

	if (!is_about(r, v->domain))
		return;
	put(r, line, rows_json(v, e, line));
	r->told++;
}

/* Datagrams: a flow is told for each side of it that is asked for. They may go on later. */
static void put_flows(struct query_reader *r)
{
	const struct flows *all = &r->sup->flows;
	char line[ROWS_LINE_MAX];
	const struct flow *f;

	for (; r->bucket < FLOW_BUCKETS && room(r) > QUERY_BYTES / 2; r->bucket++)
		LIST_FOREACH(f, &all->buckets[r->bucket], by_hash) {
			if (f->denied)
				continue;
			if (is_about(r, f->from))
				put(r, line, rows_flow_json(f, false, line));
			if (f->to && is_about(r, f->to))
				put(r, line, rows_flow_json(f, true, line));
		}
	if (r->bucket == FLOW_BUCKETS)
		put_last(r, json_pack("{s:b}", "end", 1));
}

static void survey_ended(struct survey_job *j)
{
	struct query_reader *r = of_job(j);

	r->surveying = false;
	put_flows(r);
	(void)flush(r);
}

/* One who does not read holds up others who ask, so it is dropped. */
static void check_stall(struct query_reader *r)
{
	size_t all;

	if (has_room(&r->job) || loop_now() - r->since < QUERY_STALL_MS)
		return;
	survey_remove(&r->sup->survey, &r->job);
	r->surveying = false;
	r->next = 0;
	all = !r->id ? r->sup->table.n : next_domain(r) ? next_domain(r)->n_rows : 0;
	r->lost += all > r->told ? all - r->told : 1;
	(void)flush(r);
}

/* --- domains and records ----------------------------------------------------------- */

static void put_domain(struct query_reader *r, const struct domain *d)
{
	json_t *names = json_array(), *addresses = json_array();
	char text[ADDR_TEXT_MAX];
	json_t *o;

	for (size_t i = 0; i < d->n_names; i++)
		(void)json_array_append_new(names, json_string(d->names[i]));
	for (size_t i = 0; i < d->n_virtual; i++)
		(void)json_array_append_new(addresses,
					    json_string(addr_format(&d->virtual[i], text, sizeof text)));
	o = json_pack("{s:s, s:s, s:o, s:o, s:s, s:I, s:I, s:I, s:I}", "domain",
		      d->n_names ? d->names[0] : "", "container", d->id, "names", names, "addresses", addresses,
		      "transport", policy_transport_name(d->policy.transport), "sockets", (json_int_t)d->n_rows,
		      "pending", (json_int_t)d->n_waits, "traps", (json_int_t)d->n_traps, "denied",
		      (json_int_t)d->n_denied);
	if (o)
		(void)json_object_set_new(o, "published", publish_json(d));
	if (o && r->kind == KIND_POLICIES) {
		(void)json_object_set_new(o, "generation", json_integer(d->generation));
		if (telling_begin(&r->telling, d, o) < 0)
			r->lost++;
	}
	put_json(r, o);
}

static void put_records(struct query_reader *r, const struct domain *d)
{
	const struct trail_record *t;

	STAILQ_FOREACH(t, &d->trail.records, link)
		put(r, t->text, t->len);
}

/* Tells of the next domains while there is room for one more. False: it is gone. */
static bool refill(struct query_reader *r)
{
	struct domain *d = NULL;
	bool log = r->kind == KIND_LOG;

	if (r->kind == KIND_SOCKETS) {
		if (!r->over && !r->lost)
			put_flows(r);
		return flush(r);
	}
	while (!r->over && !r->lost && (r->next <= UINT16_MAX || r->telling.on) &&
	       (log ? r->len == 0 : room(r) > QUERY_BYTES / 2)) {
		if (r->telling.on) {
			json_t *o = telling_next(&r->telling);

			r->lost += o == NULL;
			put_json(r, o);
			continue;
		}
		d = next_domain(r);
		if (!d) {
			r->next = UINT16_MAX + 1U;
			if (!r->follow)
				put_last(r, json_pack("{s:b}", "end", 1));
			break;
		}
		r->next = d->number + 1U;
		if (log)
			put_records(r, d);
		else
			put_domain(r, d);
		if (log && !flush(r))
			return false;
	}
	return flush(r);
}

void query_record(struct sup *s, const struct domain *d, const char *line, size_t len)
{
	struct query_reader *r = LIST_FIRST(&s->queries.readers), *next;

	for (; r; r = next) {
		next = LIST_NEXT(r, link);
		/* What is not told of yet is in the domain's trail. */
		if (r->kind != KIND_LOG || !r->follow || r->over || d->number >= r->next || !is_about(r, d))
			continue;
		put(r, line, len);
		(void)flush(r);
	}
}

void query_question(struct sup *s, const struct domain *d, const struct ask *k)
{
	struct query_reader *r = LIST_FIRST(&s->queries.readers), *next;

	for (; r; r = next) {
		next = LIST_NEXT(r, link);
		if (r->kind != KIND_ASKS || r->over || !is_about(r, d))
			continue;
		put(r, k->text, strlen(k->text));
		(void)flush(r);
	}
}

void query_forget(struct sup *s, const struct domain *d)
{
	struct query_reader *r = LIST_FIRST(&s->queries.readers), *next;

	for (; r; r = next) {
		next = LIST_NEXT(r, link);
		if ((r->kind != KIND_LOG && r->kind != KIND_ASKS) || !r->id || r->over || !is_about(r, d))
			continue;
		if (r->kind == KIND_LOG && r->next <= d->number)
			put_records(r, d);
		put_last(r, json_pack("{s:b}", "end", 1));
		(void)flush(r);
	}
}

/* --- questions --------------------------------------------------------------------- */

static void reader_ready(struct watch *w, uint32_t events)
{
	struct query_reader *r = (struct query_reader *)((char *)w - offsetof(struct query_reader, watch));

	if (events & (EPOLLHUP | EPOLLERR))
		reader_free(r);
	else if (flush(r) && !r->surveying)
		(void)refill(r);
}

/* Makes room for one more: who has lost lines already is the first to go. */
static bool may_enter(struct sup *s)
{
	struct query_reader *r;

	if (s->queries.n < QUERY_READERS_MAX)
		return true;
	LIST_FOREACH(r, &s->queries.readers, link)
		if (r->lost) {
			reader_free(r);
			return true;
		}
	return false;
}

static struct query_reader *reader_new(struct sup *s, int *fd)
{
	struct query_reader *r = may_enter(s) ? calloc(1, sizeof *r) : NULL;

	if (r)
		r->out = malloc(QUERY_BYTES);
	if (!r || !r->out) {
		free(r);
		return NULL;
	}
	r->sup = s;
	r->watch = (struct watch){ reader_ready };
	r->since = loop_now();
	if (loop_add(&s->loop, *fd, 0, &r->watch) < 0) {
		free(r->out);
		free(r);
		return NULL;
	}
	r->fd = fd_take(fd);
	LIST_INSERT_HEAD(&s->queries.readers, r, link);
	s->queries.n++;
	return r;
}

static int parse(struct query_reader *r, const struct json_doc *doc, struct err *e)
{
	static const char *const keys[] = { "query", "id", "follow", "policy", "dry", "gateway", "number",
					   "allow", NULL };
	struct jat root = json_root(doc);
	const char *what = NULL, *id = NULL;
	int rc = json_known_keys(&root, keys, e);

	if (rc == 0)
		rc = json_get_string(&root, "query", &what, e);
	if (rc >= 0)
		rc = json_get_string(&root, "id", &id, e);
	if (rc >= 0)
		rc = json_get_bool(&root, "follow", &r->follow, e);
	if (rc < 0)
		return rc;
	for (r->kind = 0; r->kind < KINDS && (!what || strcmp(kinds[r->kind], what) != 0); r->kind++)
		;
	if (r->kind == KINDS)
		return err_set(e, EINVAL, "there is no such query");
	r->id = id ? strdup(id) : NULL;
	if (id && !r->id)
		return err_num(e, ENOMEM, "query");
	if (id && !next_domain(r))
		return err_set(e, ENOENT, "no container with that id is served here");
	return 0;
}

static int read_request(const struct json_doc *doc, struct apply_request *ret, struct err *e)
{
	struct jat root = json_root(doc), policy;
	int rc = json_get_object(&root, "policy", &policy, e);

	if (rc == 1)
		rc = json_get_string(&policy, "name", &ret->name, e);
	if (rc == 1)
		rc = json_get_string(&policy, "text", &ret->text, e);
	if (rc >= 0)
		rc = json_get_bool(&root, "dry", &ret->dry, e);
	if (rc >= 0)
		rc = json_get_bool(&root, "gateway", &ret->gateway, e);
	if (rc < 0)
		return rc;
	return ret->name && ret->text ? 0 : err_set(e, EINVAL, "the policy's name or text is missing");
}

/* One answer, at once: the policy is in force when it is written. */
static void serve_apply(struct query_reader *r, const struct json_doc *doc)
{
	struct domain *d = r->id ? next_domain(r) : NULL;
	struct revoked cut = { 0 };
	struct apply_request how = { 0 };
	struct err e = { 0 };
	int rc = d ? read_request(doc, &how, &e) : err_set(&e, EINVAL, "for which container?");

	if (rc == 0)
		rc = apply_policy(r->sup, d, &how, &cut, &e);
	if (rc < 0) {
		put_last(r, json_pack("{s:s, s:s}", "error", e.text, "hint", e.hint));
		return;
	}
	put_json(r, json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "applied", !how.dry, "generation",
			      (json_int_t)d->generation, "connections", (json_int_t)cut.streams, "listeners",
			      (json_int_t)cut.listeners, "flows", (json_int_t)cut.flows, "stopped",
			      (json_int_t)cut.domains));
	put_last(r, json_pack("{s:b}", "end", 1));
}

/* What waits for an answer; more is told as it comes. */
static void serve_asks(struct query_reader *r)
{
	struct domain *d = r->id ? next_domain(r) : NULL;
	const struct ask *k;

	if (!d || !d->asks) {
		put_last(r, json_pack("{s:s}", "error", "nobody is asked about this container"));
		return;
	}
	STAILQ_FOREACH(k, &d->asks->all, link)
		if (!k->denied)
			put(r, k->text, strlen(k->text));
	r->next = UINT16_MAX + 1U; /* it is no domain that is told of */
	if (!r->follow)
		put_last(r, json_pack("{s:b}", "end", 1));
}

static void serve_answer(struct query_reader *r, const struct json_doc *doc)
{
	struct jat root = json_root(doc);
	struct domain *d = r->id ? next_domain(r) : NULL;
	struct err e = { 0 };
	int64_t number = 0;
	bool allow = false;
	int rc = json_get_int(&root, "number", 1, UINT32_MAX, &number, &e);

	if (rc == 1)
		rc = json_get_bool(&root, "allow", &allow, &e);
	if (rc != 1 || !d || asks_answer(d, (uint32_t)number, allow) < 0)
		put_last(r, json_pack("{s:s}", "error", rc < 0 ? e.text : "there is no such question"));
	else
		put_last(r, json_pack("{s:b}", "end", 1));
}

bool query_is(const struct json_doc *doc)
{
	return json_is_object(doc->root) && json_object_get(doc->root, "query");
}

void query_serve(struct sup *s, int fd, const struct json_doc *doc)
{
	static const char busy[] = "{\"error\":\"too many others read\"}\n";
	AUTO_FD int own = fd;
	struct query_reader *r = reader_new(s, &own);
	struct err e = { 0 };

	if (!r) {
		(void)send(own, busy, sizeof busy - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (parse(r, doc, &e) < 0) {
		put_last(r, json_pack("{s:s}", "error", e.text));
		(void)flush(r);
	} else if (r->kind == KIND_APPLY) {
		serve_apply(r, doc);
		(void)flush(r);
	} else if (r->kind == KIND_ANSWER) {
		serve_answer(r, doc);
		(void)flush(r);
	} else if (r->kind == KIND_ASKS) {
		serve_asks(r);
		(void)flush(r);
	} else if (r->kind == KIND_SOCKETS) {
		r->job = (struct survey_job){ .ready = has_room, .row = put_row, .end = survey_ended };
		r->surveying = true;
		survey_add(&s->survey, &r->job);
	} else {
		(void)refill(r);
	}
}

/* --- the loop's ---------------------------------------------------------------------- */

void query_init(struct queries *q)
{
	LIST_INIT(&q->readers);
	q->n = 0;
}

void query_fini(struct sup *s)
{
	while (!LIST_EMPTY(&s->queries.readers)) {
		struct query_reader *r = LIST_FIRST(&s->queries.readers);

		if (!r->over && !r->surveying)
			put_last(r, json_pack("{s:b}", "end", 1));
		if (flush(r))
			reader_free(r);
	}
}

/* Of the readers only one at a time has the survey; it may be waited for. */
static struct query_reader *surveying(const struct sup *s)
{
	const struct survey_job *first = TAILQ_FIRST(&s->survey.jobs);
	struct query_reader *r;

	LIST_FOREACH(r, &s->queries.readers, link)
		if (r->surveying && &r->job == first)
			return r;
	return NULL;
}

int query_timeout(const struct sup *s)
{
	if (survey_due(&s->survey))
		return 0;
	return TAILQ_EMPTY(&s->survey.jobs) ? -1 : QUERY_STALL_MS / 4;
}

void query_step(struct sup *s)
{
	struct query_reader *r;

	if (s->survey.phase == SURVEY_IDLE && TAILQ_EMPTY(&s->survey.jobs))
		return;
	survey_step(&s->survey);
	r = surveying(s);
	if (r && flush(r))
		check_stall(r);
}
