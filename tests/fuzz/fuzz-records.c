/* SPDX-License-Identifier: Apache-2.0 */
/* A name server's message for a question of another type: what an app gets of it has no addresses in it. */
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "resolve/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No parameter of a service is an address, and all are in their places. */
static void check_service(const ldns_rr *rr)
{
	uint8_t all[UINT16_MAX];
	size_t n = 0, at = 2;

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		memcpy(all + n, ldns_rdf_data(ldns_rr_rdf(rr, i)), ldns_rdf_size(ldns_rr_rdf(rr, i)));
		n += ldns_rdf_size(ldns_rr_rdf(rr, i));
	}
	while (at < n && all[at])
		at += 1U + all[at];
	for (at++; at < n; at += 4U + (all[at + 2] << 8 | all[at + 3]))
		if (at + 4 > n || (all[at] == 0 && all[at + 1] >= 4 && all[at + 1] <= 6))
			abort();
	if (at != n)
		abort();
}

static void check(const uint8_t *data, size_t size, uint16_t type)
{
	static uint8_t out[UINT16_MAX];
	struct dns_question q = { .id = 7, .type = type, .class = 1, .has_owner = true, .owner = "\1a\7example", .owner_len = 11 };
	struct lookup l = { .what = LOOKUP_EXISTS, .type = type, .ttl = 60, .size = (uint16_t)size };
	size_t len = dns_write(&q, DNS_OK, &l, data, sizeof out, out);
	ldns_pkt *p = NULL;

	if (len == 0 || ldns_wire2pkt(&p, out, len) != LDNS_STATUS_OK)
		abort();
	if (ldns_rr_list_rr_count(ldns_pkt_authority(p)) || ldns_rr_list_rr_count(ldns_pkt_additional(p)))
		abort();
	for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_answer(p)); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);

		if ((uint16_t)ldns_rr_get_type(rr) != type || ldns_rr_ttl(rr) > 60 ||
		    ldns_rdf_size(ldns_rr_owner(rr)) != q.owner_len)
			abort();
		if (type == 65)
			check_service(rr);
	}
	ldns_pkt_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { 2, 5, 6, 12, 15, 16, 33, 35, 43, 44, 52, 64, 65, 257 };

	if (size == 0 || size > LOOKUP_DATA_MAX)
		return 0;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		check(data, size, types[i]);
	return 0;
}
