/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/kernel.h"

void policy_init_none(struct policy *p)
{
	static const uint8_t pool6[16] = { 0xfd, 0x76, 0x72, 0x75, 0x6e };

	*p = (struct policy){ .file = "(no policy)", .audit.denied = true };
	p->resolver.pool4 = (struct prefix){ addr_v4(198, 18, 0, 0), ADDR_V4_BITS + 16 };
	memcpy(p->resolver.pool6.addr.b, pool6, sizeof pool6);
	p->resolver.pool6.bits = 64;
	p->resolver.ttl = POLICY_TTL_DEFAULT;
}

void policy_fini(struct policy *p)
{
	struct arena a = p->arena; /* the policy may lie in its own arena one day; the copy may not */

	*p = (struct policy){ 0 };
	arena_fini(&a);
}

/* --- words --------------------------------------------------------------------- */

const char *policy_net_name(enum policy_net net)
{
	static const char *const names[] = { "none", "loopback", "rules" };

	return (unsigned)net < 3 ? names[net] : "unknown";
}

const char *policy_transport_name(enum policy_transport t)
{
	return t == POLICY_TRANSPORT_WIRE ? "wire" : "tcp";
}

const char *policy_on_deny_name(enum policy_on_deny d)
{
	static const char *const names[] = { "EACCES", "ECONNREFUSED", "EHOSTUNREACH", "kill", "inherit" };

	static_assert(sizeof names / sizeof *names == POLICY_DENY_INHERIT + 1, "a word for each");
	return (unsigned)d <= POLICY_DENY_INHERIT ? names[d] : "unknown";
}

const char *policy_proto_name(enum policy_proto proto)
{
	return proto == POLICY_UDP ? "udp" : "tcp";
}

const char *policy_record_name(enum policy_record r)
{
	static const char *const names[] = { "none", "pcapng", "raw" };

	return (unsigned)r <= POLICY_RECORD_RAW ? names[r] : "unknown";
}

/* --- where a policy comes from --------------------------------------------------- */

/* A file that the bundle names must lie in the bundle: its links were made by whoever made it. */
static int read_from_bundle(struct json_doc *ret, const struct policy_sources *s, const char *path,
			    struct err *e)
{
	AUTO_FREE char *name = NULL, *text = NULL;
	AUTO_FD int fd = -1;
	size_t len;
	int rc;

	if (asprintf(&name, "%s/%s", s->bundle_dir, path) < 0) {
		name = NULL;
		return err_num(e, ENOMEM, "%s", path);
	}
	fd = sys_openat2(s->bundle_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0,
			 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
	if (fd < 0) {
		int num = errno;

		(void)err_num(e, num, "%s", name);
		return num == EXDEV ? err_hint(e, "a bundle's policy must lie inside the bundle") : -num;
	}
	rc = fd_read_all(fd, name, JSON_FILE_MAX, &text, &len, e);
	return rc < 0 ? rc : json_doc_parse(ret, name, text, len, e);
}

int policy_find_text(struct json_doc *ret, const struct policy_sources *s,
		     enum policy_source *ret_source, struct err *e)
{
	enum policy_source source = POLICY_FROM_NOWHERE;
	int rc = 0;

	if (s->option) {
		source = POLICY_FROM_OPTION;
		rc = json_doc_load(ret, AT_FDCWD, s->option, NULL, e);
	} else if (s->bundle_fd >= 0) {
		rc = read_from_bundle(ret, s, POLICY_BUNDLE_FILE, e);
		source = rc == -ENOENT ? POLICY_FROM_NOWHERE : POLICY_FROM_BUNDLE;
	}
	if (source == POLICY_FROM_NOWHERE && s->annotation && s->bundle_fd >= 0) {
		source = POLICY_FROM_ANNOTATION;
		/* The policy itself, from an engine whose users have no way to a file of the bundle. */
		if (s->annotation[0] == '{')
			rc = json_doc_parse(ret, POLICY_ANNOTATION, s->annotation, strlen(s->annotation), e);
		else
			rc = read_from_bundle(ret, s, s->annotation, e);
		if (rc < 0)
			(void)err_wrap(e, "annotation %s", POLICY_ANNOTATION);
	}
	if (source != POLICY_FROM_NOWHERE && rc < 0)
		return rc;
	*ret_source = source;
	return 0;
}

int policy_find(struct policy *p, const struct policy_sources *s, enum policy_source *ret_source,
		struct policy_warnings *warnings, struct err *e)
{
	enum policy_source source;
	struct json_doc doc;
	int rc = policy_find_text(&doc, s, &source, e);

