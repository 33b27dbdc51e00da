/* SPDX-License-Identifier: Apache-2.0 */
/* The container state that a runtime sends: whatever it is, no more than an error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"
#include "sup/admit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct admit_state s = { 0 };
	struct err e = { 0 };
	struct json_doc doc;
	size_t n_fds = size ? data[0] % 4 : 0;
	int rc;

	if (json_doc_parse(&doc, "state", (const char *)data, size, &e) < 0)
		return 0;
	rc = admit_parse(&doc, n_fds, &s, &e);
	/* An error says what is wrong; a state has an id and a listener that came. */
	if (rc == 0 ? !s.id || !*s.id || s.listener >= n_fds : !*e.text)
		abort();
	json_doc_fini(&doc);
	return 0;
}
