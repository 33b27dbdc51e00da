/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/tree.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 1024U

static const char *const why_names[] = { "parent", "program", "library", "package", "runtime",
					 "system", "trace",   "add",	 "data" };
_Static_assert(sizeof why_names / sizeof *why_names == WHY_MAX, "a name for each reason");

const char *tree_why_name(enum node_why why)
{
	return (unsigned)why < WHY_MAX ? why_names[why] : "unknown";
}

void tree_init(struct tree *t)
{
	*t = (struct tree){ 0 };
}

void tree_fini(struct tree *t)
{
	free(t->slot);
	arena_fini(&t->arena);
	*t = (struct tree){ 0 };
}

/* FNV-1a; the paths are the packer's own host's, so nobody gains by collisions. */
static size_t hash(const char *s)
{
	uint64_t h = 14695981039346656037ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ULL;
	return (size_t)(h ^ h >> 32);
}

/* The slot that holds path, or the free one where it belongs. */
static struct node **probe(struct node **slot, size_t n_slots, const char *path)
{
	size_t i = hash(path) & (n_slots - 1);

	while (slot[i] && strcmp(slot[i]->path, path) != 0)
		i = (i + 1) & (n_slots - 1);
	return &slot[i];
}

struct node *tree_find(const struct tree *t, const char *path)
{
	return t->n_slots ? *probe(t->slot, t->n_slots, path) : NULL;
}

static int grow(struct tree *t)
{
	size_t want = t->n_slots ? t->n_slots * 2 : SLOTS_MIN;
	struct node **slot = calloc(want, sizeof(struct node *));

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slot[i])
			*probe(slot, want, t->slot[i]->path) = t->slot[i];
	free(t->slot);
	t->slot = slot;
	t->n_slots = want;
	return 0;
}

static bool copy_string(struct tree *t, const char **s)
{
	if (!*s)
		return true;
	*s = arena_strdup(&t->arena, *s);
	return *s != NULL;
}

/* Content may hold NUL bytes; a link's target is a string. */
static bool copy_text(struct tree *t, struct node *n)
{
	if (!n->text || n->kind == NODE_LINK)
		return copy_string(t, &n->text);
	n->text = arena_strndup(&t->arena, n->text, n->size);
	return n->text != NULL;
}

int tree_add(struct tree *t, const struct node *n, struct node **ret, struct err *e)
{
	struct node *found = tree_find(t, n->path), *copy;

	if (found) {
		if (ret)
			*ret = found;
		return 0;
	}
	if (t->n * 2 >= t->n_slots && grow(t) < 0)
		return err_num(e, ENOMEM, "%s", n->path);
	copy = arena_alloc(&t->arena, sizeof *copy);
	if (!copy)
		return err_num(e, ENOMEM, "%s", n->path);
	*copy = *n;
	if (!copy_string(t, &copy->path) || !copy_string(t, &copy->source) ||
	    !copy_text(t, copy))
		return err_num(e, ENOMEM, "%s", n->path);
	*probe(t->slot, t->n_slots, copy->path) = copy;
	t->n++;
	if (ret)
		*ret = copy;
	return 1;
}

int tree_add_dir(struct tree *t, const char *path, mode_t mode, enum node_why why, struct err *e)
{
	struct node n = { .path = path, .kind = NODE_DIR, .mode = mode, .why = why };

	return tree_add(t, &n, NULL, e);
}

int tree_add_data(struct tree *t, const char *path, mode_t mode, const void *data, size_t len,
		  enum node_why why, struct err *e)
{
	struct node n = { .path = path,
			  .kind = NODE_FILE,
			  .mode = mode,
			  .why = why,
			  .text = data,
			  .size = len };

	return tree_add(t, &n, NULL, e);
}

int tree_add_text(struct tree *t, const char *path, mode_t mode, const char *text,
		  enum node_why why, struct err *e)
{
	return tree_add_data(t, path, mode, text, strlen(text), why, e);
}

static int by_path(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->path, (*(struct node *const *)b)->path);
}

struct node **tree_sorted(const struct tree *t)
{
	struct node **v = calloc(t->n + 1, sizeof(struct node *));
	size_t n = 0;

	if (!v)
		return NULL;
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slot[i])
			v[n++] = t->slot[i];
	qsort(v, n, sizeof(struct node *), by_path);
	return v;
}
