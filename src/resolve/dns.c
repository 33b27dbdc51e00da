/* SPDX-License-Identifier: Apache-2.0 */
#include "resolve/dns.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define HEADER 12
#define EDNS_ROOM 1232 /* what fits any path (dnsflagday.net/2020), said to clients */
#define PLAIN_ROOM 512

/* --- questions ------------------------------------------------------------------- */

/* "4.3.2.1.in-addr.arpa" and "...ip6.arpa", whole addresses only, in the one form of names. */
static bool read_reverse4(const char *name, struct addr *ret)
{
	const char *label[4], *p = name;
	char text[16];

	if (strlen(name) >= sizeof text + strlen(".in-addr.arpa"))
		return false;
	for (size_t i = 0; i < 4; i++) {
		label[i] = p;
		p = strchr(p, '.');
		if (!p)
			return false;
		p++;
	}
	if (strcmp(p, "in-addr.arpa") != 0)
		return false;
	(void)snprintf(text, sizeof text, "%.*s.%.*s.%.*s.%.*s", (int)(p - label[3] - 1), label[3],
		       (int)(label[3] - label[2] - 1), label[2], (int)(label[2] - label[1] - 1), label[1],
		       (int)(label[1] - label[0] - 1), label[0]);
	return addr_parse(text, ret, NULL) == 0;
}

static bool read_reverse6(const char *name, struct addr *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 31; i >= 0; i--, name += 2) {
		const char *digit = *name ? strchr(digits, *name) : NULL;
		uint8_t *b = &ret->b[i / 2];

		if (!digit || name[1] != '.')
			return false;
		*b = i % 2 ? (uint8_t)(digit - digits) : (uint8_t)(*b | (digit - digits) << 4);
	}
	return strcmp(name, "ip6.arpa") == 0;
}

/* What a text escapes (RFC 4343, 2.1) becomes '?', and the last dot goes. */
static void put_readable(const char *text, char *buf)
{
	size_t n = 0;

	while (*text && n < NAME_TEXT_MAX - 1) {
		bool escaped = *text == '\\' && text[1];

		if (escaped)
			text += text[1] >= '0' && text[1] <= '9' && text[2] && text[3] ? 3 : 1;
		buf[n++] = (char)(escaped ? '?' : *text);
		text++;
	}
	n -= n > 1 && !*text && buf[n - 1] == '.';
	buf[n] = '\0';
}

static void read_name(const struct dns_question *q, const char *text, struct lookup *ret)
{
	*ret = (struct lookup){ .kind = LOOKUP_ASK, .what = LOOKUP_EXISTS, .type = q->type };
	if (name_parse(text, ret->name, NULL, NULL) < 0) {
		ret->what = LOOKUP_NOBODY;
		put_readable(text, ret->name);
		return;
	}
	switch (q->type) {
	case LDNS_RR_TYPE_A:
	case LDNS_RR_TYPE_AAAA:
		ret->what = LOOKUP_NAME;
		ret->v6 = q->type == LDNS_RR_TYPE_AAAA;
		break;
	case LDNS_RR_TYPE_PTR:
		if (read_reverse4(ret->name, ret->addresses) || read_reverse6(ret->name, ret->addresses)) {
			ret->what = LOOKUP_REVERSE;
			ret->n = 1;
		}
		break;
	}
}

static enum dns_next read_question(const ldns_rr *rr, struct dns_question *q, enum dns_code *ret_code,
				   struct lookup *ret)
{
	const ldns_rdf *owner = ldns_rr_owner(rr);
	char *text;

	if (!owner || ldns_rdf_size(owner) > sizeof q->owner) {
		*ret_code = DNS_FORMERR;
		return DNS_REPLY;
	}
	q->type = (uint16_t)ldns_rr_get_type(rr);
	q->class = (uint16_t)ldns_rr_get_class(rr);
	q->owner_len = ldns_rdf_size(owner);
	memcpy(q->owner, ldns_rdf_data(owner), q->owner_len);
	q->has_owner = true;
	*ret_code = DNS_REFUSED;
	if (q->class != LDNS_RR_CLASS_IN && q->class != LDNS_RR_CLASS_ANY)
		return DNS_REPLY;
	*ret_code = DNS_OK; /* the root has nothing that anybody here could want */
	if (q->owner_len == 1)
		return DNS_REPLY;
	text = ldns_rdf2str(owner);
	*ret_code = DNS_SERVFAIL;
	if (!text)
		return DNS_REPLY;
	read_name(q, text, ret);
	free(text);
	return DNS_LOOKUP;
}

static enum dns_next read_packet(const ldns_pkt *p, struct dns_question *q, enum dns_code *ret_code,
				 struct lookup *ret)
{
	const ldns_rr_list *questions = ldns_pkt_question(p);

	q->recursion = ldns_pkt_rd(p);
	q->checking_off = ldns_pkt_cd(p);
	q->edns = ldns_pkt_edns(p);
	if (q->edns && ldns_pkt_edns_udp_size(p) > PLAIN_ROOM)
		q->room = ldns_pkt_edns_udp_size(p) < EDNS_ROOM ? ldns_pkt_edns_udp_size(p) : EDNS_ROOM;
	*ret_code = DNS_NOTIMP;
	if (ldns_pkt_get_opcode(p) != LDNS_PACKET_QUERY)
		return DNS_REPLY;
	*ret_code = DNS_FORMERR;
	if (ldns_rr_list_rr_count(questions) != 1)
		return DNS_REPLY;
	return read_question(ldns_rr_list_rr(questions, 0), q, ret_code, ret);
}

enum dns_next dns_read(const uint8_t *data, size_t len, struct dns_question *ret_q, enum dns_code *ret_code,
		       struct lookup *ret_lookup)
{
	struct dns_question q = { .room = PLAIN_ROOM };
	enum dns_next next = DNS_REPLY;
	enum dns_code code = DNS_FORMERR;
	ldns_pkt *p = NULL;

