/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any file of expectations: refused with a place and a reason, or each of them
 * can be asked, and gets a yes, a no, or a reason why it makes no sense.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/expect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void load(struct policy *p, const char *text)
{
	struct json_doc doc;

	must(json_doc_parse(&doc, "fixed.json", text, strlen(text), NULL) == 0);
	must(policy_read(p, &doc, NULL, NULL) == 0);
	json_doc_fini(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy web, db;
	static const struct policy *const others[] = { &db };
	static const struct fabric fabric = { .self = &web, .others = others, .n_others = 1 };
	struct expectations x;
	struct json_doc doc;
	struct err e = { 0 };
	char text[1000], why[EXPECT_WHY_MAX];

	if (!web.file) {
		load(&web, "{\"version\":1,\"domain\":\"web\",\"net\":{\"address\":[\"10.88.0.10\"],\"rules\":["
			   "{\"allow\":\"connect\",\"to\":[\"db:5432\",\"*.example.com:443\"]},"
			   "{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"db\",\"host\"]}]}}");
		load(&db, "{\"version\":1,\"domain\":\"db\",\"net\":{\"address\":[\"10.88.0.11\"]}}");
	}
	if (json_doc_parse(&doc, "fuzz.json", (const char *)data, size, &e) < 0)
		return 0;
	if (expect_read(&x, &doc, &e) < 0) {
		must(e.num > 0 && strncmp(e.text, "fuzz.json", 9) == 0);
	} else {
		for (size_t i = 0; i < x.n && i < 1000; i++) {
			int rc = expect_decide(&x.v[i], &fabric, why, &e);

			must(rc == 0 || rc == 1 || (rc == -EINVAL && e.text[0]));
			must(rc < 0 || why[0]);
			must(expect_text(&x.v[i], text, sizeof text)[0] != '\0');
		}
		expect_fini(&x);
	}
	json_doc_fini(&doc);
	return 0;
}
