/* SPDX-License-Identifier: Apache-2.0 */
/* What a foreground run says at its end: what its policy denied, and what would allow it. */
#ifndef VRUN_CLI_DENIALS_H
#define VRUN_CLI_DENIALS_H

#include <stdio.h>

struct json_doc;

/* The document is a supervisor's summary_json(). Prints nothing when nothing was denied. */
void summary_print(FILE *to, const struct json_doc *doc);

#endif