	if (len < HEADER || len > DNS_MESSAGE_MAX || (data[2] & 0x80)) /* an answer: whose? */
		return DNS_DROP;
	q.id = (uint16_t)(data[0] << 8 | data[1]);
	if (ldns_wire2pkt(&p, data, len) == LDNS_STATUS_OK)
		next = read_packet(p, &q, &code, ret_lookup);
	ldns_pkt_free(p);
	*ret_q = q;
	*ret_code = code;
	return next;
}

/* --- answers --------------------------------------------------------------------- */

static bool push(ldns_pkt *p, const struct dns_question *q, ldns_rr_type type, uint32_t ttl, ldns_rdf *value)
{
	ldns_rr *rr = value ? ldns_rr_new() : NULL;
	ldns_rdf *owner = rr ? ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, q->owner_len, q->owner) : NULL;

	if (!owner) {
		ldns_rr_free(rr);
		ldns_rdf_deep_free(value);
		return false;
	}
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, type);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, ttl);
	if (ldns_rr_push_rdf(rr, value) && ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr))
		return true;
	ldns_rr_free(rr);
	return false;
}

static bool push_found(ldns_pkt *p, const struct dns_question *q, const struct lookup *found)
{
	bool ok = true;

	if (found->what == LOOKUP_REVERSE)
		return !*found->name ||
		       push(p, q, LDNS_RR_TYPE_PTR, found->ttl, ldns_dname_new_frm_str(found->name));
	for (uint32_t i = 0; i < found->n && i < LOOKUP_ADDRESSES_MAX && ok; i++) {
		const struct addr *a = &found->addresses[i];

		ok = found->v6 ? push(p, q, LDNS_RR_TYPE_AAAA, found->ttl,
				      ldns_rdf_new_frm_data(LDNS_RDF_TYPE_AAAA, 16, a->b)) :
				 push(p, q, LDNS_RR_TYPE_A, found->ttl,
				      ldns_rdf_new_frm_data(LDNS_RDF_TYPE_A, 4, a->b + 12));
	}
	return ok;
}

static bool push_question(ldns_pkt *p, const struct dns_question *q)
{
	ldns_rr *rr = ldns_rr_new();
	ldns_rdf *owner = rr ? ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, q->owner_len, q->owner) : NULL;

	if (!owner) {
		ldns_rr_free(rr);
		return false;
	}
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, q->type);
	ldns_rr_set_class(rr, q->class);
	ldns_rr_set_question(rr, true);
	if (ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION, rr))
		return true;
	ldns_rr_free(rr);
	return false;
}

/* An extended error (RFC 8914), for those who can read it. */
static bool push_why(ldns_pkt *p, enum lookup_why why)
{
	static const struct {
		uint16_t code;
		const char *text;
	} errors[] = {
		[LOOKUP_WHY_BLOCKED] = { 15, "not allowed by the sandbox's policy" },
		[LOOKUP_WHY_FILTERED] = { 17, "no address that the sandbox's policy allows" },
		[LOOKUP_WHY_NETWORK] = { 22, "no name server has answered" },
	};
	uint8_t option[6 + 64] = { 0, 15 };
	ldns_rdf *data;
	size_t len;

	if (why == LOOKUP_WHY_NONE || why >= sizeof errors / sizeof *errors || !errors[why].text)
		return true;
	len = strlen(errors[why].text);
	option[3] = (uint8_t)(2 + len);
	option[5] = (uint8_t)errors[why].code;
	memcpy(option + 6, errors[why].text, len);
	data = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_UNKNOWN, 6 + len, option);
	if (data)
		ldns_pkt_set_edns_data(p, data);
	return data != NULL;
}

static ldns_pkt *build(const struct dns_question *q, enum dns_code code, const struct lookup *found,
		       const uint8_t *data, bool cut)
{
	ldns_pkt *p = ldns_pkt_new();
	bool ok = p != NULL;

	if (!ok)
		return NULL;
	ldns_pkt_set_id(p, q->id);
	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_rd(p, q->recursion);
	ldns_pkt_set_cd(p, q->checking_off);
	ldns_pkt_set_ra(p, true);
	ldns_pkt_set_tc(p, cut);
	ldns_pkt_set_rcode(p, (uint8_t)code);
	if (q->edns)
		ldns_pkt_set_edns_udp_size(p, EDNS_ROOM);
	if (q->has_owner)
		ok = push_question(p, q);
	if (ok && found && !cut)
		ok = (found->size ? records_push(p, q, data, found->size, found->ttl) : push_found(p, q, found)) &&
		     (!q->edns || push_why(p, found->why));
	if (ok)
		return p;
	ldns_pkt_free(p);
	return NULL;
}

static size_t encode(ldns_pkt *p, size_t max, uint8_t *out)
{
	uint8_t *wire = NULL;
	size_t len = 0;

	if (p && ldns_pkt2wire(&wire, p, &len) == LDNS_STATUS_OK && len <= max)
		memcpy(out, wire, len);
	else if (len <= max)
		len = 0;
	free(wire);
	ldns_pkt_free(p);
	return len;
}

size_t dns_write(const struct dns_question *q, enum dns_code code, const struct lookup *found, const uint8_t *data,
		 size_t max, uint8_t *out)
{
	size_t len = encode(build(q, code, found, data, false), max, out);

	/* What a name server has sent and nobody can read. */
	if (len == 0 && found && found->size)
		len = encode(build(q, DNS_SERVFAIL, NULL, NULL, false), max, out);
	if (len > max)
		len = encode(build(q, code, found, data, true), max, out);
	return len <= max ? len : 0;
}
