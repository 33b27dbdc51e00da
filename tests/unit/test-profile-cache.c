/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of compiled filters against damage and against other people: what
 * is not exactly what this user wrote is not there.
 */
#include "kern/profile_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "rmtree.h"
#include "tap.h"

#define NOBODY 65534

static char root[64]; /* everything of this test lies below */
static char cache_path[160], file_path[512];
static int cache = -1;
static struct sock_filter insns[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 59, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
};
static const struct bpf_prog prog = { .v = insns, .n = 4 };
static const char key[] = "the profile's text";

static bool found(int dirfd, const void *k, size_t len)
{
	struct bpf_prog p = { 0 };
	bool ok = profile_cache_find(dirfd, k, len, &p) == 1;

	if (ok && (p.n != prog.n || memcmp(p.v, insns, sizeof insns) != 0)) {
		printf("# a program came back changed\n");
		ok = false;
	}
	bpf_prog_fini(&p);
	return ok;
}

static bool hit(void)
{
	return found(cache, key, sizeof key);
}

/* Files in the cache; the last one's path in file_path. */
static unsigned count_files(void)
{
	DIR *d = opendir(cache_path);
	const struct dirent *de;
	unsigned n = 0;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' || strncmp(de->d_name, ".new-", 5) == 0) {
			n++;
			(void)snprintf(file_path, sizeof file_path, "%s/%s", cache_path, de->d_name);
		}
	if (d)
		(void)closedir(d);
	return n;
}

static void fresh(void)
{
	struct err e = { 0 };

	fd_close(&cache);
	(void)rmtree(cache_path);
	if (profile_cache_open(root, &cache, &e) < 0)
		printf("# %s\n", e.text);
	if (profile_cache_store(cache, key, sizeof key, &prog) < 0)
		printf("# not stored\n");
	(void)count_files();
}

static void test_plain(void)
{
	struct stat st = { 0 };

	fresh();
	TAP_OK(hit(), "what was stored is found");
	TAP_INT(count_files(), 1, "one file, nothing left aside");
	(void)stat(file_path, &st);
	TAP_INT(st.st_mode & 07777, 0600, "the file's mode");
	(void)fstat(cache, &st);
	TAP_INT(st.st_mode & 07777, 0700, "the directory's mode");
	TAP_OK(!found(cache, "another", 7), "another key is not found");
	TAP_OK(!found(cache, key, sizeof key - 1), "a shorter key is not found");
	TAP_INT(profile_cache_store(cache, key, sizeof key, &prog), 0, "storing again");
	TAP_OK(hit() && count_files() == 1, "replaces");
	(void)umask(0777);
	TAP_INT(profile_cache_store(cache, key, sizeof key, &prog), 0, "a strange umask");
	(void)umask(022);
	TAP_OK(hit(), "does no harm");
}

