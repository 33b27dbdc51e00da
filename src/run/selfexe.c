/* SPDX-License-Identifier: Apache-2.0 */
#include "run/selfexe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/refusal.h"

#ifndef MFD_EXEC /* 6.3 */
#define MFD_EXEC 0x0010U
#endif

#define NAME_MAX_MEMORY 249 /* memfd_create(2) */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int open_self(void)
{
	return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

bool selfexe_is_sealed(void)
{
	AUTO_FD int fd = open_self();

	/* Only a memory file has seals; on any other F_GET_SEALS fails. */
	return fd >= 0 && (fcntl(fd, F_GET_SEALS) & SEALS) == SEALS && fcntl(fd, F_GET_SEALS) >= 0;
}

static bool is_mapped(const struct idmap *map, uint32_t outside)
{
	for (size_t i = 0; i < map->n; i++)
		if (outside >= map->v[i].outside && outside - map->v[i].outside < map->v[i].size)
			return true;
	return false;
}

/*
 * An id of the container that may write the file, or may give itself that
 * right. A group that may write is taken for one of the app's: an unprivileged
 * caller's additional groups stay with the app though no map names them, and
 * an access control list hides behind the group's bits.
 */
static bool is_within_reach(const struct launch *l, const struct stat *st)
{
	return l->map_writer == MAP_NONE || (st->st_mode & (S_IWGRP | S_IWOTH)) ||
	       is_mapped(&l->uids, st->st_uid);
}

static int copy(int from, int to, off_t size)
{
	while (size > 0) {
		ssize_t n = sendfile(to, from, NULL, (size_t)size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		size -= n;
	}
	return fcntl(to, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

/* vm.memfd_noexec = 2 refuses the file itself (EACCES), a security module its execution. */
static int hint_install(struct err *e)
{
	(void)err_hint(e, "the app could write vrun's own file here: install vrun as root, or set the sysctl vm.memfd_noexec to 0");
	return refusal_old_kernel(e, NULL);
}

/* The copy's name leads to the helper programs beside the original (kern/helper.c). */
static void own_name(char name[static NAME_MAX_MEMORY + 1])
{
	ssize_t n = readlink("/proc/self/exe", name, NAME_MAX_MEMORY + 1);

	if (n > 0 && n <= NAME_MAX_MEMORY)
		name[n] = '\0';
	else
		memcpy(name, "vrun", sizeof "vrun");
}

int selfexe_protect(const struct launch *l, char **argv, struct err *e)
{
	AUTO_FD int self = open_self(), mem = -1;
	char name[NAME_MAX_MEMORY + 1];
	struct stat st;
	int rc;

	if (self < 0 || fstat(self, &st) < 0)
		return err_sys(e, "/proc/self/exe");
	if (!is_within_reach(l, &st) || selfexe_is_sealed())
		return 0;
	own_name(name);
	mem = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (mem < 0 && errno == EINVAL)
		mem = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mem < 0) {
		(void)err_sys(e, "copy of vrun in memory");
		return hint_install(e);
	}
	rc = copy(self, mem, st.st_size);
	if (rc < 0)
		return err_num(e, -rc, "copy of vrun in memory");
	(void)fexecve(mem, argv, environ);
	(void)err_sys(e, "executing a copy of vrun from memory");
	return hint_install(e);
}
