/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy as text again. The canonical form has one order for everything and
 * leaves out what is the default, so two policies that mean the same give the
 * same text but for ids that one of them was given. It loads as the same
 * policy; comments are not kept.
 */
#ifndef VRUN_MODEL_POLICY_WRITE_H
#define VRUN_MODEL_POLICY_WRITE_H

#include "model/policy.h"

/* The whole policy, one rule a line, with a final newline. The caller frees. -ENOMEM. */
int policy_format(const struct policy *p, char **ret_text, struct err *e);

/* One rule, as it stands in "rules": one line without a newline. The caller frees. -ENOMEM. */
int policy_rule_format(const struct policy_rule *r, char **ret_text, struct err *e);

/* Options as in a rule: "\"rate\": \"1000/s\", ..."; "" for none. The caller frees. -ENOMEM. */
int policy_options_format(const struct policy_options *o, char **ret_text, struct err *e);

#endif
