/* SPDX-License-Identifier: Apache-2.0 */
#include "model/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

#define PORT_RANGES_MAX 1024

static int bad(struct err *e, const char *text, const char *why, const char *hint)
{
	char quoted[160];

	(void)err_set(e, EINVAL, "\"%s\" %s", log_quote(quoted, sizeof quoted, text), why);
	return hint ? err_hint(e, "%s", hint) : -EINVAL;
}

/* --- names ---------------------------------------------------------------- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int label_check(const char *text, const char *label, size_t len, struct err *e)
{
	if (len == 0)
		return bad(e, text, "has an empty label", "two dots in a row, or a dot in front");
	if (len > 63)
		return bad(e, text, "has a label of more than 63 bytes", NULL);
	if (label[0] == '-' || label[len - 1] == '-')
		return bad(e, text, "has a label that begins or ends with '-'", NULL);
	return 0;
}

int name_parse(const char *text, char *buf, size_t *ret_labels, struct err *e)
{
	char out[NAME_TEXT_MAX];
	size_t len = strlen(text), start = 0, labels = 0;

	if (len > 1 && text[len - 1] == '.')
		len--;
	if (len == 0)
		return bad(e, text, "is an empty name", NULL);
	if (len >= sizeof out)
		return bad(e, text, "is longer than 253 bytes", NULL);
	for (size_t i = 0; i <= len; i++) {
		char c = '.';
		int rc;

		if (i < len)
			c = text[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((unsigned char)c >= 0x80)
			return bad(e, text, "has characters outside ASCII",
				   "write the A-label (the form that begins with xn--)");
		if (c != '.' && !is_name_char(c))
			return bad(e, text, "is not a name",
				   "names have letters, digits, '-', '_' and dots");
		out[i] = c;
		if (c != '.')
			continue;
		rc = label_check(text, out + start, i - start, e);
		if (rc < 0)
			return rc;
		labels++;
		start = i + 1;
	}
	out[len] = '\0';
	memcpy(buf, out, len + 1);
	if (ret_labels)
		*ret_labels = labels;
	return 0;
}

int name_parse_domain(const char *text, char *buf, struct err *e)
{
	char out[NAME_TEXT_MAX];
	size_t labels;
	int rc = name_parse(text, out, &labels, e);

	if (rc < 0)
		return rc;
	if (labels != 1)
		return bad(e, text, "has dots",
			   "a domain's name is a single label; dotted names are real hosts");
	if (strcmp(out, "host") == 0 || strcmp(out, "localhost") == 0)
		return bad(e, text, "is reserved",
			   "\"host\" is the machine outside, \"localhost\" the domain's own loopback");
	if (addr_looks_v4(out))
		return bad(e, text, "is a number, which resolvers read as an address",
			   "put a letter into the name");
	memcpy(buf, out, sizeof out);
	return 0;
}

bool name_is_below(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	return n > z + 1 && name[n - z - 1] == '.' && memcmp(name + n - z, zone, z) == 0;
}

/* --- hosts ---------------------------------------------------------------- */

static int parse_prefix(const char *text, struct host_pattern *ret, struct err *e)
{
	static const uint8_t zero[12];
	struct prefix p;
	struct addr inner[ADDR_EMBEDDED_MAX];
	char fixed[ADDR_TEXT_MAX];
	int rc = prefix_parse(text, &p, e);

	if (rc < 0)
		return rc;
	if (p.bits >= ADDR_V4_BITS && memcmp(p.addr.b, zero, sizeof zero) == 0 &&
	    addr_embedded(&p.addr, inner) > 0) {
		(void)bad(e, text, "is an IPv4-compatible address, which nothing uses any more", NULL);
		return err_hint(e, "did you mean %s?", addr_format(&inner[0], fixed, sizeof fixed));
	}
	*ret = (struct host_pattern){ .kind = HOST_PREFIX, .prefix = p };
	return 0;
}