	if (rc < 0)
		return rc;
	if (source == POLICY_FROM_NOWHERE) {
		policy_init_none(p);
	} else {
		rc = policy_read(p, &doc, warnings, e);
		if (rc < 0 && source == POLICY_FROM_ANNOTATION)
			(void)err_wrap(e, "annotation %s", POLICY_ANNOTATION);
		json_doc_fini(&doc);
	}
	if (rc == 0 && ret_source)
		*ret_source = source;
	return rc;
}

/* --- what a policy asks of the rest ------------------------------------------------ */

bool policy_options_need_relay(const struct policy_options *o)
{
	return o->rate || o->max_bytes || o->record != POLICY_RECORD_NONE || o->n_tls_names;
}

bool policy_options_equal(const struct policy_options *x, const struct policy_options *y)
{
	if (x->rate != y->rate || x->burst != y->burst || x->max_bytes != y->max_bytes ||
	    x->max_connections != y->max_connections || x->record != y->record ||
	    x->n_tls_names != y->n_tls_names)
		return false;
	if (x->record != POLICY_RECORD_NONE && strcmp(x->record_file, y->record_file) != 0)
		return false;
	for (size_t i = 0; i < x->n_tls_names; i++) {
		if (strcmp(x->tls_names[i], y->tls_names[i]) != 0)
			return false;
	}
	return true;
}

int policy_record_files(const struct policy *p, const struct policy *ceiling,
			struct policy_record_file ret[static POLICY_RECORDS_MAX], const struct policy_rule **ret_at)
{
	const struct policy *const both[] = { p, ceiling };
	int n = 0;

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; both[i] && j < both[i]->n_rules; j++) {
			const struct policy_rule *r = &both[i]->rules[j];
			int k = 0;

			if (r->options.record == POLICY_RECORD_NONE)
				continue;
			if (ret_at)
				*ret_at = r;
			while (k < n && strcmp(ret[k].name, r->options.record_file) != 0)
				k++;
			if (k == POLICY_RECORDS_MAX)
				return -E2BIG;
			if (k < n && ret[k].format != r->options.record)
				return -EINVAL;
			if (k == n)
				ret[n++] = (struct policy_record_file){ r->options.record_file, r->options.record };
		}
	}
	return n;
}

/* As far as can be seen: an address may be another domain's, which shows when it is connected to. */
static bool leads_outside(const struct policy_rule *r)
{
	if (r->op != POLICY_CONNECT || r->protos != POLICY_TCP)
		return false;
	for (size_t i = 0; i < r->n_endpoints; i++)
		if (r->endpoints[i].host.kind == HOST_DOMAIN)
			return false;
	return true;
}

const char *policy_rule_unserved(const struct policy_rule *r, const char **ret_hint)
{
	*ret_hint = "leave them out of that rule";
	if (policy_options_need_relay(&r->options) && !leads_outside(r))
		return "\"rate\", \"maxBytes\", \"record\" and \"tls\" are served for TCP connections to the outside alone";
	return NULL;
}

