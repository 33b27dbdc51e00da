/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries to get at another process, by its number: what /proc shows of it, its
 * memory, its descriptors, its program's file, its life. Prints "NAME: ERRNO"
 * for each try, and "alive" at the end when it is still there.
 *
 *   peek PID
 *   peek exe      opens the program's file of every process to write to it,
 *                 over and over for a second; prints "WROTE PID" and ends when
 *                 it could. What it writes is the byte that is there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void result(const char *name, bool ok)
{
	(void)printf("%s: %s\n", name, ok ? "OPEN" : strerrorname_np(errno));
}

static void try_open(const char *pid, const char *name, int flags)
{
	char path[64], label[64];
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
	(void)snprintf(label, sizeof label, "%s%s", name, (flags & O_ACCMODE) == O_RDONLY ? "" : " (write)");
	fd = open(path, flags | O_CLOEXEC);
	result(label, fd >= 0);
	if (fd >= 0)
		(void)close(fd);
}

static void try_link(const char *pid, const char *name)
{
	char path[64], label[64], text[4096];

	(void)snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
	(void)snprintf(label, sizeof label, "readlink %s", name);
	result(label, readlink(path, text, sizeof text) >= 0);
}

static void try_calls(pid_t pid)
{
	char byte;
	struct iovec own = { &byte, 1 }, theirs = { (void *)0x400000, 1 };
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	result("ptrace ATTACH", ptrace(PTRACE_ATTACH, pid, 0, 0) == 0);
	result("ptrace SEIZE", ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
	result("process_vm_readv", process_vm_readv(pid, &own, 1, &theirs, 1, 0) == 1);
	result("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0);
	result("kcmp", syscall(SYS_kcmp, getpid(), pid, 0, 0, 0) >= 0);
}

/* What a signal did shows when a while has passed. */
static bool lives(pid_t pid)
{
	struct timespec t = { 0, 100000000 };
	char path[64], text[512], *state;
	FILE *f;

	(void)nanosleep(&t, NULL);
	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof text, f))
		return false;
	(void)fclose(f);
	state = strrchr(text, ')');
	return state && strchr("RSD", state[2]);
}

static int peek(const char *pid)
{
	static const char *const files[] = { "mem",  "environ",	 "auxv",    "maps",	  "smaps",   "syscall",
					     "stack", "io",	 "pagemap", "timers", "personality" };
	static const char *const links[] = { "exe", "cwd", "root", "ns/mnt", "ns/net", "ns/user", "ns/pid", "fd/0" };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		try_open(pid, files[i], O_RDONLY);
	try_open(pid, "mem", O_RDWR);
	try_open(pid, "exe", O_RDONLY);
	try_open(pid, "root", O_RDONLY | O_DIRECTORY);
	try_open(pid, "cwd", O_RDONLY | O_DIRECTORY);
	try_open(pid, "fd", O_RDONLY | O_DIRECTORY);
	try_open(pid, "map_files", O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		try_link(pid, links[i]);
	try_calls((pid_t)atoi(pid));
	(void)kill((pid_t)atoi(pid), SIGSTOP);
	(void)kill((pid_t)atoi(pid), SIGKILL);
	(void)puts(lives((pid_t)atoi(pid)) ? "alive" : "GONE");
	return 0;
}

static bool write_exe(const char *pid)
{
	char path[280];
	int fd, again;
	char byte;
	bool ok;

	(void)snprintf(path, sizeof path, "/proc/%s/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &byte, 1, 0) != 1)
		return false;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_CLOEXEC);
	/* While the program runs: ETXTBSY. Who has got this far waits for its end. */
	ok = again >= 0 ? pwrite(again, &byte, 1, 0) == 1 : errno == ETXTBSY;
	(void)close(fd);
	if (again >= 0)
		(void)close(again);
	return ok;
}

static int write_any_exe(void)
{
	time_t end = time(NULL) + 2;

	while (time(NULL) < end) {
		DIR *d = opendir("/proc");
		struct dirent *e;

		while (d && (e = readdir(d))) {
			if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == getpid() ||
			    !write_exe(e->d_name))
				continue;
			(void)printf("WROTE %s\n", e->d_name);
			return 1;
		}
		if (d)
			(void)closedir(d);
	}
	(void)puts("nothing to write to");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	return strcmp(argv[1], "exe") == 0 ? write_any_exe() : peek(argv[1]);
}