static int parse_name(const char *text, struct arena *arena, struct host_pattern *ret, struct err *e)
{
	struct host_pattern h = { .kind = HOST_NAME };
	char name[NAME_TEXT_MAX];
	size_t labels = 0;
	int rc;

	if (strncmp(text, "*.", 2) == 0) {
		h.kind = HOST_WILDCARD;
		if (strchr(text + 1, '*'))
			return bad(e, text, "has more than one '*'", NULL);
	} else if (strchr(text, '*')) {
		return bad(e, text, "has a '*' that is not the whole first label",
			   "write \"*.example.com\" or \"*\"");
	}
	rc = name_parse(h.kind == HOST_WILDCARD ? text + 2 : text, name, &labels, e);
	if (rc < 0)
		return rc;
	if (h.kind == HOST_NAME && labels == 1) {
		if (strcmp(name, "host") == 0) {
			*ret = (struct host_pattern){ .kind = HOST_OUTSIDE };
			return 0;
		}
		h.kind = HOST_DOMAIN;
	}
	if (strcmp(name, "localhost") == 0 || name_is_below(name, "localhost"))
		return bad(e, text, "is the domain's own loopback, by definition",
			   "write 127.0.0.0/8 or [::1] for it, \"host\" for the machine outside");
	h.name = arena_strdup(arena, name);
	if (!h.name)
		return err_num(e, ENOMEM, "%s", name);
	*ret = h;
	return 0;
}

int host_parse(const char *text, struct arena *arena, struct host_pattern *ret, struct err *e)
{
	size_t len = strlen(text);
	char inner[PREFIX_TEXT_MAX + 2];

	if (strcmp(text, "*") == 0) {
		*ret = (struct host_pattern){ .kind = HOST_ANY };
		return 0;
	}
	if (len == 0)
		return bad(e, text, "is empty", "write a name, an address or \"*\"");
	if (strstr(text, "://"))
		return bad(e, text, "is a URL", "write only its host and port, like example.com:443");
	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (!end || (end[1] && end[1] != '/') || (end[1] && memchr(text, '/', (size_t)(end - text))))
			return bad(e, text, "has wrong brackets", "write [2001:db8::1] or [2001:db8::/32]");
		if (len - 1 > sizeof inner)
			return bad(e, text, "is too long for an address", NULL);
		(void)snprintf(inner, sizeof inner, "%.*s%s", (int)(end - text - 1), text + 1, end + 1);
		if (!strchr(inner, ':'))
			return bad(e, text, "has brackets around what is not IPv6", NULL);
		return parse_prefix(inner, ret, e);
	}
	if (strchr(text, ':') || strchr(text, '/') || addr_looks_v4(text))
		return parse_prefix(text, ret, e);
	if (text[len - 1] == '.' && len > 1 && len < NAME_TEXT_MAX) {
		char cut[NAME_TEXT_MAX];

		memcpy(cut, text, len - 1);
		cut[len - 1] = '\0';
		if (addr_looks_v4(cut))
			return bad(e, text, "is not an IP address", "leave out the last dot");
	}
	return parse_name(text, arena, ret, e);
}

/* --- ports ---------------------------------------------------------------- */

