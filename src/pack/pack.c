/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/pack.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "pack/interrupt.h"

/* One time stamp for everything: SOURCE_DATE_EPOCH, else the program file's. */
static int decide_time(struct pack *p, struct err *e)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	const struct program_step *first = &p->program.step[0];
	struct stat st;
	uint64_t v;
	int rc;

	if (epoch) {
		if (num_parse_u64(epoch, 0, INT64_MAX, &v) < 0)
			return err_set(e, EINVAL, "SOURCE_DATE_EPOCH is not a number of seconds");
		p->when = (time_t)v;
		return 0;
	}
	rc = host_lstat(&p->host, first->real, &st);
	if (rc < 0)
		return err_num(e, -rc, "%s", first->path);
	p->when = st.st_mtim.tv_sec;
	return 0;
}

static int begin(struct pack *p, struct err *e)
{
	struct stat st;
	int rc = host_open(&p->host, p->o->root, e);

	if (rc == 0)
		rc = staging_begin(&p->staging, p->o->bundle, p->o->force, e);
	if (rc < 0)
		return rc;
	p->place = (struct place){ .host = &p->host, .tree = &p->tree, .notes = &p->notes };
	if (fstat(p->staging.fd, &st) < 0)
		return err_sys(e, "%s", p->staging.temp);
	p->place.skip_dev = st.st_dev;
	p->place.skip_ino[0] = st.st_ino;
	if (p->staging.replace &&
	    fstatat(p->staging.parent_fd, p->staging.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		p->place.skip_ino[1] = st.st_ino;
	rc = tree_add_dir(&p->tree, "/", 0755, WHY_PARENT, e);
	return rc < 0 ? rc : accounts_read(&p->accounts, &p->host, e);
}

/* Phase one: decide what goes in. What the caller named comes first and wins. */
static int collect(struct pack *p, struct err *e)
{
	static const struct {
		int (*run)(struct pack *p, struct err *e);
		bool lenient; /* what may not be read is left out */
	} steps[] = {
		{ collect_adds, false },      { collect_data, false },   { collect_program, false },
		{ decide_time, false },	      { process_decide, false }, { collect_packages, true },
		{ collect_runtime, true },    { collect_trace, true },   { collect_closure, false },
		{ collect_system, true },     { collect_libraries, false },
		{ collect_skeleton, false },
	};

	progress_phase(&p->progress, "collecting", 0);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		int rc = interrupt_check(e);

		p->place.lenient = steps[i].lenient;
		if (rc == 0)
			rc = steps[i].run(p, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* mkdir and open below the staging directory. The fd or an error. */
static int make_dir(struct pack *p, int parent, const char *name, struct err *e)
{
	int fd;

	if (mkdirat(parent, name, 0755) < 0)
		return err_sys(e, "writing %s", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	(void)p;
	return fd < 0 ? err_sys(e, "writing %s", name) : fd;
}

static int write_data(struct pack *p, struct copy *c, struct err *e)
{
	AUTO_FD int all = -1;
	char name[24];

	if (p->n_data == 0)
		return 0;
	all = make_dir(p, p->staging.fd, "data", e);
	if (all < 0)
		return all;
	for (size_t i = 0; i < p->n_data; i++) {
		AUTO_FD int fd = -1;
		int rc;

		(void)snprintf(name, sizeof name, "%zu", i);
		fd = make_dir(p, all, name, e);
		if (fd < 0)
			return fd;
		rc = copy_tree(c, fd, p->data[i].sorted, p->data[i].tree.n, e);
		if (rc < 0)
			return rc;
	}
	if (fchmod(all, 0755) < 0 || copy_set_time(all, p->when) < 0)
		return err_sys(e, "writing data");
	return 0;
}

static uint64_t total_bytes(struct node *const *v, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i]->kind == NODE_FILE ? v[i]->size : 0;
	return sum;
}

static int sort_all(struct pack *p, uint64_t *ret_bytes, struct err *e)
{
	uint64_t bytes;

	p->sorted = tree_sorted(&p->tree);
	if (!p->sorted)
		return err_num(e, ENOMEM, "copying");
	bytes = total_bytes(p->sorted, p->tree.n);
	for (size_t i = 0; i < p->n_data; i++) {
		struct pack_data *d = &p->data[i];

		d->sorted = tree_sorted(&d->tree);
		if (!d->sorted)
			return err_num(e, ENOMEM, "copying");
		bytes += total_bytes(d->sorted, d->tree.n);
	}
	*ret_bytes = bytes;
	return 0;
}

/* Phase two: make it real. */
static int write_all(struct pack *p, struct err *e)
{
	AUTO_FD int rootfs = -1;
	uint64_t bytes = 0;
	int rc = sort_all(p, &bytes, e);

	if (rc < 0)
		return rc;
	p->copied = (struct copy){ .host = &p->host,
				   .notes = &p->notes,
				   .progress = &p->progress,
				   .when = p->when };
	progress_phase(&p->progress, "copying", bytes);
	rootfs = make_dir(p, p->staging.fd, "rootfs", e);
	if (rootfs < 0)
		return rootfs;
	rc = copy_tree(&p->copied, rootfs, p->sorted, p->tree.n, e);
	if (rc == 0)
		rc = write_data(p, &p->copied, e);
	return rc;
}

int pack_run(struct pack *p, const struct pack_options *o, struct err *e)
{
	int rc;

	*p = (struct pack){ .o = o, .host = { -1 }, .staging = { .parent_fd = -1, .fd = -1 } };
	notes_init(&p->notes);
	tree_init(&p->tree);
	progress_init(&p->progress, o->quiet);
	rc = begin(p, e);
	if (rc == 0)
		rc = collect(p, e);
	if (rc == 0)
		rc = write_all(p, e);
	if (rc == 0)
		rc = describe_write(p, e);
	if (rc == 0)
		rc = interrupt_check(e);
	if (rc == 0 && copy_set_time(p->staging.fd, p->when) < 0)
		rc = err_sys(e, "%s", o->bundle);
	if (rc == 0)
		rc = staging_commit(&p->staging, e);
	staging_end(&p->staging);
	progress_clear(&p->progress);
	return rc;
}

void pack_fini(struct pack *p)
{
	for (size_t i = 0; i < p->n_data; i++) {
		free(p->data[i].sorted);
		tree_fini(&p->data[i].tree);
	}
	free(p->sorted);
	if (p->has_libs)
		libs_fini(&p->libs);
	program_fini(&p->program);
	accounts_fini(&p->accounts);
	dpkg_close(&p->dpkg);
	tree_fini(&p->tree);
	notes_fini(&p->notes);
	host_close(&p->host);
	arena_fini(&p->arena);
}
