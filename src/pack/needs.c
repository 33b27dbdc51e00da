/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/needs.h"

#include <linux/capability.h>
#include <stddef.h>
#include <string.h>

enum { CONNECTS = 1, LISTENS = 2, RESOLVES = 4, SPAWNS = 8, LOADS = 16 };

#define CAP(c) (1ULL << (c))

static const struct {
	const char *symbol;
	unsigned what;
	uint64_t caps;
} table[] = {
	{ "connect", CONNECTS, 0 },
	{ "listen", LISTENS, 0 },
	{ "accept", LISTENS, 0 },
	{ "accept4", LISTENS, 0 },
	{ "getaddrinfo", RESOLVES, 0 },
	{ "gethostbyname", RESOLVES, 0 },
	{ "gethostbyname_r", RESOLVES, 0 },
	{ "gethostbyname2", RESOLVES, 0 },
	{ "gethostbyaddr", RESOLVES, 0 },
	{ "getnameinfo", RESOLVES, 0 },
	{ "res_search", RESOLVES, 0 },
	{ "__res_search", RESOLVES, 0 },
	{ "fork", SPAWNS, 0 },
	{ "vfork", SPAWNS, 0 },
	{ "execve", SPAWNS, 0 },
	{ "execv", SPAWNS, 0 },
	{ "execvp", SPAWNS, 0 },
	{ "execl", SPAWNS, 0 },
	{ "execlp", SPAWNS, 0 },
	{ "system", SPAWNS, 0 },
	{ "popen", SPAWNS, 0 },
	{ "posix_spawn", SPAWNS, 0 },
	{ "posix_spawnp", SPAWNS, 0 },
	{ "dlopen", LOADS, 0 },
	{ "setuid", 0, CAP(CAP_SETUID) },
	{ "seteuid", 0, CAP(CAP_SETUID) },
	{ "setreuid", 0, CAP(CAP_SETUID) },
	{ "setresuid", 0, CAP(CAP_SETUID) },
	{ "setgid", 0, CAP(CAP_SETGID) },
	{ "setegid", 0, CAP(CAP_SETGID) },
	{ "setregid", 0, CAP(CAP_SETGID) },
	{ "setresgid", 0, CAP(CAP_SETGID) },
	{ "setgroups", 0, CAP(CAP_SETGID) },
	{ "initgroups", 0, CAP(CAP_SETGID) },
	{ "chown", 0, CAP(CAP_CHOWN) },
	{ "fchown", 0, CAP(CAP_CHOWN) },
	{ "lchown", 0, CAP(CAP_CHOWN) },
	{ "fchownat", 0, CAP(CAP_CHOWN) },
	{ "chroot", 0, CAP(CAP_SYS_CHROOT) },
	{ "mount", 0, CAP(CAP_SYS_ADMIN) },
	{ "umount2", 0, CAP(CAP_SYS_ADMIN) },
	{ "sethostname", 0, CAP(CAP_SYS_ADMIN) },
	{ "reboot", 0, CAP(CAP_SYS_BOOT) },
	{ "settimeofday", 0, CAP(CAP_SYS_TIME) },
	{ "clock_settime", 0, CAP(CAP_SYS_TIME) },
	{ "mknod", 0, CAP(CAP_MKNOD) },
};

void needs_symbol(struct needs *n, const char *symbol)
{
	n->known = true;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (strcmp(table[i].symbol, symbol) != 0)
			continue;
		n->connects = n->connects || (table[i].what & CONNECTS);
		n->listens = n->listens || (table[i].what & LISTENS);
		n->resolves = n->resolves || (table[i].what & RESOLVES);
		n->spawns = n->spawns || (table[i].what & SPAWNS);
		n->loads = n->loads || (table[i].what & LOADS);
		n->caps |= table[i].caps;
	}
}
