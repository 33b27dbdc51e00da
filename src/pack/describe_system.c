/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest's "system" part and the program's needs: what a machine must give. */
#include "pack/pack.h"

#include <elf.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "base/fd.h"
#include "pack/describe.h"
#include "pack/manifest.h"
#include "pack/needs.h"
#include "pack/ociconfig.h"

#define LIBC_MAX (64U << 20)

/* "2.36" out of "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36." */
static bool glibc_version(const char *data, size_t len, char *ret, size_t size)
{
	static const char banner[] = "GNU C Library", word[] = " version ";
	const char *p = memmem(data, len, banner, sizeof banner - 1);
	size_t n, left;

	if (!p)
		return false;
	left = len - (size_t)(p - data);
	left = left < 256 ? left : 256;
	p = memmem(p, left, word, sizeof word - 1);
	if (!p)
		return false;
	p += sizeof word - 1;
	left = len - (size_t)(p - data);
	for (n = 0; n < left && n + 1 < size && (p[n] == '.' || (p[n] >= '0' && p[n] <= '9')); n++)
		ret[n] = p[n];
	while (n > 0 && ret[n - 1] == '.')
		n--;
	ret[n] = '\0';
	return n > 0;
}

static json_t *libc_part(const struct pack *p)
{
	char version[32];

	for (size_t i = 0; i < p->libs.program.n; i++) {
		const struct lib *l = p->libs.program.v[i];
		AUTO_FREE char *data = NULL;
		size_t len;

		if (strncmp(path_base(l->path), "ld-musl-", 8) == 0)
			return json_pack("{s:s}", "name", "musl");
		if (strcmp(path_base(l->path), "libc.so.6") != 0)
			continue;
		if (host_read(&p->host, l->real, LIBC_MAX, &data, &len, NULL) == 0 &&
		    glibc_version(data, len, version, sizeof version))
			return json_pack("{s:s, s:s}", "name", "glibc", "version", version);
		return json_pack("{s:s}", "name", "glibc");
	}
	return json_pack("{s:s}", "name", p->libs.program.v[0]->elf.dynamic ? "other" : "static");
}

/* The youngest of the oldest kernels that the program's files ask for. */
static json_t *kernel_part(const struct pack *p)
{
	uint32_t max[3] = { 0 };
	char text[48];

	for (size_t i = 0; i < p->libs.program.n; i++) {
		const struct elffile *f = &p->libs.program.v[i]->elf;

		if (f->has_kernel && memcmp(f->kernel, max, sizeof max) != 0 &&
		    (f->kernel[0] > max[0] ||
		     (f->kernel[0] == max[0] &&
		      (f->kernel[1] > max[1] || (f->kernel[1] == max[1] && f->kernel[2] > max[2])))))
			memcpy(max, f->kernel, sizeof max);
	}
	if (max[0] == 0)
		return NULL;
	(void)snprintf(text, sizeof text, "%u.%u.%u", max[0], max[1], max[2]);
	return json_string(text);
}

/* x86-64 psABI levels that a file says it cannot do without. */
static json_t *cpu_part(const struct pack *p)
{
	static const char *const levels[] = { "x86-64-baseline", "x86-64-v2", "x86-64-v3", "x86-64-v4" };
	json_t *a = json_array();
	uint32_t isa = 0;

	for (size_t i = 0; i < p->libs.program.n; i++)
		isa |= p->libs.program.v[i]->elf.isa_needed;
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (isa >> i & 1)
			(void)json_array_append_new(a, json_string(levels[i]));
	return a;
}

json_t *describe_system(const struct pack *p)
{
	const struct elffile *elf = &p->libs.program.v[0]->elf;

	return json_pack("{s:s, s:o, s:o*, s:o}", "architecture",
			 elffile_arch(elf->machine, elf->elf_class), "libc", libc_part(p), "kernel",
			 kernel_part(p), "cpu", cpu_part(p));
}

static void see_symbol(void *ctx, const char *symbol)
{
	needs_symbol(ctx, symbol);
}

static void look_at(const struct pack *p, const char *real, struct needs *n)
{
	AUTO_FD int fd = host_openat(&p->host, real, O_RDONLY);

	if (fd >= 0)
		(void)elffile_imports(fd, see_symbol, n);
}

/* The program's own files: itself, and libraries that were packaged with it. */
void describe_find_needs(struct pack *p)
{
	look_at(p, p->libs.program.v[0]->real, &p->needs);
	for (size_t i = 1; i < p->libs.program.n; i++) {
		const struct node *node = tree_find(&p->tree, p->libs.program.v[i]->real);

		if (node && node->why == WHY_PACKAGE)
			look_at(p, p->libs.program.v[i]->real, &p->needs);
	}
}

static json_t *cap_names(uint64_t caps)
{
	json_t *a = json_array();

	for (int cap = 0; cap < 64; cap++)
		if (caps >> cap & 1)
			(void)json_array_append_new(a, ociconfig_cap(cap));
	return a;
}

json_t *describe_needs(const struct pack *p)
{
	const struct needs *n = &p->needs;
	json_t *network = json_array(), *doc;

	if (n->connects)
		(void)json_array_append_new(network, json_string("connect"));
	if (n->listens)
		(void)json_array_append_new(network, json_string("listen"));
	if (n->resolves)
		(void)json_array_append_new(network, json_string("resolve"));
	doc = json_pack("{s:b, s:o, s:b, s:b, s:o}", "known", n->known, "network", network, "processes",
			n->spawns, "plugins", n->loads, "capabilitiesAsRoot", cap_names(n->caps));
	if (p->service_user)
		(void)json_object_set_new(doc, "serviceUser", json_string(p->service_user));
	return doc;
}