static int range_order(const void *a, const void *b)
{
	const struct port_range *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

static int parse_port(const char *text, size_t len, const char *whole, uint16_t *ret, struct err *e)
{
	char digits[8];
	uint64_t v;

	if (len == 0 || len >= sizeof digits)
		return bad(e, whole, "is not a port, a range or a list of them",
			   "like 443, 8000-8010, 80,443 or *");
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (strcmp(digits, "0") == 0)
		return bad(e, whole, "has port 0, which no peer can have", "\"*\" stands for every port");
	if (digits[0] == '0' || num_parse_u64(digits, 1, UINT16_MAX, &v) < 0)
		return bad(e, whole, "is not a port, a range or a list of them",
			   "ports are 1 to 65535, like 443, 8000-8010, 80,443 or *");
	*ret = (uint16_t)v;
	return 0;
}

static int parse_range(const char *text, size_t len, const char *whole, struct port_range *ret,
		       struct err *e)
{
	const char *dash = memchr(text, '-', len);
	size_t first = dash ? (size_t)(dash - text) : len;
	int rc = parse_port(text, first, whole, &ret->lo, e);

	if (rc < 0)
		return rc;
	ret->hi = ret->lo;
	if (!dash)
		return 0;
	rc = parse_port(dash + 1, len - first - 1, whole, &ret->hi, e);
	if (rc < 0)
		return rc;
	return ret->hi < ret->lo ? bad(e, whole, "has a range that ends before it begins", NULL) : 0;
}

int ports_parse(const char *text, struct arena *arena, struct port_set *ret, struct err *e)
{
	struct port_range *v;
	size_t n = 1, out = 0;

	for (const char *p = text; *p; p++)
		n += *p == ',';
	if (n > PORT_RANGES_MAX)
		return bad(e, text, "is too long a list of ports", NULL);
	v = arena_array(arena, n, sizeof *v);
	if (!v)
		return err_num(e, ENOMEM, "ports");
	if (strcmp(text, "*") == 0) {
		v[0] = (struct port_range){ 1, UINT16_MAX };
		*ret = (struct port_set){ v, 1 };
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(text, ",");
		int rc = parse_range(text, len, text, &v[i], e);

		if (rc < 0)
			return rc;
		text += len + 1;
	}
	qsort(v, n, sizeof *v, range_order);
	for (size_t i = 1; i < n; i++) {
		if (v[i].lo <= v[out].hi) {
			(void)err_set(e, EINVAL, "port %u is given twice", v[i].lo);
			return -EINVAL;
		}
		if (v[i].lo == v[out].hi + 1)
			v[out].hi = v[i].hi;
		else
			v[++out] = v[i];
	}
	*ret = (struct port_set){ v, out + 1 };
	return 0;
}

bool ports_have(const struct port_set *s, uint16_t port)
{
	for (size_t i = 0; i < s->n; i++) {
		if (port >= s->v[i].lo && port <= s->v[i].hi)
			return true;
	}
	return false;
}

bool ports_cover(const struct port_set *outer, const struct port_set *inner)
{
	size_t o = 0;

	/* Ranges of a set never touch, so one of `inner` lies in a single one of `outer`. */
	for (size_t i = 0; i < inner->n; i++) {
		while (o < outer->n && outer->v[o].hi < inner->v[i].hi)
			o++;
		if (o == outer->n || outer->v[o].lo > inner->v[i].lo)
			return false;
	}
	return true;
}

bool ports_overlap(const struct port_set *a, const struct port_set *b)
{
	size_t i = 0, j = 0;

	while (i < a->n && j < b->n) {
		if (a->v[i].hi < b->v[j].lo)
			i++;
		else if (b->v[j].hi < a->v[i].lo)
			j++;
		else
			return true;
	}
	return false;
}

unsigned ports_count(const struct port_set *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += (unsigned)(s->v[i].hi - s->v[i].lo) + 1;
	return n;
}

bool ports_equal(const struct port_set *a, const struct port_set *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].lo != b->v[i].lo || a->v[i].hi != b->v[i].hi)
			return false;
	}
	return true;
}

/* --- endpoints ------------------------------------------------------------ */

/* The colon between host and ports, or NULL with the error set. */
static const char *find_colon(const char *text, struct err *e)
{
	const char *colon = strrchr(text, ':');
	const char *close = strrchr(text, ']');

	if (strstr(text, "://")) {
		(void)bad(e, text, "is a URL", "write only its host and port, like example.com:443");
		return NULL;
	}
	if (text[0] == '[' && close && close > strrchr(text, ':')) {
		(void)bad(e, text, "has no port", "write it like [2001:db8::1]:443 or [2001:db8::1]:*");
		return NULL;
	}
	if (!colon) {
		(void)bad(e, text, "has no port", "write it like db:5432, example.com:443 or db:*");
		return NULL;
	}
	if (text[0] != '[' && memchr(text, ':', (size_t)(colon - text))) {
		(void)bad(e, text, "has too many colons",
			  "IPv6 goes in brackets: [2001:db8::1]:443, [2001:db8::/32]:*");
		return NULL;
	}
	return colon;
}

static int parse_both(const char *text, bool local, struct arena *arena, struct endpoint *ret,
		      struct err *e)
{
	char head[NAME_TEXT_MAX + 8];
	const char *colon = find_colon(text, e);
	struct endpoint ep = { .host.kind = HOST_ANY };
	size_t len;
	int rc = 0;

	if (!colon)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= sizeof head)
		return bad(e, text, "is too long", NULL);
	memcpy(head, text, len);
	head[len] = '\0';
	if (len > 0)
		rc = host_parse(head, arena, &ep.host, e);
	else if (!local)
		return bad(e, text, "names no host", "write it like db:5432 or *:443");
	if (rc == 0)
		rc = ports_parse(colon + 1, arena, &ep.ports, e);
	if (rc == 0)
		*ret = ep;
	return rc;
}

int endpoint_parse(const char *text, struct arena *arena, struct endpoint *ret, struct err *e)
{
	return parse_both(text, false, arena, ret, e);
}

int endpoint_parse_local(const char *text, struct arena *arena, struct endpoint *ret, struct err *e)
{
	struct endpoint ep = { 0 };
	int rc = parse_both(text, true, arena, &ep, e);

	if (rc < 0)
		return rc;
	if (ep.host.kind == HOST_ANY || (ep.host.kind == HOST_PREFIX && ep.host.prefix.bits == 128 &&
					 addr_kind(&ep.host.prefix.addr) != ADDR_UNSPECIFIED)) {
		*ret = ep;
		return 0;
	}
	return bad(e, text, "is not a place to listen at",
		   "write \":PORT\" for every address of the domain, or ADDRESS:PORT");
}