/* Reads the file, lets `change` break it, writes it back in place. */
static void test_damage(void)
{
	AUTO_FREE char *data = NULL;
	size_t len = 0, accepted = 0, cut = 0;
	struct bpf_prog p = { 0 };
	struct err e = { 0 };
	int fd;

	fresh();
	TAP_INT(fd_read_file(AT_FDCWD, file_path, 1 << 20, &data, &len, &e), 0, "the file is read");
	TAP_INT(profile_cache_decode(data, len, key, sizeof key, &p), 1, "it is sound");
	bpf_prog_fini(&p);
	for (size_t i = 0; i < len * 8; i++) {
		data[i / 8] = (char)(data[i / 8] ^ 1 << i % 8);
		if (profile_cache_decode(data, len, key, sizeof key, &p) != 0) {
			accepted++;
			bpf_prog_fini(&p);
		}
		data[i / 8] = (char)(data[i / 8] ^ 1 << i % 8);
	}
	TAP_INT(accepted, 0, "no bit can change unnoticed");
	for (size_t i = 0; i < len; i++) {
		/* a copy of that size, so that a sanitizer sees a read past its end */
		AUTO_FREE char *part = malloc(i ? i : 1);

		memcpy(part, data, i);
		cut += profile_cache_decode(part, i, key, sizeof key, &p) != 0;
	}
	TAP_INT(cut, 0, "a file that was cut is not taken");
	fd = open(file_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	TAP_INT(write(fd, "x", 1), 1, "a byte is appended");
	TAP_OK(!hit(), "a longer file is not taken");
	TAP_INT(ftruncate(fd, (off_t)len / 2), 0, "the file is cut");
	TAP_OK(!hit(), "a shorter file is not taken");
	TAP_INT(ftruncate(fd, 0), 0, "the file is emptied");
	TAP_OK(!hit(), "an empty file is not taken");
	(void)close(fd);
	TAP_INT(profile_cache_store(cache, key, sizeof key, &prog), 0, "and it is written anew");
	TAP_OK(hit(), "as good as before");
}

/* A sound file under the name that another key has. */
static void test_collision(void)
{
	char mine[512];

	fresh();
	(void)snprintf(mine, sizeof mine, "%s", file_path);
	TAP_INT(unlink(mine), 0, "the file goes");
	TAP_INT(profile_cache_store(cache, "other", 5, &prog), 0, "another is stored");
	(void)count_files();
	TAP_INT(rename(file_path, mine), 0, "and takes its name");
	TAP_OK(!hit(), "a file with another text is not taken");
}

/* Programs that the kernel would refuse, or worse, in a file that is otherwise sound. */
static void test_bad_programs(void)
{
	static const struct sock_filter bad[][2] = {
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 255), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_ST, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(0xffff, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_K, 0x12345678) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_A, 0) },
	};
	unsigned taken = 0;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct sock_filter copy[2];
		struct bpf_prog p = { .v = copy, .n = 2 }, q = { 0 };

		memcpy(copy, bad[i], sizeof copy);
		fresh();
		if (profile_cache_store(cache, key, sizeof key, &p) < 0 ||
		    profile_cache_find(cache, key, sizeof key, &q) != 0) {
			printf("# program %zu\n", i);
			taken++;
		}
		bpf_prog_fini(&q);
	}
	TAP_INT(taken, 0, "no unsound program is taken");
}

static void test_strange_files(void)
{
	char elsewhere[128];

	(void)snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", root);
	fresh();
	TAP_INT(chmod(file_path, 0660), 0, "others may write");
	TAP_OK(!hit(), "then the file is not taken");
	TAP_INT(chmod(file_path, 0604), 0, "others may read");
	TAP_OK(!hit(), "then it is not taken either");
	TAP_INT(chmod(file_path, 0600), 0, "nobody else may");
	TAP_OK(hit(), "then it is");
	TAP_INT(link(file_path, elsewhere), 0, "the file has another name");
	TAP_OK(!hit(), "then it is not taken");
	TAP_INT(unlink(file_path), 0, "it moves away");
	TAP_INT(symlink(elsewhere, file_path), 0, "a symbolic link in its place");
	TAP_OK(!hit(), "is not followed");
	TAP_INT(profile_cache_store(cache, key, sizeof key, &prog), 0, "and is replaced");
	TAP_OK(hit(), "by a file");
	TAP_INT(unlink(file_path) || mkfifo(file_path, 0600), 0, "a FIFO in its place");
	TAP_OK(!hit(), "does not hold us");
	TAP_INT(unlink(file_path) || mkdir(file_path, 0700), 0, "a directory in its place");
	TAP_OK(!hit(), "is no file");
	TAP_OK(profile_cache_store(cache, key, sizeof key, &prog) < 0, "nor can it be replaced");
	TAP_INT(count_files(), 1, "and nothing is left aside");
	(void)unlink(elsewhere);
}

static int open_error(const char *path)
{
	AUTO_FD int fd = -1;
	struct err e = { 0 };
	int rc = profile_cache_open(path, &fd, &e);

	if (rc == 0)
		return 0;
	if (!*e.text)
		printf("# no text\n");
	return rc;
}

static void test_strange_directories(void)
{
	char target[128];

	(void)snprintf(target, sizeof target, "%s/target", root);
	(void)rmtree(cache_path);
	TAP_INT(mkdir(cache_path, 0755) || chmod(cache_path, 0755), 0, "a directory that others may read");
	TAP_INT(open_error(root), -EPERM, "is refused");
	TAP_INT(chmod(cache_path, 0770), 0, "one that the group may write");
	TAP_INT(open_error(root), -EPERM, "is refused");
	TAP_INT(chmod(cache_path, 0700), 0, "a private one");
	TAP_INT(open_error(root), 0, "is taken");
	TAP_INT(rename(cache_path, target), 0, "the directory moves");
	TAP_INT(symlink(target, cache_path), 0, "a symbolic link in its place");
	TAP_INT(open_error(root), -EPERM, "is refused");
	TAP_INT(unlink(cache_path) || mknod(cache_path, S_IFREG | 0600, 0), 0, "a file in its place");
	TAP_INT(open_error(root), -EPERM, "is refused");
	TAP_INT(unlink(cache_path), 0, "nothing in its place");
	TAP_INT(open_error(root), 0, "then it is made");
	TAP_INT(open_error("/proc/nothing/here"), -ENOENT, "no state directory");
	TAP_INT(open_error("/proc"), -ENOENT, "one in which nothing can be made");
}

