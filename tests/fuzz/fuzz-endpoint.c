/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text: each parser of addresses, names, ports and endpoints refuses it
 * and says why, or reads something whose written form reads back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* A refusal has a number and a reason. */
static bool read_it(int rc, const struct err *e)
{
	must(rc == 0 || (rc == -EINVAL && e->num == EINVAL && e->text[0]));
	return rc == 0;
}

static void check_addr(const char *text)
{
	struct addr a, again, inner[ADDR_EMBEDDED_MAX];
	struct prefix p, back;
	char buf[PREFIX_TEXT_MAX];
	struct err e = { 0 };

	if (read_it(addr_parse(text, &a, &e), &e)) {
		must(addr_parse(addr_format(&a, buf, sizeof buf), &again, &e) == 0);
		must(addr_equal(&a, &again));
		must(addr_kind(&a) < ADDR_KINDS && addr_embedded(&a, inner) <= ADDR_EMBEDDED_MAX);
	}
	if (read_it(prefix_parse(text, &p, &e), &e)) {
		must(prefix_parse(prefix_format(&p, buf, sizeof buf), &back, &e) == 0);
		must(p.bits == back.bits && addr_equal(&p.addr, &back.addr));
		must(prefix_covers(&p, &p) && prefix_match(&p, &p.addr));
	}
}

static void check_endpoint(const char *text, bool local, char *buf, size_t size)
{
	struct arena arena = { 0 };
	struct endpoint ep, again;
	struct err e = { 0 };
	int rc = local ? endpoint_parse_local(text, &arena, &ep, &e) :
			 endpoint_parse(text, &arena, &ep, &e);

	if (read_it(rc, &e)) {
		if (local)
			rc = endpoint_parse_local(endpoint_format_local(&ep, buf, size), &arena, &again, &e);
		else
			rc = endpoint_parse(endpoint_format(&ep, buf, size), &arena, &again, &e);
		must(rc == 0 && host_equal(&ep.host, &again.host) && ports_equal(&ep.ports, &again.ports));
		must(host_covers(&ep.host, &again.host) && ports_cover(&ep.ports, &again.ports));
		must(ports_overlap(&ep.ports, &ep.ports) && ports_have(&ep.ports, ep.ports.v[0].lo));
	}
	arena_fini(&arena);
}

static void check_name(const char *text)
{
	char name[NAME_TEXT_MAX], again[NAME_TEXT_MAX];
	struct err e = { 0 };
	size_t labels = 0;

	if (read_it(name_parse(text, name, &labels, &e), &e)) {
		must(labels > 0 && name_parse(name, again, NULL, &e) == 0 && strcmp(name, again) == 0);
		must(!name_is_below(name, name));
	}
	if (read_it(name_parse_domain(text, name, &e), &e))
		must(!strchr(name, '.') && strcmp(name, "host") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr a;
	struct err e = { 0 };
	uint16_t port;
	char *text = malloc(size + 1), *buf;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	size = size * 2 + ENDPOINT_TEXT_MAX; /* what is written back can be longer: "::" for zeros is not */
	buf = malloc(size);
	if (buf) {
		check_addr(text);
		check_name(text);
		check_endpoint(text, false, buf, size);
		check_endpoint(text, true, buf, size);
		(void)read_it(endpoint_parse_publish(text, &a, &port, &e), &e);
	}
	free(buf);
	free(text);
	return 0;
}
