/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/trail.h"

#include <stdlib.h>
#include <string.h>

void trail_init(struct trail *t)
{
	*t = (struct trail){ 0 };
	STAILQ_INIT(&t->records);
}

static void drop_oldest(struct trail *t)
{
	struct trail_record *r = STAILQ_FIRST(&t->records);

	STAILQ_REMOVE_HEAD(&t->records, link);
	t->n--;
	t->bytes -= r->len;
	free(r);
}

void trail_fini(struct trail *t)
{
	while (t->n)
		drop_oldest(t);
}

void trail_add(struct trail *t, const char *line, size_t len)
{
	struct trail_record *r = len <= TRAIL_BYTES ? malloc(sizeof *r + len) : NULL;

	if (!r) {
		t->dropped++;
		return;
	}
	for (; t->n && (t->n >= TRAIL_RECORDS || t->bytes + len > TRAIL_BYTES); t->dropped++)
		drop_oldest(t);
	r->len = len;
	memcpy(r->text, line, len);
	STAILQ_INSERT_TAIL(&t->records, r, link);
	t->n++;
	t->bytes += len;
}
