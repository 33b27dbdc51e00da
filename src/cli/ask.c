/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "run/state.h"

#define ANSWER_SECONDS 10
#define LINE_MAX_BYTES (1U << 20)

const char *ask_string(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

long long ask_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* --- whom ------------------------------------------------------------------------ */

void ask_targets_fini(struct ask_targets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].path);
		free(s->v[i].fabric);
	}
	free(s->v);
	*s = (struct ask_targets){ 0 };
}

struct search {
	const char *root;
	struct ask_targets *found;
};

static int add(struct ask_targets *s, const char *path, const char *fabric)
{
	struct ask_target *v;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].path, path) == 0)
			return 0;
	v = realloc(s->v, (s->n + 1) * sizeof *v);
	if (!v)
		return -ENOMEM;
	s->v = v;
	v[s->n] = (struct ask_target){ strdup(path), fabric && *fabric ? strdup(fabric) : NULL };
	return v[s->n++].path ? 0 : -ENOMEM;
}

static int add_record(const struct state_record *r, void *arg)
{
	struct search *f = arg;
	AUTO_FREE char *path = NULL;

	if (!r->supervisor || !*r->supervisor)
		return 0;
	if (asprintf(&path, "%s%s%s", *r->supervisor == '/' ? "" : f->root, *r->supervisor == '/' ? "" : "/",
		     r->supervisor) < 0)
		return -ENOMEM;
	return add(f->found, path, r->fabric);
}

static int add_run(int dir, const char *id, struct search *f, struct err *e)
{
	struct state_record r;
	int rc = state_load(dir, id, &r, e);

	if (rc < 0)
		return rc;
	rc = r.running ? add_record(&r, f) : err_set(e, ENOENT, "container %s has ended", id);
	state_record_fini(&r);
	return rc;
}

static int add_fabric(const char *root, const char *name, struct ask_targets *ret, struct err *e)
{
	AUTO_FREE char *path = NULL;
	int rc = state_check_id(name, NULL); /* the same letters; no slash above all */

	if (rc == 0 && asprintf(&path, "%s/fabric-%s.sock", root, name) < 0)
		return err_num(e, ENOMEM, "fabric");
	if (rc == 0 && access(path, F_OK) == 0)
		return add(ret, path, name) < 0 ? err_num(e, ENOMEM, "fabric") : 0;
	(void)err_set(e, ENOENT, "there is no fabric of that name");
	return err_hint(e, "vrun ps lists them");
}

int ask_whom(const struct ask_whom *w, struct ask_targets *ret, struct err *e)
{
	AUTO_FREE char *root = NULL;
	AUTO_FD int dir = -1;
	struct search f = { .found = ret };
	int rc;

	*ret = (struct ask_targets){ 0 };
	if (w->path)
		return add(ret, w->path, NULL) < 0 ? err_num(e, ENOMEM, "supervisor") : 0;
	rc = state_root(w->root, &root, e);
	if (rc < 0)
		return rc;
	if (w->fabric)
		return add_fabric(root, w->fabric, ret, e);
	f.root = root;
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "state directory %s", root);
	rc = w->id ? add_run(dir, w->id, &f, e) : state_each(dir, add_record, &f, e);
	if (rc == -ENOMEM)
		(void)err_num(e, ENOMEM, "supervisors");
	if (rc < 0)
		ask_targets_fini(ret);
	return rc;
}

/* --- answers --------------------------------------------------------------------- */

struct answer {
	int fd;     /* owned */
	char *text; /* owned; LINE_MAX_BYTES */
	size_t at, len;
};