int endpoint_parse_publish(const char *text, struct addr *ret, uint16_t *ret_port, struct err *e)
{
	static const char hint[] =
		"write ADDRESS:PORT of this host, like 127.0.0.1:18080 or 0.0.0.0:80; port 0 lets "
		"the kernel choose";
	char head[ADDR_TEXT_MAX + 2];
	const char *colon = find_colon(text, e), *start = text;
	size_t len;
	uint64_t port;
	int rc;

	if (!colon)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (text[0] == '[' && len > 1 && text[len - 1] == ']') {
		start++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof head || num_parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0 ||
	    (colon[1] == '0' && colon[2]))
		return bad(e, text, "is not an address and port to publish at", hint);
	memcpy(head, start, len);
	head[len] = '\0';
	if ((start > text) != (strchr(head, ':') != NULL))
		return bad(e, text, "is not an address and port to publish at", hint);
	rc = addr_parse(head, ret, e);
	if (rc == 0)
		*ret_port = (uint16_t)port;
	return rc;
}

/* --- text ----------------------------------------------------------------- */

const char *host_format(const struct host_pattern *h, char *buf, size_t size)
{
	char text[PREFIX_TEXT_MAX];

	switch (h->kind) {
	case HOST_ANY:
		(void)snprintf(buf, size, "*");
		break;
	case HOST_OUTSIDE:
		(void)snprintf(buf, size, "host");
		break;
	case HOST_WILDCARD:
		(void)snprintf(buf, size, "*.%s", h->name);
		break;
	case HOST_DOMAIN:
	case HOST_NAME:
		(void)snprintf(buf, size, "%s", h->name);
		break;
	case HOST_PREFIX:
		(void)prefix_format(&h->prefix, text, sizeof text);
		(void)snprintf(buf, size, strchr(text, ':') ? "[%s]" : "%s", text);
		break;
	}
	return buf;
}

const char *ports_format(const struct port_set *s, char *buf, size_t size)
{
	size_t n = 0;

	if (size)
		buf[0] = '\0';
	if (s->n == 1 && s->v[0].lo == 1 && s->v[0].hi == UINT16_MAX) {
		(void)snprintf(buf, size, "*");
		return buf;
	}
	for (size_t i = 0; i < s->n && n < size; i++) {
		int more = snprintf(buf + n, size - n, "%s%u", i ? "," : "", s->v[i].lo);

		n += more > 0 ? (size_t)more : 0;
		if (n < size && s->v[i].hi > s->v[i].lo) {
			more = snprintf(buf + n, size - n, "-%u", s->v[i].hi);
			n += more > 0 ? (size_t)more : 0;
		}
	}
	return buf;
}

const char *endpoint_format(const struct endpoint *ep, char *buf, size_t size)
{
	size_t n;

	(void)host_format(&ep->host, buf, size);
	n = strlen(buf);
	if (n + 1 < size) {
		buf[n++] = ':';
		(void)ports_format(&ep->ports, buf + n, size - n);
	}
	return buf;
}

const char *endpoint_format_local(const struct endpoint *ep, char *buf, size_t size)
{
	(void)endpoint_format(ep, buf, size);
	if (ep->host.kind == HOST_ANY && buf[0] == '*')
		memmove(buf, buf + 1, strlen(buf));
	return buf;
}

/* --- relations ------------------------------------------------------------ */

bool host_equal(const struct host_pattern *a, const struct host_pattern *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == HOST_PREFIX)
		return a->prefix.bits == b->prefix.bits && addr_equal(&a->prefix.addr, &b->prefix.addr);
	return !a->name || strcmp(a->name, b->name) == 0;
}

bool host_covers(const struct host_pattern *outer, const struct host_pattern *inner)
{
	if (outer->kind == HOST_ANY)
		return true;
	if (outer->kind == HOST_PREFIX && inner->kind == HOST_PREFIX)
		return prefix_covers(&outer->prefix, &inner->prefix);
	if (outer->kind == HOST_WILDCARD && (inner->kind == HOST_NAME || inner->kind == HOST_WILDCARD))
		return name_is_below(inner->name, outer->name) ||
		       (inner->kind == HOST_WILDCARD && strcmp(inner->name, outer->name) == 0);
	return host_equal(outer, inner);
}
