/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/landlock.h"

#include <linux/landlock.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/kernel.h"

/* The structure and the rights as of ABI 6; the kernel takes a shorter or zero-extended one. */
struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};
struct path_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)
#define RULE_PATH_BENEATH 1
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)

/* Bits of handled_access_fs that each ABI knows: 13 at first, then REFER, TRUNCATE, IOCTL_DEV. */
static uint64_t fs_rights(int abi)
{
	int bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13;

	return (1ULL << bits) - 1;
}

int landlock_abi(void)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0, 1U /* VERSION */);

	return abi < 0 ? 0 : (int)abi;
}

static int add_rule(int ruleset, int fd, uint64_t access)
{
	struct path_attr path = { .allowed_access = access, .parent_fd = fd };

	return (int)syscall(__NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &path, 0U);
}

/*
 * A file that the caller gave as a standard stream lies outside the root.
 * "echo >/dev/stderr" opens it anew: that stays possible in the direction in
 * which it was given, and no more: what was given to be read is not written.
 */
static int allow_stream(int ruleset, int fd, int abi, struct err *e)
{
	int flags = fcntl(fd, F_GETFL), mode = flags & O_ACCMODE;
	uint64_t access = 0;
	struct stat st;

	/* Pipes and sockets lie in no directory: Landlock does not look at them. */
	if (flags < 0 || (flags & O_PATH) || fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)))
		return 0;
	if (mode != O_WRONLY)
		access |= LANDLOCK_ACCESS_FS_READ_FILE;
	if (mode != O_RDONLY)
		access |= LANDLOCK_ACCESS_FS_WRITE_FILE | (abi >= 3 ? FS_TRUNCATE : 0);
	if (S_ISCHR(st.st_mode) && abi >= 5)
		access |= FS_IOCTL_DEV;
	/* EBADFD: a file that no path leads to (memfd_create(2)). */
	if (add_rule(ruleset, fd, access) < 0 && errno != EBADFD)
		return err_sys(e, "Landlock rule for descriptor %d", fd);
	return 0;
}

/* A link stands for what it leads to. */
static int allow_files(int ruleset, const char *const *files, struct err *e)
{
	for (; *files; files++) {
		AUTO_FD int fd = open(*files, O_PATH | O_CLOEXEC);

		if (fd >= 0 && add_rule(ruleset, fd, LANDLOCK_ACCESS_FS_READ_FILE) < 0)
			return err_sys(e, "Landlock rule for %s", *files);
	}
	return 0;
}

int landlock_enter(const struct landlock_wall *wall, struct err *e)
{
	int abi = landlock_abi();
	struct ruleset_attr attr = { 0 };
	AUTO_FD int fd = -1;
	size_t size;
	int rc = 0;

	/* Without REFER (ABI 2) a ruleset on files forbids every rename across directories. */
	if (wall->root_only && abi >= 2)
		attr.handled_access_fs = fs_rights(abi);
	if (wall->deny_tcp && abi >= 4)
		attr.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 6)
		attr.scoped = (wall->scope ? SCOPE_ABSTRACT_UNIX : 0) | (wall->signals ? SCOPE_SIGNAL : 0);
	if (!attr.handled_access_fs && !attr.handled_access_net && !attr.scoped)
		return 0;
	size = abi >= 6 ? sizeof attr : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	fd = (int)syscall(__NR_landlock_create_ruleset, &attr, size, 0U);
	if (fd < 0)
		return err_sys(e, "Landlock ruleset");
	if (attr.handled_access_fs && wall->root_fd >= 0 && add_rule(fd, wall->root_fd, attr.handled_access_fs) < 0)
		return err_sys(e, "Landlock rule for the root directory");
	if (attr.handled_access_fs && wall->files)
		rc = allow_files(fd, wall->files, e);
	for (int i = 0; rc == 0 && attr.handled_access_fs && i < wall->streams; i++)
		rc = allow_stream(fd, i, abi, e);
	if (rc < 0)
		return rc;
	if (syscall(__NR_landlock_restrict_self, fd, 0U) < 0)
		return err_sys(e, "entering the Landlock ruleset");
	return 0;
}
