/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a policy's text for people: what is not changed stays as it was written. */
#ifndef VRUN_MODEL_POLICY_EDIT_H
#define VRUN_MODEL_POLICY_EDIT_H

#include "model/json.h"

/*
 * The text of a document, which is a policy, with rules added behind its own;
 * "net" becomes an object where it was none. `lines` are rules as
 * policy_rule_format() has them, at least one. The caller frees. -ENOMEM.
 */
int policy_edit_add(const struct json_doc *doc, char *const *lines, size_t n, char **ret_text,
		    struct err *e);

/* Text in the place of a document's, as json_span() tells it. */
struct policy_swap {
	size_t start, end;
	const char *text;
};

/* Both: rules behind the others (none: n is 0), and text in place of other text. Nothing overlaps. */
int policy_edit_change(const struct json_doc *doc, const struct policy_swap *swaps, size_t n_swaps,
		       char *const *lines, size_t n, char **ret_text, struct err *e);

/*
 * The change from one text to another as a unified diff of one hunk, which
 * patch(1) takes. The caller frees; "" for no change. -ENOMEM.
 */
int policy_edit_patch(const char *name, const char *from, const char *to, char **ret_patch,
		      struct err *e);

#endif