/* By its directory: a socket's address has room for 107 bytes, and a path may be longer. */
int ask_connect(int fd, const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	AUTO_FREE char *parent = strndup(path, (size_t)(name - path));
	AUTO_FD int dir = parent ? open(*parent ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (dir < 0)
		return err_sys(e, "supervisor at %s", path);
	if ((size_t)snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/%s", dir, name) >= sizeof sa.sun_path)
		return err_num(e, ENAMETOOLONG, "supervisor at %s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		return err_sys(e, "supervisor at %s", path);
	return 0;
}

static int send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int open_answer(const char *path, const json_t *question, bool follow, struct answer *ret, struct err *e)
{
	const struct timeval most = { .tv_sec = ANSWER_SECONDS };
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_FREE char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;
	int rc;

	if (fd < 0)
		return err_sys(e, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	if (!follow)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
	if (ask_connect(fd, path, e) < 0)
		return -e->num;
	ret->text = text ? malloc(LINE_MAX_BYTES) : NULL;
	if (!ret->text)
		return err_num(e, ENOMEM, "supervisor at %s", path);
	rc = send_all(fd, text, strlen(text));
	if (rc < 0) {
		free(ret->text);
		return err_num(e, -rc, "supervisor at %s", path);
	}
	ret->fd = fd_take(&fd);
	ret->at = ret->len = 0;
	return 0;
}

/* The next line, without its end; NULL at the end of the answer or when it stops in a line. */
static char *next_line(struct answer *a, struct err *e)
{
	for (;;) {
		char *line = a->text + a->at, *end = memchr(line, '\n', a->len);
		ssize_t n;

		if (end) {
			*end = '\0';
			a->len -= (size_t)(end + 1 - line);
			a->at += (size_t)(end + 1 - line);
			return line;
		}
		memmove(a->text, line, a->len);
		a->at = 0;
		n = a->len < LINE_MAX_BYTES ? recv(a->fd, a->text + a->len, LINE_MAX_BYTES - a->len, 0) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			(void)err_sys(e, "supervisor's answer");
		if (n <= 0)
			return NULL;
		a->len += (size_t)n;
	}
}

/* 1: the answer goes on; 0: that was its end. */
static int last(const json_t *o, struct err *e)
{
	const char *error = ask_string(o, "error");
	char quoted[512];

	if (json_object_get(o, "end"))
		return 0;
	if (*error) {
		(void)err_set(e, ENOENT, "%s", log_quote(quoted, sizeof quoted, error));
		if (*ask_string(o, "hint"))
			(void)err_hint(e, "%s", log_quote(quoted, sizeof quoted, ask_string(o, "hint")));
		return -ENOENT;
	}
	if (!json_object_get(o, "lost"))
		return 1;
	return err_set(e, ENOBUFS, "%lld lines were lost, since they were not read in time",
		       ask_int(o, "lost"));
}

/* --- answers in parts -------------------------------------------------------------- */

/* An object whose long members come in the lines behind it (sup/telling.h). Zeroed: none. */
struct joined {
	json_t *whole; /* owned */
	FILE *f[2];
	char *text[2]; /* of the files */
	size_t len[2];
};

static const char *const long_members[] = { "policy", "ceiling" };

static void joined_fini(struct joined *j)
{
	for (size_t i = 0; i < 2; i++) {
		if (j->f[i])
			(void)fclose(j->f[i]);
		free(j->text[i]);
	}
	json_decref(j->whole);
	*j = (struct joined){ .whole = NULL };
}

static int join_begin(struct joined *j, json_t *o, struct err *e)
{
	joined_fini(j);
	for (size_t i = 0; i < 2; i++) {
		j->f[i] = open_memstream(&j->text[i], &j->len[i]);
		if (!j->f[i])
			return err_num(e, ENOMEM, "supervisor's answer");
	}
	(void)json_object_del(o, "partial");
	j->whole = json_incref(o);
	return 0;
}

static int join_end(struct joined *j, struct err *e)
{
	for (size_t i = 0; i < 2; i++) {
		json_t *member = json_object_get(j->whole, long_members[i]);
		bool ok = fclose(j->f[i]) == 0;

		j->f[i] = NULL;
		if (!ok || (member && json_object_set_new(member, "text", json_string(j->text[i])) < 0))
			return err_num(e, ENOMEM, "supervisor's answer");
	}
	return 0;
}

/* 1: the object is whole, or never was in parts, and is to be looked at; 0: more comes; or an error. */
static int join(struct joined *j, json_t **o, struct err *e)
{
	const char *piece = ask_string(*o, "piece"), *of = ask_string(*o, "of");
	int rc;

	if (json_object_get(*o, "partial"))
		return join_begin(j, *o, e);
	if (!j->whole)
		return 1;
	if (!json_object_get(*o, "whole")) {
		(void)json_object_update(json_object_get(j->whole, "hits"), json_object_get(*o, "hits"));
		for (size_t i = 0; i < 2; i++)
			if (strcmp(of, long_members[i]) == 0)
				(void)fputs(piece, j->f[i]);
		return 0;
	}
	rc = join_end(j, e);
	json_decref(*o);
	*o = json_incref(j->whole);
	joined_fini(j);
	return rc < 0 ? rc : 1;
}

int ask_each(const char *path, const char *query, const char *id, bool follow,
	     int (*each)(void *ctx, json_t *o), void *ctx, struct err *e)
{
	return ask_question(path, json_pack("{s:s, s:s*, s:b}", "query", query, "id", id, "follow", follow), follow,
			    each, ctx, e);
}

int ask_question(const char *path, json_t *question, bool follow, int (*each)(void *ctx, json_t *o), void *ctx,
		 struct err *e)
{
	struct answer a = { .fd = -1 };
	struct joined j = { .whole = NULL };
	char *line;
	int rc = open_answer(path, question, follow, &a, e), more = 1;

	json_decref(question);

	if (rc < 0)
		return rc;
	e->num = 0;
	while (rc == 0 && more == 1 && (line = next_line(&a, e))) {
		json_t *o = json_loads(line, 0, NULL);

		more = json_is_object(o) ? last(o, e) : err_set(e, EPROTO, "supervisor at %s: not JSON", path);
		if (more == 1)
			rc = join(&j, &o, e);
		if (more == 1 && rc == 1)
			rc = each(ctx, o);
		json_decref(o);
	}
	if (rc == 0 && more == 1 && !e->num)
		(void)err_set(e, EPIPE, "supervisor at %s: its answer stopped in the middle", path);
	(void)close(a.fd);
	free(a.text);
	joined_fini(&j);
	return rc ? rc : e->num ? -e->num : 0;
}
