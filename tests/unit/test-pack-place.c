/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path mapper, the copy and the staging directory on a small host of their own: what is put
 * where, which links are kept, what a destination through a link becomes.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "pack/copy.h"
#include "pack/place.h"
#include "pack/staging.h"
#include "rmtree.h"
#include "tap.h"

static char top[64]; /* the test's directory; the host is "host" in it */
static struct host host;

static void make_file(const char *path, mode_t mode, const char *text)
{
	int fd = openat(host.root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0)
		printf("# cannot make %s\n", path);
	fd_close(&fd);
}

static void make_host(void)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = { { "usr", 0755 },	  { "usr/lib", 0755 }, { "usr/bin", 0755 }, { "etc", 0711 },
		     { "srv", 02750 },	  { "srv/sub", 0700 }, { "proc", 0555 },    { "opt", 0755 },
		     { "sticky", 01777 } };
	static const struct {
		const char *path, *target;
	} links[] = { { "bin", "usr/bin" },	     { "lib", "/usr/lib" },	   { "usr/bin/sh", "dash" },
		      { "etc/mtab", "/proc/mounts" }, { "srv/out", "/etc/secret" }, { "srv/in", "sub/x" },
		      { "opt/current", "/srv" } };
	char path[128];
	struct err e = { 0 };

	(void)snprintf(path, sizeof path, "%s/host", top);
	(void)mkdir(path, 0755);
	if (host_open(&host, path, &e) < 0)
		printf("# %s\n", e.text);
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		if (mkdirat(host.root_fd, dirs[i].path, 0755) < 0 ||
		    fchmodat(host.root_fd, dirs[i].path, dirs[i].mode, 0) < 0)
			printf("# cannot make %s\n", dirs[i].path);
	}
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		if (symlinkat(links[i].target, host.root_fd, links[i].path) < 0)
			printf("# cannot make %s\n", links[i].path);
	make_file("usr/bin/dash", 04755, "shell");
	make_file("etc/secret", 0600, "secret");
	make_file("srv/sub/x", 0640, "inside");
	make_file("srv/a", 0644, "twice");
	if (linkat(host.root_fd, "srv/a", host.root_fd, "srv/sub/b", 0) < 0 ||
	    mkfifoat(host.root_fd, "srv/fifo", 0600) < 0)
		printf("# cannot make what lies in srv\n");
}

/* "kind mode [target|source]" of a node, or "none". */
static const char *describe(const struct tree *t, const char *path)
{
	static char buf[256];
	const struct node *n = tree_find(t, path);

	if (!n)
		return "none";
	(void)snprintf(buf, sizeof buf, "%s %o %s", n->kind == NODE_DIR ? "dir" : n->kind == NODE_LINK ? "link" : "file",
		       (unsigned)n->mode, n->kind == NODE_LINK ? n->text : n->source ? n->source : "");
	return buf;
}

static void test_paths(void)
{
	struct tree t;
	struct notes notes;
	struct place p = { .host = &host, .tree = &t, .notes = &notes };
	struct err e = { 0 };
	char real[PATH_MAX] = "";

	tree_init(&t);
	notes_init(&notes);
	TAP_INT(place_path(&p, "/bin/sh", WHY_PROGRAM, real, &e), 0, "a path through links");
	TAP_STR(real, "/usr/bin/dash", "where it ends");
	TAP_STR(describe(&t, "/bin"), "link 777 usr/bin", "the link on the way is kept");
	TAP_STR(describe(&t, "/usr/bin/sh"), "link 777 dash", "and the last one");
	TAP_STR(describe(&t, "/usr/bin/dash"), "file 755 /usr/bin/dash", "the file without its set-id bit");
	TAP_INT(tree_find(&t, "/usr/bin/dash")->lost_bits, S_ISUID, "which is remembered");
	TAP_STR(describe(&t, "/usr"), "dir 755 ", "directories on the way");
	TAP_INT(tree_find(&t, "/usr")->why, WHY_PARENT, "are only that");
	TAP_INT(place_path(&p, "/etc/mtab", WHY_ADD, NULL, &e), -EXDEV, "what leads to /proc is not packed");
	TAP_STR(describe(&t, "/etc/mtab"), "link 777 /proc/mounts", "but the link is there");
	TAP_STR(describe(&t, "/etc"), "dir 711 ", "a directory keeps its mode");
	TAP_INT(place_path(&p, "/srv/fifo", WHY_ADD, NULL, &e), -EOPNOTSUPP, "a FIFO cannot be packed");
	TAP_HAS(e.text, "FIFO", "and that is said");
	TAP_INT(place_path(&p, "/none", WHY_ADD, NULL, &e), -ENOENT, "what is not there");
	TAP_INT(place_path(&p, "/usr/bin/dash/x", WHY_ADD, NULL, &e), -ENOTDIR, "below a file");
	tree_fini(&t);
	notes_fini(&notes);
}

