/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void notes_init(struct notes *n)
{
	*n = (struct notes){ .last = NULL };
	n->last = &n->first;
}

void notes_fini(struct notes *n)
{
	arena_fini(&n->arena);
	notes_init(n);
}

void notes_add(struct notes *n, const char *fmt, ...)
{
	char text[2048];
	struct note *note;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (note = n->first; note; note = note->next)
		if (strcmp(note->text, text) == 0)
			return;
	note = arena_alloc(&n->arena, sizeof *note);
	if (!note)
		return; /* a note lost to a full memory is not worth failing for */
	note->text = arena_strdup(&n->arena, text);
	if (!note->text)
		return;
	*n->last = note;
	n->last = &note->next;
	n->n++;
}
