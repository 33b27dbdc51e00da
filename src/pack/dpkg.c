/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/dpkg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"

#define STATUS_MAX (256U << 20)
#define LIST_MAX (64U << 20)
#define NAME_MAX_LEN 256U

static int no_memory(struct err *e)
{
	return err_num(e, ENOMEM, "reading the package database");
}

/* --- /var/lib/dpkg/status ------------------------------------------------ */

/* The fields of interest, and where each one's value goes. */
static const struct field {
	const char *name;
	size_t offset;
} fields[] = {
	{ "Package", offsetof(struct dpkg_package, name) },
	{ "Architecture", offsetof(struct dpkg_package, arch) },
	{ "Version", offsetof(struct dpkg_package, version) },
	{ "Section", offsetof(struct dpkg_package, section) },
	{ "Source", offsetof(struct dpkg_package, source) },
	{ "Depends", offsetof(struct dpkg_package, depends) },
	{ "Pre-Depends", offsetof(struct dpkg_package, pre_depends) },
	{ "Recommends", offsetof(struct dpkg_package, recommends) },
	{ "Provides", offsetof(struct dpkg_package, provides) },
};

/* Takes one line "Name: value" into the package. Continuation lines hold nothing that is wanted. */
static void read_field(struct dpkg_package *pkg, char *line, bool *installed)
{
	char *colon = strchr(line, ':'), *value;

	if (!colon || line[0] == ' ' || line[0] == '\t')
		return;
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		if (strcmp(line, fields[i].name) != 0)
			continue;
		memcpy((char *)pkg + fields[i].offset, &value, sizeof value);
		return;
	}
	if (strcmp(line, "Essential") == 0) {
		pkg->essential = strcmp(value, "yes") == 0;
	} else if (strcmp(line, "Status") == 0) {
		/* "install ok installed": the third word is the state */
		const char *last = strrchr(value, ' ');

		*installed = last && strcmp(last, " installed") == 0;
	}
}

static bool plain_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < NAME_MAX_LEN;
}

/* One paragraph, ended by a NUL. True when it describes an installed package. */
static bool read_paragraph(char *text, struct dpkg_package *ret)
{
	struct dpkg_package pkg = { .arch = "",	      .version = "",	.section = "", .depends = "",
				    .pre_depends = "", .recommends = "", .provides = "" };
	bool installed = false;
	char *save = NULL, *space;

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		read_field(&pkg, l, &installed);
	if (!installed || !pkg.name || !plain_name(pkg.name) || strchr(pkg.arch, '/'))
		return false;
	if (!pkg.source)
		pkg.source = pkg.name;
	space = strchr(pkg.source, ' '); /* "Source: name (version)" */
	if (space)
		*space = '\0';
	*ret = pkg;
	return true;
}

int dpkg_parse(struct dpkg *d, char *text, struct err *e)
{
	struct dpkg v = { .status = text };
	size_t paragraphs = 1;
	char *next;

	for (const char *p = text; (p = strstr(p, "\n\n")); p += 2)
		paragraphs++;
	v.packages = arena_array(&v.arena, paragraphs, sizeof *v.packages);
	if (!v.packages) {
		free(text);
		return no_memory(e);
	}
	for (char *p = text; p; p = next) {
		next = strstr(p, "\n\n");
		if (next) {
			*next = '\0';
			next += 2;
		}
		if (read_paragraph(p, &v.packages[v.n]))
			v.n++;
	}
	*d = v;
	return 0;
}

/* --- file lists ---------------------------------------------------------- */

struct dpkg_line {
	const char *path; /* ends at a newline or NUL */
	uint32_t package;
	uint32_t next; /* in the bucket; index + 1, 0 ends it */
};

static size_t line_length(const char *s)
{
	return strcspn(s, "\n");
}

static size_t bucket_of(const struct dpkg *d, const char *path, size_t len)
{
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)path[i]) * 1099511628211ULL;
	return (size_t)(h ^ h >> 32) & (d->n_buckets - 1);
}

static int read_list(struct dpkg *d, const struct host *h, struct dpkg_package *pkg, size_t *lines,
		     struct err *e)
{
	char path[PATH_MAX];
	AUTO_FREE char *text = NULL;
	size_t len;
	int rc;

	(void)snprintf(path, sizeof path, "/var/lib/dpkg/info/%s:%s.list", pkg->name, pkg->arch);
	rc = host_read(h, path, LIST_MAX, &text, &len, e);
	if (rc == -ENOENT) {
		(void)snprintf(path, sizeof path, "/var/lib/dpkg/info/%s.list", pkg->name);
		rc = host_read(h, path, LIST_MAX, &text, &len, e);
	}
	if (rc == -ENOENT) { /* a package without files */
		pkg->files = "";
		return 0;
	}
	if (rc < 0)
		return rc;
	pkg->files = arena_strndup(&d->arena, text, len);
	if (!pkg->files)
		return no_memory(e);
	for (const char *p = pkg->files; *p; p += line_length(p) + (p[line_length(p)] == '\n'))
		(*lines)++;
	return interrupt_check(e);
}

