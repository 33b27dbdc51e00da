/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/profile_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define DIRECTORY "filters"
#define SUFFIX ".seccomp"
#define ASIDE ".new-"
#define NAME_SIZE 64
#define FILE_MAX (sizeof(struct header) + PROFILE_CACHE_KEY_MAX + BPF_MAXINSNS * 8U)

/* A file: this, the key, the program. In the machine's own byte order: it never leaves it. */
struct header {
	char magic[8];
	uint32_t key_len, n_insns;
	uint64_t checksum; /* over the rest of the file and the two lengths */
};

static const char magic[8] = "vrunbpf1";

/* Names files and notices damage; against an enemy stand the owner and the whole key. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len > 0) {
		uint64_t w = 0;
		size_t n = len < sizeof w ? len : sizeof w;

		memcpy(&w, p, n);
		h = (h ^ w ^ n) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
		p += n;
		len -= n;
	}
	return h;
}

static uint64_t checksum(const struct header *h, const void *rest, size_t len)
{
	return mix(mix(mix(1, &h->key_len, sizeof h->key_len), &h->n_insns, sizeof h->n_insns), rest,
		   len);
}

static void file_name(char *buf, const void *key, size_t key_len)
{
	(void)snprintf(buf, NAME_SIZE, "%016llx" SUFFIX, (unsigned long long)mix(0, key, key_len));
}

int profile_cache_open(const char *state_root, int *ret_dirfd, struct err *e)
{
	AUTO_FD int root = open(state_root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct stat st;

	if (root < 0)
		return err_sys(e, "filter cache in %s", state_root);
	if (mkdirat(root, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "filter cache %s/" DIRECTORY, state_root);
	fd = openat(root, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(e, EPERM, "filter cache %s/" DIRECTORY ": not a directory", state_root);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "filter cache %s/" DIRECTORY, state_root);
	if (st.st_uid != geteuid() || (st.st_mode & 077)) {
		(void)err_set(e, EPERM, "filter cache %s/" DIRECTORY ": owned by %u with mode %03o",
			      state_root, st.st_uid, st.st_mode & 0777);
		return err_hint(e, "it must be yours with mode 700: remove it");
	}
	*ret_dirfd = fd_take(&fd);
	return 0;
}

int profile_cache_decode(const void *data, size_t len, const void *key, size_t key_len,
			 struct bpf_prog *ret)
{
	const unsigned char *rest = (const unsigned char *)data + sizeof(struct header);
	struct bpf_prog p = { 0 };
	struct header h;
	size_t bytes;

	if (len < sizeof h)
		return 0;
	memcpy(&h, data, sizeof h);
	bytes = (size_t)h.n_insns * sizeof *p.v;
	if (memcmp(h.magic, magic, sizeof magic) != 0 || h.n_insns == 0 ||
	    h.n_insns > BPF_MAXINSNS || h.key_len != key_len || len != sizeof h + key_len + bytes)
		return 0;
	if (memcmp(rest, key, key_len) != 0 || checksum(&h, rest, len - sizeof h) != h.checksum)
		return 0;
	p.v = malloc(bytes);
	if (!p.v)
		return 0;
	memcpy(p.v, rest + key_len, bytes);
	p.n = (unsigned short)h.n_insns;
	if (bpf_prog_check(&p)) {
		bpf_prog_fini(&p);
		return 0;
	}
	*ret = p;
	return 1;
}

int profile_cache_find(int dirfd, const void *key, size_t key_len, struct bpf_prog *ret)
{
	AUTO_FREE char *data = NULL;
	AUTO_FD int fd = -1;
	char name[NAME_SIZE];
	struct stat st;
	ssize_t n;

	file_name(name, key, key_len);
	/* Not blocking: a FIFO in the file's place would hold us for ever. */
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	/* A second name may lie where others write; no name at all means replaced just now. */
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) ||
	    st.st_nlink > 1 || st.st_size < (off_t)sizeof(struct header) ||
	    st.st_size > (off_t)FILE_MAX)
		return 0;
	data = malloc((size_t)st.st_size);
	if (!data)
		return 0;
	do
		n = read(fd, data, (size_t)st.st_size);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)st.st_size) /* one read gets all of a file that nobody cuts */
		return 0;
	return profile_cache_decode(data, (size_t)n, key, key_len, ret);
}

static bool is_ours(const char *name)
{
	size_t n = strlen(name), s = sizeof SUFFIX - 1;

	return (n > s && strcmp(name + n - s, SUFFIX) == 0) ||
	       strncmp(name, ASIDE, sizeof ASIDE - 1) == 0;
}

/*
 * Removes the oldest of our files, but not `newest`; returns whether there were more than may stay. Times are those
 * of the kernel's tick: of those that have the same one the last goes, which tmpfs has first.
 */
static bool evict_one(DIR *dir, const char *newest)
{
	struct timespec oldest = { 0 };
	char victim[NAME_MAX + 1] = "";
	const struct dirent *de;
	unsigned count = 0;
	struct stat st;

	rewinddir(dir);
	while ((de = readdir(dir))) {
		if (!is_ours(de->d_name) || fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		count++;
		if (strcmp(de->d_name, newest) == 0)
			continue;
		if (*victim && (st.st_mtim.tv_sec > oldest.tv_sec ||
				(st.st_mtim.tv_sec == oldest.tv_sec &&
				 st.st_mtim.tv_nsec > oldest.tv_nsec)))
			continue;
		oldest = st.st_mtim;
		(void)snprintf(victim, sizeof victim, "%s", de->d_name);
	}
	return count > PROFILE_CACHE_FILES && unlinkat(dirfd(dir), victim, 0) == 0;
}

static void evict(int cache_dirfd, const char *newest)
{
	AUTO_FD int fd = openat(cache_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return;
	(void)fd_take(&fd); /* the DIR's now */
	while (evict_one(dir, newest))
		;
	(void)closedir(dir);
}

static int write_file(int fd, const void *key, size_t key_len, const struct bpf_prog *p)
{
	size_t bytes = p->n * sizeof *p->v, len = sizeof(struct header) + key_len + bytes;
	AUTO_FREE char *data = malloc(len);
	struct header h = { .key_len = (uint32_t)key_len, .n_insns = p->n };

	if (!data)
		return -ENOMEM;
	memcpy(h.magic, magic, sizeof magic);
	memcpy(data + sizeof h, key, key_len);
	memcpy(data + sizeof h + key_len, p->v, bytes);
	h.checksum = checksum(&h, data + sizeof h, len - sizeof h);
	memcpy(data, &h, sizeof h);
	if (fchmod(fd, 0600) < 0) /* whatever the umask is */
		/* cppcheck-suppress memleak ; freed by AUTO_FREE */
		return -errno;
	return fd_write_all(fd, data, len);
}

int profile_cache_store(int dirfd, const void *key, size_t key_len, const struct bpf_prog *p)
{
	char name[NAME_SIZE], aside[NAME_SIZE];
	AUTO_FD int fd = -1;
	struct timespec now;
	int rc;

	if (key_len > PROFILE_CACHE_KEY_MAX)
		return -EFBIG;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(aside, sizeof aside, ASIDE "%d-%llx", (int)getpid(),
		       (unsigned long long)now.tv_sec << 30 | (unsigned long long)now.tv_nsec);
	fd = openat(dirfd, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	file_name(name, key, key_len);
	rc = write_file(fd, key, key_len, p);
	if (rc == 0 && renameat(dirfd, aside, dirfd, name) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlinkat(dirfd, aside, 0);
	else
		evict(dirfd, name);
	return rc;
}
