/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/admit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "model/json.h"
#include "sup/network.h"
#include "sup/transport.h"

/*
 * The ABI from which a wall holds TCP (landlock(7), Linux 6.7). AF_UNIX sockets that an app could
 * exchange for one that was looked at are its own, or wires, whose names nobody can guess; where
 * there are wires the ABI is 6, which holds abstract names, too.
 */
#define LANDLOCK_TCP 4

/* --- the message ----------------------------------------------------------------- */

static int find_descriptors(const struct jat *root, size_t n_fds, struct admit_state *s, struct err *e)
{
	struct jat fds, name;
	int rc = json_get_array(root, "fds", &fds, e);

	s->listener = s->network = s->gateway = s->record = SIZE_MAX;
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 1 && json_element(&fds, i, &name); i++) {
		const char *text;

		if (json_as_string(&name, &text, e) < 0)
			return -EINVAL;
		if (strcmp(text, "seccompFd") == 0)
			s->listener = i;
		else if (strcmp(text, "network") == 0 && i < n_fds)
			s->network = i;
		else if (strcmp(text, "gateway") == 0 && i < n_fds)
			s->gateway = i;
		else if (strcmp(text, "record") == 0 && s->record == SIZE_MAX)
			s->record = i;
	}
	s->n_fds = n_fds;
	return s->listener < n_fds ? 0 : json_error(root, e, "no seccompFd among the %zu descriptors", n_fds);
}

static int read_text(const struct jat *at, const char *key, struct admit_text *ret, struct err *e)
{
	struct jat obj;
	int rc = json_get_object(at, key, &obj, e);

	if (rc <= 0)
		return rc;
	rc = json_get_string(&obj, "name", &ret->name, e);
	if (rc == 1)
		rc = json_get_string(&obj, "text", &ret->text, e);
	return rc == 0 ? json_error(&obj, e, "name or text is missing") : rc < 0 ? rc : 1;
}

static int read_own(const struct jat *root, struct admit_state *s, struct err *e)
{
	struct jat own;
	int rc = json_get_object(root, "vrun", &own, e);

	if (rc <= 0)
		return rc;
	s->own = true;
	rc = read_text(&own, "policy", &s->policy, e);
	if (rc == 0)
		return json_error(&own, e, "policy is missing");
	if (rc > 0)
		rc = read_text(&own, "ceiling", &s->ceiling, e);
	if (rc >= 0)
		rc = json_get_string(&own, "hostname", &s->hostname, e);
	if (rc >= 0)
		rc = json_get_int(&own, "landlock", 0, INT32_MAX, &s->landlock, e);
	if (rc >= 0)
		rc = json_get_bool(&own, "listen", &s->listen, e);
	if (rc >= 0)
		rc = json_get_bool(&own, "relayed", &s->relayed, e);
	if (rc >= 0)
		rc = json_get_bool(&own, "attempts", &s->attempts, e);
	if (rc >= 0)
		rc = json_get_bool(&own, "ask", &s->ask, e);
	if (rc >= 0)
		rc = json_get_array(&own, "records", &s->records, e);
	if (rc > 0)
		s->n_records = json_array_size(s->records.val);
	if (rc >= 0 && s->n_records && (s->record >= s->n_fds || s->n_records > s->n_fds - s->record))
		return json_error(&own, e, "there are fewer descriptors than records");
	return rc < 0 ? rc : 0;
}

static int read_state(const struct jat *root, struct admit_state *s, struct err *e)
{
	struct jat state, notes;
	int rc = json_get_object(root, "state", &state, e);

	if (rc == 1)
		rc = json_get_string(&state, "id", &s->id, e);
	if (rc < 0)
		return rc;
	if (rc == 0 || !s->id || !*s->id)
		return json_error(root, e, "state.id is missing");
	if (json_get_string(&state, "bundle", &s->bundle, e) < 0 ||
	    json_get_int(&state, "pid", 1, INT32_MAX, &s->pid, e) < 0)
		return -EINVAL;
	rc = json_get_object(&state, "annotations", &notes, e);
	if (rc == 1)
		rc = json_get_string(&notes, POLICY_ANNOTATION, &s->annotation, e);
	return rc < 0 ? rc : 0;
}