static int build_index(struct dpkg *d, size_t lines, struct err *e)
{
	if (lines >= UINT32_MAX / 2)
		return err_set(e, EFBIG, "the package database lists too many files");
	for (d->n_buckets = 1024; d->n_buckets < lines; d->n_buckets *= 2)
		;
	d->buckets = calloc(d->n_buckets, sizeof *d->buckets);
	d->lines = calloc(lines + 1, sizeof *d->lines);
	if (!d->buckets || !d->lines)
		return no_memory(e);
	for (size_t i = 0; i < d->n; i++) {
		const char *p = d->packages[i].files;

		while (*p) {
			size_t len = line_length(p), b = bucket_of(d, p, len);

			d->lines[d->n_lines] = (struct dpkg_line){ .path = p,
								   .package = (uint32_t)i,
								   .next = d->buckets[b] };
			d->buckets[b] = (uint32_t)++d->n_lines;
			p += len + (p[len] == '\n');
		}
	}
	return 0;
}

int dpkg_open(struct dpkg *d, const struct host *h, struct err *e)
{
	struct dpkg v = { 0 };
	char *text = NULL;
	size_t lines = 0;
	int rc = host_read(h, "/var/lib/dpkg/status", STATUS_MAX, &text, NULL, e);

	if (rc == 0)
		rc = dpkg_parse(&v, text, e);
	for (size_t i = 0; rc == 0 && i < v.n; i++)
		rc = read_list(&v, h, &v.packages[i], &lines, e);
	if (rc == 0)
		rc = build_index(&v, lines, e);
	if (rc < 0) {
		dpkg_close(&v);
		return rc;
	}
	*d = v;
	return 0;
}

void dpkg_close(struct dpkg *d)
{
	free(d->status);
	free(d->buckets);
	free(d->lines);
	arena_fini(&d->arena);
	*d = (struct dpkg){ 0 };
}

void dpkg_owners(const struct dpkg *d, const char *path,
		 bool (*each)(void *ctx, struct dpkg_package *pkg), void *ctx)
{
	size_t len = strlen(path);

	if (d->n_buckets == 0)
		return;
	for (uint32_t i = d->buckets[bucket_of(d, path, len)]; i; i = d->lines[i - 1].next) {
		const struct dpkg_line *l = &d->lines[i - 1];

		if (strncmp(l->path, path, len) == 0 &&
		    (l->path[len] == '\n' || l->path[len] == '\0') &&
		    !each(ctx, &d->packages[l->package]))
			return;
	}
}

static bool take_first(void *ctx, struct dpkg_package *pkg)
{
	struct dpkg_package **ret = ctx;

	*ret = pkg;
	return false;
}

struct dpkg_package *dpkg_owner(const struct dpkg *d, const char *path)
{
	struct dpkg_package *found = NULL;

	dpkg_owners(d, path, take_first, &found);
	if (!found && strncmp(path, "/usr/", 5) == 0)
		dpkg_owners(d, path + 4, take_first, &found);
	return found;
}

int dpkg_files(const struct dpkg_package *pkg, int (*each)(void *ctx, const char *path), void *ctx)
{
	char path[PATH_MAX];
	int rc = 0;

	for (const char *p = pkg->files; p && *p && rc == 0;) {
		size_t len = line_length(p);

		if (len > 1 && len < sizeof path && p[0] == '/' && !(len == 2 && p[1] == '.')) {
			memcpy(path, p, len);
			path[len] = '\0';
			rc = each(ctx, path);
		}
		p += len + (p[len] == '\n');
	}
	return rc;
}

/* --- relations ----------------------------------------------------------- */

/* Whether a comma-separated list of "name (= version)" has the name. */
static bool provides(const char *list, const char *name, size_t len)
{
	while (*list) {
		list += strspn(list, ", ");
		if (strncmp(list, name, len) == 0 && strchr(", (", list[len]))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static struct dpkg_package *find(const struct dpkg *d, const char *name, size_t len)
{
	for (size_t i = 0; i < d->n; i++)
		if (strncmp(d->packages[i].name, name, len) == 0 && !d->packages[i].name[len])
			return &d->packages[i];
	for (size_t i = 0; i < d->n; i++)
		if (provides(d->packages[i].provides, name, len))
			return &d->packages[i];
	return NULL;
}

struct dpkg_package *dpkg_find(const struct dpkg *d, const char *name)
{
	return find(d, name, strlen(name));
}

/* The first installed one of "a (>= 1) | b:any | c"; *end is where the group stops. */
static struct dpkg_package *resolve_group(const struct dpkg *d, const char *text, const char **end)
{
	struct dpkg_package *found = NULL;

	*end = text + strcspn(text, ",");
	while (!found && text < *end) {
		size_t len;

		text += strspn(text, " |\t");
		len = strcspn(text, " ,|:(\t");
		if (len > 0)
			found = find(d, text, len);
		text += strcspn(text, ",|");
		if (*text == ',')
			break;
	}
	return found;
}

int dpkg_relations(const struct dpkg *d, const char *field,
		   int (*each)(void *ctx, struct dpkg_package *pkg), void *ctx)
{
	int rc = 0;

	while (*field && rc == 0) {
		struct dpkg_package *pkg = resolve_group(d, field, &field);

		if (pkg)
			rc = each(ctx, pkg);
		field += *field == ',';
	}
	return rc;
}
