/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h> /* before ldns.h, which has one of its own */
#include <ldns/ldns.h>
#include <string.h>

#include "resolve/dns.h"

#define RECORDS_MAX 64
#define RDATA_MAX 4096

/* --- SVCB and HTTPS (RFC 9460) ------------------------------------------------------------ */

#define KEY_MANDATORY 0
#define KEY_IPV4HINT 4
#define KEY_ECH 5
#define KEY_IPV6HINT 6

/*
 * Addresses would lead around the policy's names, and what a client gets of
 * them it could not connect to; with "ech" it would hide the name that rules look at.
 */
static bool is_removed(unsigned key)
{
	return key == KEY_IPV4HINT || key == KEY_ECH || key == KEY_IPV6HINT;
}

static unsigned number(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* False: what a client must understand goes, or it is malformed; then there is no such record. */
static bool keep_mandatory(const uint8_t *value, size_t len)
{
	if (len == 0 || len % 2)
		return false;
	for (size_t i = 0; i < len; i += 2)
		if (is_removed(number(value + i)))
			return false;
	return true;
}

/* Priority, target, parameters: copied without those that are removed. 0: no such record. */
static size_t filter_service(const uint8_t *in, size_t len, uint8_t *out)
{
	size_t at = 2, n, size;
	unsigned key;
	int last = -1;

	while (at < len && in[at]) {
		if (in[at] > 63)
			return 0;
		at += 1U + in[at];
	}
	if (++at > len)
		return 0;
	memcpy(out, in, at);
	for (n = at; at < len; at += size) {
		if (len - at < 4)
			return 0;
		key = number(in + at);
		size = 4 + number(in + at + 2);
		if (size > len - at || (int)key <= last || (key == KEY_MANDATORY && !keep_mandatory(in + at + 4, size - 4)))
			return 0;
		last = (int)key;
		if (is_removed(key))
			continue;
		memcpy(out + n, in + at, size);
		n += size;
	}
	return n;
}

/* --- records -------------------------------------------------------------------------------- */

/* The data in wire form, names whole. 0: too long, or none. */
static size_t data_of(const ldns_rr *rr, uint8_t out[static RDATA_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *d = ldns_rr_rdf(rr, i);

		if (ldns_rdf_size(d) > RDATA_MAX - n)
			return 0;
		memcpy(out + n, ldns_rdf_data(d), ldns_rdf_size(d));
		n += ldns_rdf_size(d);
	}
	return n;
}

static bool is_wanted(const ldns_rr *rr, const struct dns_question *q)
{
	const ldns_rdf *owner = ldns_rr_owner(rr);

	if ((unsigned)ldns_rr_get_type(rr) != q->type || ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN || !owner)
		return false;
	/* Of a chain of aliases its own; other records stand at the chain's end. */
	if (q->type != LDNS_RR_TYPE_CNAME)
		return true;
	return ldns_rdf_size(owner) == q->owner_len &&
	       strncasecmp((const char *)ldns_rdf_data(owner), (const char *)q->owner, q->owner_len) == 0;
}

/* One record, as the question's own. NULL: there is none; *ret_ok is false without memory. */
static ldns_rr *make(const ldns_rr *rr, const struct dns_question *q, uint32_t ttl_max, bool *ret_ok)
{
	uint8_t in[RDATA_MAX], out[RDATA_MAX];
	bool service = q->type == 64 || q->type == 65;
	size_t n = service ? data_of(rr, in) : 0;
	ldns_rr *copy;
	ldns_rdf *owner;

	n = n ? filter_service(in, n, out) : 0;
	if (service && n == 0)
		return NULL;
	copy = service ? ldns_rr_new() : ldns_rr_clone(rr);
	owner = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, q->owner_len, q->owner);
	*ret_ok = copy && owner;
	if (*ret_ok && service) {
		ldns_rdf *data = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_UNKNOWN, n, out);

		ldns_rr_set_type(copy, (ldns_rr_type)q->type);
		ldns_rr_set_class(copy, LDNS_RR_CLASS_IN);
		*ret_ok = data && ldns_rr_push_rdf(copy, data);
		if (!*ret_ok)
			ldns_rdf_deep_free(data);
	}
	if (!*ret_ok) {
		ldns_rr_free(copy);
		ldns_rdf_deep_free(owner);
		return NULL;
	}
	ldns_rdf_deep_free(ldns_rr_owner(copy));
	ldns_rr_set_owner(copy, owner);
	ldns_rr_set_ttl(copy, ldns_rr_ttl(rr) < ttl_max ? ldns_rr_ttl(rr) : ttl_max);
	return copy;
}

bool records_push(struct ldns_struct_pkt *answer, const struct dns_question *q, const uint8_t *data, size_t len,
		  uint32_t ttl_max)
{
	ldns_pkt *p = NULL;
	bool ok = len >= 12 && ldns_wire2pkt(&p, data, len) == LDNS_STATUS_OK;
	const ldns_rr_list *list = ok ? ldns_pkt_answer(p) : NULL;
	size_t n = 0;

	for (size_t i = 0; ok && i < ldns_rr_list_rr_count(list) && n < RECORDS_MAX; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);
		ldns_rr *one = is_wanted(rr, q) ? make(rr, q, ttl_max, &ok) : NULL;

		if (one && !ldns_pkt_push_rr(answer, LDNS_SECTION_ANSWER, one)) {
			ldns_rr_free(one);
			ok = false;
		}
		n += one != NULL;
	}
	ldns_pkt_free(p);
	return ok;
}