int admit_parse(const struct json_doc *doc, size_t n_fds, struct admit_state *ret, struct err *e)
{
	struct admit_state s = { 0 };
	struct jat root = json_root(doc);
	int rc = json_expect_object(&root, e);

	if (rc == 0)
		rc = find_descriptors(&root, n_fds, &s, e);
	if (rc == 0)
		rc = json_get_string(&root, "metadata", &s.metadata, e);
	if (rc >= 0)
		rc = read_state(&root, &s, e);
	if (rc == 0)
		rc = read_own(&root, &s, e);
	if (rc < 0)
		return rc;
	*ret = s;
	return 0;
}

/* --- its policy ------------------------------------------------------------------ */

static int read_policy(const struct admit_text *t, struct policy *ret, struct err *e)
{
	struct json_doc doc;
	int rc = json_doc_parse(&doc, t->name, t->text, strlen(t->text), e);

	if (rc < 0)
		return rc;
	rc = policy_read(ret, &doc, NULL, e);
	json_doc_fini(&doc);
	return rc;
}

static int find_policy(const struct admit_state *s, const char *option, struct policy *ret,
		       struct err *e)
{
	AUTO_FD int dir = -1;
	struct policy_sources from = { .option = option, .bundle_dir = s->bundle };

	if (s->own)
		return read_policy(&s->policy, ret, e);
	/* "vrun policy seccomp" puts it there. */
	if (!option && s->metadata && s->metadata[0] == '{') {
		const struct admit_text t = { "linux.seccomp.listenerMetadata", s->metadata };

		return read_policy(&t, ret, e);
	}
	if (s->bundle && !option) {
		dir = open(s->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_sys(e, "bundle of container %s", s->id);
		from.annotation = s->annotation; /* it names a file of the bundle */
	}
	from.bundle_fd = dir;
	return policy_find(ret, &from, NULL, NULL, e);
}

int admit_check_needs(struct sup *sup, const char *id, const struct policy *p, struct err *e)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const char *hint, *what = policy_rule_unserved(&p->rules[i], &hint);

		if (!what)
			continue;
		(void)err_set(e, ENOTSUP, "container %s: rule %s of its policy: %s", id, p->rules[i].id, what);
		return err_hint(e, "%s", hint);
	}
	if (policy_needs(p) & POLICY_NEEDS_WIRE && transport_wire_check(sup, e) < 0)
		return err_wrap(e, "container %s", id);
	return 0;
}

int admit_check_records(const struct domain *d, const struct policy *p, struct err *e)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_options *o = &p->rules[i].options;
		const struct tape *t;

		if (o->record == POLICY_RECORD_NONE)
			continue;
		t = tapes_find((struct tapes *)(uintptr_t)&d->tapes, o->record_file);
		if (t && t->raw == (o->record == POLICY_RECORD_RAW))
			continue;
		(void)err_set(e, ENOTSUP, "container %s: rule %s is to be recorded to %s, which was not made with the container",
			      d->id, p->rules[i].id, o->record_file);
		return err_hint(e, "start it with --record DIR and a policy that has this record");
	}
	return 0;
}

static int take_records(struct domain *d, const struct admit_state *a, int *fds, struct err *e)
{
	static const char *const formats[] = { "none", "pcapng", "raw" };
	struct jat r;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->n_records && json_element(&a->records, i, &r); i++) {
		enum policy_record format = POLICY_RECORD_RAW;
		const char *file, *text;
		int64_t max = 0;

		if (json_get_string(&r, "file", &file, e) != 1 || json_get_string(&r, "format", &text, e) != 1 ||
		    json_get_int(&r, "max", 1, INT64_MAX, &max, e) != 1)
			return json_error(&r, e, "a record has file, format and max");
		if (strcmp(text, formats[POLICY_RECORD_PCAPNG]) == 0)
			format = POLICY_RECORD_PCAPNG;
		rc = tapes_add(&d->tapes, d->sup, file, format, (uint64_t)max, &fds[a->record + i]);
		if (rc < 0)
			(void)err_num(e, -rc, "record %s", file);
	}
	if (rc == 0)
		rc = admit_check_records(d, &d->policy, e);
	return rc == 0 && d->has_ceiling ? admit_check_records(d, &d->ceiling, e) : rc;
}

