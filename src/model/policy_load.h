/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the policy loader share. Nobody else includes this. */
#ifndef VRUN_MODEL_POLICY_LOAD_H
#define VRUN_MODEL_POLICY_LOAD_H

#include "model/policy.h"

struct policy_loader {
	struct policy *p;
	struct policy_warnings *warnings; /* or NULL */
	size_t elements, ranges;          /* read so far, against POLICY_ELEMENTS_MAX ... */
};

/* Adds a warning at a cursor. -ENOMEM is the only failure. hint may be NULL. */
int policy_warn(struct policy_loader *l, const struct jat *at, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* An error of a parser below, put at its place with its hint. Returns its number. */
int policy_bad_value(const struct jat *at, const struct err *inner, struct err *e);

/* Refuses a list of more than max elements. */
int policy_bound_list(const struct jat *list, size_t max, struct err *e);

/* Refuses members that are null: left out is said by leaving out. */
int policy_no_nulls(const struct jat *at, struct err *e);

/* A size ("512M" or a number of bytes), at least 1. 1, 0 when absent, or -EINVAL. */
int policy_get_size(const struct jat *at, const char *key, uint64_t *ret, struct err *e);

/* A word of a NULL-terminated list; its index. 1, 0 when absent, or -EINVAL. */
int policy_get_word(const struct jat *at, const char *key, const char *const *words, int *ret,
		    struct err *e);

/* policy_rule.c: one element of net.rules, but its id and line. */
int policy_read_rule(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
		     struct err *e);

/* policy_check.c: ids, then what rules mean together. `rules` is the array's cursor; needs the index. */
int policy_name_rules(struct policy *p, const struct jat *rules, struct err *e);
int policy_check_rules(struct policy_loader *l, const struct jat *rules, struct err *e);

extern const char *const policy_rule_keys[], *const policy_record_keys[], *const policy_tls_keys[];

#endif