static unsigned rule_needs(const struct policy_rule *r)
{
	unsigned needs = 0;

	if (r->protos & POLICY_UDP)
		needs |= POLICY_NEEDS_UDP;
	if (r->publish)
		needs |= POLICY_NEEDS_PUBLISH | POLICY_NEEDS_GATEWAY;
	if (policy_options_need_relay(&r->options))
		needs |= POLICY_NEEDS_RELAY;
	if (r->options.record != POLICY_RECORD_NONE)
		needs |= POLICY_NEEDS_RECORD;
	if (r->options.n_tls_names)
		needs |= POLICY_NEEDS_TLS;
	if (r->n_forward)
		needs |= POLICY_NEEDS_FORWARD;
	if (r->op != POLICY_CONNECT || !r->allow)
		return needs;
	for (size_t i = 0; i < r->n_endpoints; i++) {
		switch (r->endpoints[i].host.kind) {
		case HOST_DOMAIN:
			break;
		case HOST_PREFIX:
		case HOST_OUTSIDE:
			needs |= POLICY_NEEDS_GATEWAY;
			break;
		case HOST_ANY:
		case HOST_NAME:
		case HOST_WILDCARD:
			needs |= POLICY_NEEDS_GATEWAY | POLICY_NEEDS_RESOLVER;
			break;
		}
	}
	return needs;
}

unsigned policy_needs(const struct policy *p)
{
	unsigned needs = 0;

	if (p->net != POLICY_NET_RULES)
		return 0;
	needs |= POLICY_NEEDS_SUPERVISOR;
	if (p->transport == POLICY_TRANSPORT_WIRE)
		needs |= POLICY_NEEDS_WIRE;
	for (size_t i = 0; i < p->n_rules; i++)
		needs |= rule_needs(&p->rules[i]);
	return needs;
}

static struct addr pool_addr(const struct policy *p, bool v4, uint8_t host)
{
	struct addr a = v4 ? p->resolver.pool4.addr : p->resolver.pool6.addr;

	a.b[15] |= host; /* a pool is never smaller than 16 addresses */
	return a;
}

struct addr policy_resolver_addr(const struct policy *p, bool v4)
{
	return pool_addr(p, v4, 1);
}

struct addr policy_host_addr(const struct policy *p, bool v4)
{
	return pool_addr(p, v4, 2);
}

const char *policy_unreachable(const struct policy *p, const struct prefix *x)
{
	static const struct {
		struct prefix prefix;
		const char *why;
	} list[] = {
		{ { { { [10] = 0xff, 0xff, 224 } }, 100 }, "multicast is not carried" },
		{ { { { 0xff } }, 8 }, "multicast is not carried" },
		{ { { { [10] = 0xff, 0xff } }, 104 }, "0.0.0.0/8 is nobody's address" },
		{ { { { 0 } }, 128 }, "[::] is nobody's address" },
		{ { { { [10] = 0xff, 0xff, 255, 255, 255, 255 } }, 128 }, "broadcast is not carried" },
	};

	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		if (prefix_covers(&list[i].prefix, x))
			return list[i].why;
	}
	if (prefix_covers(&p->resolver.pool4, x) || prefix_covers(&p->resolver.pool6, x))
		return "addresses of the resolver's pool stand for names: write the name";
	return NULL;
}

/* Every party that an allow lets in is one that a deny keeps out. */
static bool from_covers(const struct policy_rule *deny, const struct policy_rule *allow)
{
	if (deny->n_from == 0)
		return true;
	if (allow->n_from == 0)
		return false;
	for (size_t i = 0; i < allow->n_from; i++) {
		bool hit = false;

		for (size_t j = 0; !hit && j < deny->n_from; j++)
			hit = host_covers(&deny->from[j], &allow->from[i]);
		if (!hit)
			return false;
	}
	return true;
}

bool policy_denies_all(const struct policy_rule *deny, const struct endpoint *deny_ep,
		       const struct policy_rule *r, const struct endpoint *ep)
{
	return deny->op == r->op && (r->protos & ~deny->protos) == 0 &&
	       host_covers(&deny_ep->host, &ep->host) && ports_cover(&deny_ep->ports, &ep->ports) &&
	       (r->op == POLICY_CONNECT || from_covers(deny, r));
}