static void test_bounds(void)
{
	struct rlimit old, none = { 0, 0 };
	char name[16];
	unsigned n;
	int rc;

	fresh();
	for (unsigned i = 0; i < PROFILE_CACHE_FILES * 2; i++) {
		(void)snprintf(name, sizeof name, "key %u", i);
		(void)profile_cache_store(cache, name, strlen(name), &prog);
	}
	n = count_files();
	TAP_INT(n, PROFILE_CACHE_FILES, "the number of files is bounded");
	TAP_OK(found(cache, name, strlen(name)), "the newest is kept");
	TAP_OK(!hit(), "the oldest is gone");
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)getrlimit(RLIMIT_FSIZE, &old);
	none.rlim_max = old.rlim_max;
	(void)setrlimit(RLIMIT_FSIZE, &none);
	rc = profile_cache_store(cache, key, sizeof key, &prog);
	(void)setrlimit(RLIMIT_FSIZE, &old);
	TAP_INT(rc, -EFBIG, "a file that cannot be written is an error");
	TAP_INT(count_files(), n, "that leaves nothing behind");
}

/* Many at once: each finds nothing, or all of it. */
static void test_crowd(void)
{
	unsigned bad = 0;
	int status;

	fresh();
	for (unsigned i = 0; i < 8; i++) {
		pid_t pid = fork();

		if (pid != 0)
			continue;
		for (unsigned j = 0; j < 200; j++) {
			if (profile_cache_store(cache, key, sizeof key, &prog) < 0 || !hit())
				_exit(1);
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		bad += status != 0;
	TAP_INT(bad, 0, "eight processes at once: nobody reads half a file");
	TAP_INT(count_files(), 1, "and nothing is left aside");
}

/* In a child that is somebody else; its result are bits of what is wrong. */
static int as_nobody(void)
{
	char path[128];
	int bad = 0;

	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 128;
	(void)snprintf(path, sizeof path, "%s/nobodys", root);
	/* The directory is open already, as if it had been handed over; the file in it is root's. */
	bad += hit() ? 1 : 0;
	bad += open_error(path) != 0 ? 2 : 0;
	bad += open_error(root) != -EPERM ? 4 : 0;
	return bad;
}

static void test_other_users(void)
{
	char path[128];
	int status;
	pid_t pid;

	if (geteuid() != 0) { /* then this user is the other one */
		TAP_INT(open_error("/root"), -EACCES, "root's directory is out of reach");
		return;
	}
	fresh();
	TAP_INT(chown(file_path, NOBODY, NOBODY), 0, "somebody else's file");
	TAP_OK(!hit(), "is not taken");
	TAP_INT(chown(cache_path, NOBODY, NOBODY), 0, "somebody else's directory");
	TAP_INT(open_error(root), -EPERM, "is refused, by root too");
	TAP_INT(rmtree(cache_path), 0, "it goes");
	(void)snprintf(path, sizeof path, "%s/nobodys", root);
	TAP_INT(mkdir(path, 0700) || chown(path, NOBODY, NOBODY), 0, "a state directory of somebody else");
	fresh();
	/* open for searching, so that somebody else gets as far as the owner is looked at */
	TAP_INT(chmod(root, 0755) || chmod(cache_path, 0755), 0, "one of root's that others may read");
	pid = fork();
	if (pid == 0)
		_exit(as_nobody());
	(void)waitpid(pid, &status, 0);
	TAP_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0, "as somebody else");
}

int main(void)
{
	(void)snprintf(root, sizeof root, "/tmp/vrun-test-cache-XXXXXX");
	if (!mkdtemp(root))
		return 1;
	(void)snprintf(cache_path, sizeof cache_path, "%s/filters", root);
	test_plain();
	test_damage();
	test_collision();
	test_bad_programs();
	test_strange_files();
	test_strange_directories();
	test_bounds();
	test_crowd();
	test_other_users();
	fd_close(&cache);
	TAP_INT(rmtree(root), 0, "clean up");
	return tap_done();
}
