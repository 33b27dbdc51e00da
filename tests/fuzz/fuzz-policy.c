/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any document: the loader refuses it with a place and a reason, or gives a
 * policy whose canonical form loads as the same policy: the same text again,
 * and the same decisions. However it is written, a rule can be added to its text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/policy_decide.h"
#include "model/policy_edit.h"
#include "model/policy_explain.h"
#include "model/policy_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool load(struct policy *p, const char *text, size_t len, struct policy_warnings *warnings)
{
	struct json_doc doc;
	struct err e = { 0 };
	int rc = json_doc_parse(&doc, "fuzz.json", text, len, &e);

	if (rc == 0) {
		rc = policy_read(p, &doc, warnings, &e);
		json_doc_fini(&doc);
	}
	must(rc == 0 || (e.num > 0 && strncmp(e.text, "fuzz.json", 9) == 0));
	return rc == 0;
}

static void same_verdict(const struct policy *p, const struct policy *q, const struct policy_attempt *a)
{
	struct policy_verdict v, w;
	struct policy_advice advice;
	struct policy_options options;
	char text[EXPLAIN_TEXT_MAX];

	policy_decide(p, a, &v);
	policy_decide(q, a, &w);
	must(v.allow == w.allow && v.reason == w.reason && !v.rule == !w.rule);
	must(!v.rule || strcmp(v.rule->id, w.rule->id) == 0);
	must(policy_verdict_text(&v, a, text, sizeof text)[0] != '\0');
	must(policy_attempt_text(a, text, sizeof text)[0] != '\0');
	policy_advise(&v, a, &advice);
	/* A denied peer that has a name can be allowed by it. */
	must(v.allow || advice.remedy != REMEDY_NONE || a->peer.n_names == 0 || a->peer.addr);
	policy_verdict_options(&v, &options);
	if (!v.allow)
		(void)policy_verdict_errno(&v, true);
}

/* Attempts at what the policy itself names, and at what it does not. */
static void same_decisions(const struct policy *p, const struct policy *q)
{
	static const char *const names[] = { "db", "api.example.com", "example.com" };
	static const struct addr addrs[] = {
		{ { [10] = 0xff, 0xff, 10, 1, 2, 3 } },
		{ { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
		{ { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
		{ { 0, 0x64, 0xff, 0x9b, [12] = 10, 1, 2, 3 } },
	};
	static const uint16_t ports[] = { 1, 80, 443, 5432, 65535 };

	for (unsigned i = 0; i < 4 * 2 * 5 * 5 * 5; i++) {
		struct policy_attempt a = {
			.kind = (enum attempt_kind)(i % 4),
			.proto = i / 4 % 2 ? POLICY_UDP : POLICY_TCP,
			.port = ports[i / 8 % 5],
			.peer.kind = (enum party_kind)(i / 40 % 5),
		};
		unsigned which = i / 200;

		if (which < 4)
			a.peer.addr = &addrs[which];
		if (a.peer.kind == PARTY_NAME || a.peer.kind == PARTY_DOMAIN) {
			a.peer.names = &names[a.peer.kind == PARTY_DOMAIN ? 0 : 1 + which % 2];
			a.peer.n_names = 1;
		}
		if (a.kind == ATTEMPT_LISTEN)
			a.local = a.peer.addr;
		same_verdict(p, q, &a);
	}
}

/* With one rule more it is a policy still, but where a deny leaves nothing of the rule, or there is no room. */
static void edit(const struct policy *p, const char *text)
{
	static char line[] = "{ \"allow\": \"connect\", \"to\": \"never-seen.invalid:65535\", \"proto\": \"udp\" }";
	char *const lines[] = { line };
	char *edited = NULL, *patch = NULL;
	struct err e = { 0 };
	struct json_doc doc;
	struct policy q;

	must(json_doc_parse(&doc, "fuzz.json", text, strlen(text), &e) == 0);
	must(policy_edit_add(&doc, lines, 1, &edited, &e) == 0);
	must(policy_edit_patch("fuzz.json", doc.text, edited, &patch, &e) == 0 && *patch);
	json_doc_fini(&doc);
	must(json_doc_parse(&doc, "fuzz.json", edited, strlen(edited), &e) == 0 || e.num == EFBIG);
	if (e.num != EFBIG) {
		if (policy_read(&q, &doc, NULL, &e) == 0) {
			must(q.n_rules == p->n_rules + 1);
			policy_fini(&q);
		} else {
			must(strstr(e.text, "rules") != NULL);
		}
		json_doc_fini(&doc);
	}
	free(edited);
	free(patch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_warnings warnings = { 0 };
	struct policy p, q;
	char *text = NULL, *again = NULL;
	struct err e = { 0 };

	if (!load(&p, (const char *)data, size, &warnings))
		return 0;
	must(policy_format(&p, &text, &e) == 0);
	must(load(&q, text, strlen(text), NULL));
	must(policy_format(&q, &again, &e) == 0 && strcmp(text, again) == 0);
	must(policy_needs(&p) == policy_needs(&q) && p.n_rules == q.n_rules);
	if (p.n_rules < 200) /* so that a long document does not time out */
		same_decisions(&p, &q);
	edit(&p, p.text);
	edit(&q, text);
	policy_warnings_fini(&warnings);
	policy_fini(&p);
	policy_fini(&q);
	free(text);
	free(again);
	return 0;
}