static void test_trees(void)
{
	struct tree t;
	struct notes notes;
	struct place p = { .host = &host, .tree = &t, .notes = &notes };
	struct err e = { 0 };

	tree_init(&t);
	notes_init(&notes);
	TAP_INT(place_tree(&p, "/opt/current", WHY_ADD, NULL, NULL, &e), 0, "a directory by a link");
	TAP_STR(describe(&t, "/opt/current"), "link 777 /srv", "the link");
	TAP_STR(describe(&t, "/srv"), "dir 750 ", "the directory without set-group-id");
	TAP_STR(describe(&t, "/srv/sub/x"), "file 640 /srv/sub/x", "a file far below");
	TAP_STR(describe(&t, "/srv/out"), "link 777 /etc/secret", "a link out of it is kept");
	TAP_STR(describe(&t, "/etc/secret"), "none", "and not followed");
	TAP_STR(describe(&t, "/srv/fifo"), "none", "the FIFO is left out");
	TAP_INT(notes.n, 1, "with a note");
	TAP_INT(place_tree(&p, "/", WHY_ADD, NULL, NULL, &e), -EXDEV, "the whole system cannot be packed");
	tree_fini(&t);
	notes_fini(&notes);
}

static void test_mapping(void)
{
	struct tree t;
	struct notes notes;
	struct place p = { .host = &host, .tree = &t, .notes = &notes };
	struct err e = { 0 };

	tree_init(&t);
	notes_init(&notes);
	TAP_INT(place_map(&p, "/srv", "/data/here", WHY_ADD, &e), 0, "a directory elsewhere");
	TAP_STR(describe(&t, "/data"), "dir 755 ", "its parent is made");
	TAP_STR(describe(&t, "/data/here"), "dir 750 ", "it keeps its mode");
	TAP_STR(describe(&t, "/data/here/sub/x"), "file 640 /srv/sub/x", "and content");
	TAP_INT(place_map(&p, "/srv/a", "/lib/mine", WHY_ADD, &e), 0, "a file at a place through a link");
	TAP_STR(describe(&t, "/usr/lib/mine"), "file 644 /srv/a", "lies where the link leads");
	TAP_STR(describe(&t, "/lib"), "link 777 /usr/lib", "and the link is taken from the host");
	TAP_INT(place_map(&p, "/srv/sub/x", "/usr/bin/dash", WHY_ADD, &e), 0, "in place of a file of the host");
	TAP_INT(place_path(&p, "/bin/sh", WHY_PROGRAM, NULL, &e), 0, "a later walk");
	TAP_STR(describe(&t, "/usr/bin/dash"), "file 640 /srv/sub/x", "sees the caller's");
	TAP_INT(place_map(&p, "/srv/a", "/proc/x", WHY_ADD, &e), -EXDEV, "not below /proc");
	TAP_INT(place_map(&p, "/srv", "/usr/lib/mine", WHY_ADD, &e), -ENOTDIR, "a directory over a file");
	TAP_INT(place_map(&p, "/srv/sub", "/bin", WHY_ADD, &e), 0, "a directory over a link to one");
	TAP_STR(describe(&t, "/bin"), "link 777 usr/bin", "leaves the link");
	TAP_STR(describe(&t, "/usr/bin/b"), "file 644 /srv/sub/b", "and joins what it leads to");
	TAP_INT(place_mkdir(&p, "/var/new/deep", 0700, WHY_SYSTEM, NULL, &e), 0, "a directory that is nowhere");
	TAP_STR(describe(&t, "/var/new/deep"), "dir 700 ", "has its mode");
	TAP_STR(describe(&t, "/var/new"), "dir 755 ", "its parents have the usual one");
	tree_fini(&t);
	notes_fini(&notes);
}

