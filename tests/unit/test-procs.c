/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a task's descriptors never is another's: not of another number, file or task. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kern/procs.h"
#include "tap.h"

#define AT 40 /* where a test has its descriptor */

static struct procs procs;

/* -errno, or whether it closes at execve(). */
static int closes(pid_t tid, int fd)
{
	bool yes = false;
	int rc = procs_cloexec(&procs, tid, fd, &yes);

	return rc < 0 ? rc : yes;
}

static int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		(void)closedir(dir);
	return n;
}

static void test_flags(void)
{
	pid_t self = getpid();
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), before;

	TAP_INT(dup3(null, AT, O_CLOEXEC), AT, "a descriptor that closes at execve()");
	TAP_INT(closes(self, AT), 1, "does");
	before = open_files();
	TAP_INT(fcntl(AT, F_SETFD, 0), 0, "F_SETFD");
	TAP_INT(closes(self, AT), 0, "does not any more");
	TAP_INT(dup3(null, AT, O_CLOEXEC), AT, "another in its place");
	TAP_INT(closes(self, AT), 1, "does");
	TAP_INT(dup2(null, AT + 1), AT + 1, "one beside it");
	TAP_INT(closes(self, AT + 1), 0, "does not");
	TAP_INT(closes(self, AT), 1, "which is no matter of the first");
	(void)close(AT + 1);
	TAP_INT(open_files(), before, "one file is kept of a task, however often it is asked for");
	(void)close(AT);
	TAP_INT(closes(self, AT), -ENOENT, "closed: there is none");
	TAP_INT(dup2(null, AT), AT, "there is one again");
	TAP_INT(closes(self, AT), 0, "and what it is, is said of this one");
	(void)close(AT);
	(void)close(null);
}

/* A task with another table, which tells when its descriptor is there. */
static pid_t start(bool cloexec)
{
	int ready[2];
	char c;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup3(ready[0], AT, cloexec ? O_CLOEXEC : 0) != AT || write(ready[1], "", 1) != 1)
			_exit(1);
		(void)pause();
		_exit(0);
	}
	if (pid < 0 || read(ready[0], &c, 1) != 1)
		exit(1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return pid;
}

static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* More than there is room for, so that each has had another's place. */
static void test_tasks(void)
{
	pid_t pids[3 * PROCS_INFOS / 2];
	const int n = sizeof pids / sizeof *pids;
	int wrong = 0, before;

	for (int i = 0; i < n; i++)
		pids[i] = start(i % 2);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < n; i++)
			wrong += closes(pids[i], AT) != i % 2;
	TAP_INT(wrong, 0, "each task's own is told");
	before = open_files();
	for (int i = 0; i < n; i++)
		wrong += closes(pids[i], AT) != i % 2;
	TAP_INT(wrong, 0, "however often");
	TAP_INT(open_files(), before, "with no more files");
	for (int i = 0; i < n; i++)
		end(pids[i]);
	for (int i = 0; i < n; i++)
		wrong += closes(pids[i], AT) >= 0;
	TAP_INT(wrong, 0, "of one that is gone nothing is told");
}

int main(void)
{
	int before = open_files();

	procs_init(&procs);
	test_flags();
	test_tasks();
	procs_fini(&procs);
	TAP_INT(open_files(), before, "in the end nothing is kept");
	return tap_done();
}
