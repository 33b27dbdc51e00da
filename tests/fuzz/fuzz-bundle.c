/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any document: the reader refuses it and says why, or gives a bundle that
 * keeps what the header promises, so that a launch need not check it again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/kernel.h"
#include "model/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_list(const struct strlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		require(l->v[i] != NULL);
	require(l->n == 0 || l->v[l->n] == NULL);
}

static void check_map(const struct idmap *m)
{
	for (size_t i = 0; i < m->n; i++)
		require(m->v[i].size > 0 && (uint64_t)m->v[i].inside + m->v[i].size <= UINT32_MAX &&
			(uint64_t)m->v[i].outside + m->v[i].size <= UINT32_MAX);
}

static void check_attrs(uint64_t set, uint64_t clear)
{
	uint64_t atime = MOUNT_ATTR__ATIME;

	/* What mount_setattr(2) demands. */
	require((set & clear & ~atime) == 0);
	require((clear & atime) == 0 || (clear & atime) == atime);
	require((set & atime) == 0 || (clear & atime) == atime);
}

static void check_mount(const struct bundle_mount *m)
{
	require(m->destination && *m->destination == '/');
	require(m->bind || (m->type && m->source));
	require(!m->rbind || m->bind);
	require(!m->bind || (m->data.n == 0 && m->sb_flags == 0 && strcmp(m->type, "bind") == 0));
	require(!m->bind || m->remount || *m->source == '/');
	require(m->uid_map.n == 0 || (m->gid_map.n > 0 && m->idmap != MOUNT_IDMAP_NONE));
	check_attrs(m->attr_set, m->attr_clear);
	check_attrs(m->rec_attr_set, m->rec_attr_clear);
	check_list(&m->data);
	check_map(&m->uid_map);
	check_map(&m->gid_map);
}

static void check_process(const struct bundle_process *p)
{
	if (!p->given)
		return;
	require(p->args.n > 0 && *p->args.v[0] && *p->cwd == '/');
	check_list(&p->args);
	check_list(&p->env);
	for (size_t i = 0; i < p->env.n; i++)
		require(strchr(p->env.v[i], '=') > p->env.v[i]);
	for (size_t i = 0; i < p->n_rlimits; i++)
		require(p->rlimits[i].soft <= p->rlimits[i].hard);
	require((p->caps.effective & ~p->caps.permitted) == 0 && p->user.uid != UINT32_MAX &&
		p->user.gid != UINT32_MAX);
}

static void check_linux(const struct bundle *b)
{
	const struct bundle_resources *r = &b->resources;

	require((b->uid_map.n == 0 && b->gid_map.n == 0) || b->ns[NS_USER].listed);
	require(!b->hostname || b->ns[NS_UTS].listed);
	check_map(&b->uid_map);
	check_map(&b->gid_map);
	for (int k = 0; k < NS_KINDS; k++)
		require(!b->ns[k].path || (b->ns[k].listed && *b->ns[k].path == '/'));
	for (size_t i = 0; i < b->n_devices; i++)
		require(*b->devices[i].path == '/' && (b->devices[i].mode & ~0777U) == 0);
	for (size_t i = 0; i < b->masked_paths.n; i++)
		require(*b->masked_paths.v[i] == '/');
	for (size_t i = 0; i < b->n_sysctl; i++)
		require(*b->sysctl[i].key != '/' && !strstr(b->sysctl[i].key, "/../"));
	for (size_t i = 0; i < r->n_devices; i++)
		require(strchr("acb", r->devices[i].type) && *r->devices[i].access);
	for (size_t i = 0; i < r->n_unified; i++)
		require(!strchr(r->unified[i].key, '/') && r->unified[i].value);
	require(!b->seccomp.given || b->seccomp.default_action);
	for (size_t i = 0; i < b->seccomp.n_rules; i++)
		require(b->seccomp.rules[i].names.n > 0 && b->seccomp.rules[i].action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bundle b = {.dir = "untouched"};
	struct json_doc doc;
	struct err e = {0};

	if (json_doc_parse(&doc, "fuzz.json", (const char *)data, size, &e) < 0)
		return 0;
	if (bundle_read(&b, "/b", &doc, &e) < 0) {
		require(e.num > 0 && e.text[0] && strcmp(b.dir, "untouched") == 0 && !b.arena.head);
		json_doc_fini(&doc);
		return 0;
	}
	json_doc_fini(&doc); /* nothing of the bundle may point into it */
	require(b.root_path && *b.root_path && b.oci_version && strcmp(b.dir, "/b") == 0);
	check_process(&b.process);
	for (size_t i = 0; i < b.n_mounts; i++)
		check_mount(&b.mounts[i]);
	for (int k = 0; k < HOOK_KINDS; k++)
		for (size_t i = 0; i < b.hooks.n[k]; i++)
			require(*b.hooks.v[k][i].path == '/' && b.hooks.v[k][i].timeout >= 0);
	check_linux(&b);
	check_list(&b.unsupported);
	bundle_fini(&b);
	return 0;
}