static const char *read_back(int dir, const char *path)
{
	static char buf[64];
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof buf - 1);

	fd_close(&fd);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void test_copy(void)
{
	struct tree t;
	struct notes notes;
	struct place p = { .host = &host, .tree = &t, .notes = &notes };
	struct progress progress;
	struct copy c = { .host = &host, .notes = &notes, .progress = &progress, .when = 1000 };
	struct staging s;
	struct err e = { 0 };
	struct node **v;
	char path[128], real[PATH_MAX];
	struct stat a = { 0 }, b = { 0 };

	tree_init(&t);
	notes_init(&notes);
	progress_init(&progress, true);
	(void)snprintf(path, sizeof path, "%s/out", top);
	TAP_INT(staging_begin(&s, path, false, &e), 0, "begin");
	TAP_INT(tree_add_dir(&t, "/", 0755, WHY_PARENT, &e), 1, "the root");
	TAP_INT(place_tree(&p, "/srv", WHY_ADD, NULL, NULL, &e), 0, "a tree");
	TAP_INT(place_path(&p, "/sticky", WHY_ADD, real, &e), 0, "a sticky directory");
	v = tree_sorted(&t);
	TAP_INT(copy_tree(&c, s.fd, v, t.n, &e), 0, "copy");
	TAP_STR(read_back(s.fd, "srv/sub/x"), "inside", "content");
	(void)fstatat(s.fd, "srv/a", &a, 0);
	(void)fstatat(s.fd, "srv/sub/b", &b, 0);
	TAP_OK(a.st_ino == b.st_ino && a.st_nlink == 2, "a hard link stays one");
	TAP_INT(a.st_mtim.tv_sec, 1000, "its time");
	(void)fstatat(s.fd, "srv", &a, 0);
	TAP_INT(a.st_mode, S_IFDIR | 0750, "a directory's mode");
	TAP_INT(a.st_mtim.tv_sec, 1000, "a directory's time, though it was written to");
	(void)fstatat(s.fd, "sticky", &a, 0);
	TAP_INT(a.st_mode, S_IFDIR | 01777, "the sticky bit");
	(void)fstatat(s.fd, "srv/out", &a, AT_SYMLINK_NOFOLLOW);
	TAP_INT(a.st_mtim.tv_sec, 1000, "a link's time");
	free(v);
	TAP_INT(staging_commit(&s, &e), 0, "commit");
	staging_end(&s);
	TAP_OK(access(path, F_OK) == 0, "the bundle has its name");
	TAP_INT(staging_begin(&s, path, false, &e), -EEXIST, "which is taken now");
	TAP_INT(staging_begin(&s, path, true, &e), -EEXIST, "and no bundle to be replaced");
	(void)snprintf(path, sizeof path, "%s/other", top);
	TAP_INT(staging_begin(&s, path, false, &e), 0, "another");
	TAP_OK(mkdirat(s.fd, "closed", 0700) == 0 && mkdirat(s.fd, "closed/in", 0) == 0 &&
		       fchmodat(s.fd, "closed", 0, 0) == 0,
	       "with directories that cannot be entered");
	staging_end(&s);
	TAP_OK(access(path, F_OK) < 0 && errno == ENOENT, "that is given up is not there");
	tree_fini(&t);
	notes_fini(&notes);
}

int main(void)
{
	char name[] = "/tmp/test-pack-place.XXXXXX";

	(void)umask(022);
	if (!mkdtemp(name))
		return 1;
	(void)snprintf(top, sizeof top, "%s", name);
	make_host();
	test_paths();
	test_trees();
	test_mapping();
	test_copy();
	host_close(&host);
	TAP_INT(rmtree(top), 0, "nothing else is left");
	return tap_done();
}
