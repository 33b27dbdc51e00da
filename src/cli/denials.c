/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/denials.h"

#include "base/log.h"
#include "cli/ask.h"
#include "model/json.h"

static void print_entry(FILE *to, const json_t *o)
{
	char attempt[800], policy[300], line[600], advice[800], message[1700];
	long long count = ask_int(o, "count");

	(void)fprintf(to, "vrun:   %s", log_quote(attempt, sizeof attempt, ask_string(o, "attempt")));
	if (count > 1)
		(void)fprintf(to, " (%lld times)", count);
	if (*ask_string(o, "message"))
		(void)fprintf(to, ": %s", log_quote(message, sizeof message, ask_string(o, "message")));
	if (*ask_string(o, "line"))
		(void)fprintf(to, "; to allow it, \"rules\" of %s: %s\n",
			      log_quote(policy, sizeof policy, ask_string(o, "policy")),
			      log_quote(line, sizeof line, ask_string(o, "line")));
	else
		(void)fprintf(to, "; %s\n", log_quote(advice, sizeof advice, ask_string(o, "advice")));
}

void summary_print(FILE *to, const struct json_doc *doc)
{
	const json_t *list = json_object_get(doc->root, "list"), *o;
	long long denied = ask_int(doc->root, "denied"), others = ask_int(doc->root, "others");
	size_t i;

	if (denied <= 0)
		return;
	(void)fprintf(to, "vrun: the policy denied %lld %s:\n", denied, denied == 1 ? "call" : "calls");
	json_array_foreach(list, i, o)
		print_entry(to, o);
	if (others > 0)
		(void)fprintf(to, "vrun:   and %lld more\n", others);
}
