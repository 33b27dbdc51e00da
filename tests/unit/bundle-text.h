/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles from text, for the tests of the config.json reader: ' stands for ". */
#ifndef VRUN_TESTS_BUNDLE_TEXT_H
#define VRUN_TESTS_BUNDLE_TEXT_H

#include <stdlib.h>
#include <string.h>

#include "model/bundle.h"

#define BUNDLE_TEXT_HEAD "{'ociVersion':'1.2.0','root':{'path':'rootfs'}"

/* As bundle_read() of the document, which is called c.json and lies in /b. */
static inline int bundle_from_text(struct bundle *b, const char *text, struct err *e)
{
	char *json = strdup(text);
	struct json_doc doc;
	int rc;

	*b = (struct bundle){0};
	*e = (struct err){0};
	if (!json)
		return -ENOMEM;
	for (char *p = json; *p; p++)
		if (*p == '\'')
			*p = '"';
	rc = json_doc_parse(&doc, "c.json", json, strlen(json), e);
	free(json);
	if (rc < 0)
		return rc;
	rc = bundle_read(b, "/b", &doc, e);
	json_doc_fini(&doc);
	return rc;
}

#endif