/* A visitor's connection is always the host's socket. */
static int check_published(const struct admit_state *a, const struct policy *p, struct err *e)
{
	if (!a->relayed || !(policy_needs(p) & POLICY_NEEDS_PUBLISH))
		return 0;
	(void)err_set(e, EPERM, "container %s: its policy publishes ports, for which its filter has to be vrun's", a->id);
	return err_hint(e, "give it the profile that vrun policy seccomp makes of the policy");
}

static int network_of(const struct admit_state *a, const int *fds, int *ret, struct err *e)
{
	if (!a->own || a->network == SIZE_MAX)
		return network_of_process((pid_t)a->pid, ret, e);
	*ret = fcntl(fds[a->network], F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? err_sys(e, "network namespace") : 0;
}

static int begin_network(struct sup *s, struct domain *d, const struct admit_state *a, const int *fds,
			 struct err *e)
{
	AUTO_FD int own = -1;
	int rc = network_of(a, fds, &own, e);

	return rc < 0 ? err_wrap(e, "container %s", a->id) : network_begin(s, d, own, e);
}

bool admit_process(struct sup *s, const struct admit_state *a, int *fds, int *ret_rc, struct err *e)
{
	AUTO_FD int own = -1;
	struct listener *l;
	struct domain *d;
	struct stat st;
	int rc;

	LIST_FOREACH(d, &s->domains, link)
		if (strcmp(d->id, a->id) == 0)
			break;
	if (!d || !d->is_served || network_of(a, fds, &own, NULL) < 0 || fstat(own, &st) < 0 ||
	    st.st_dev != d->net.dev || st.st_ino != d->net.ino)
		return false;
	rc = domain_add_listener(d, fds[a->listener], &l, e);
	if (rc == 0) {
		fds[a->listener] = -1;
		rc = sup_serve_listener(s, l, e);
		if (rc < 0)
			listener_free(l);
	}
	*ret_rc = rc;
	return true;
}

/* Only vrun's own launcher is believed to know one. */
static int begin_gateway(struct sup *s, struct domain *d, const struct admit_state *a, int *fds, struct err *e)
{
	bool has = a->own && a->gateway != SIZE_MAX;
	int rc = has ? guard_on(&s->guard, e) : 0;

	if (rc < 0)
		return rc;
	rc = gateway_init(&d->gateway, s, has ? fd_take(&fds[a->gateway]) : -1);
	return rc < 0 ? err_num(e, -rc, "gateway of container %s", a->id) : 0;
}

/* One that cannot be asked for is none; without memory it is not known. */
static char *hostname_of(const struct admit_state *a)
{
	char name[NAME_TEXT_MAX];

	return a->hostname && name_parse(a->hostname, name, NULL, NULL) == 0 ? strdup(name) : NULL;
}

int admit_container(struct sup *s, const struct admit_state *a, const char *policy, int *fds,
		    struct domain **ret, struct err *e)
{
	struct policy own, ceiling;
	struct domain *d = NULL;
	int rc = find_policy(a, policy, &own, e);

	if (rc < 0)
		return rc;
	policy_init_none(&ceiling);
	if (a->ceiling.text)
		rc = read_policy(&a->ceiling, &ceiling, e);
	if (rc == 0)
		rc = admit_check_needs(s, a->id, &own, e);
	if (rc == 0)
		rc = check_published(a, &own, e);
	if (rc == 0)
		rc = domain_new(s, a->id, &own, fds[a->listener], &d, e);
	policy_fini(&own); /* empty when it was taken */
	if (rc == 0) {
		fds[a->listener] = -1;
		if (a->ceiling.text) {
			d->ceiling = ceiling;
			d->has_ceiling = true;
		}
		if (a->attempts)
			d->attempts = attempts_new(); /* without memory the launcher hears nothing, and says so */
		if (a->ask)
			d->asks = asks_new(); /* without memory it is denied */
		d->hostname = hostname_of(a);
		d->walled = a->landlock >= LANDLOCK_TCP;
		d->relayed = a->relayed;
		sup_add(s, d);
		rc = take_records(d, a, fds, e);
		if (rc == 0)
			rc = begin_gateway(s, d, a, fds, e);
		if (rc == 0)
			rc = begin_network(s, d, a, fds, e);
		if (rc < 0)
			sup_remove(s, d);
		else
			*ret = d;
	} else {
		policy_fini(&ceiling);
	}
	return rc;
}
