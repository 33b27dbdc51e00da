/* SPDX-License-Identifier: Apache-2.0 */
#include "run/kept.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/cgroup.h"

#define CONFIG "config.json"
#define POLICY "policy.json"
#define CEILING "ceiling.json"
#define WAITING "start"
#define RUNNING "running"
#define NAME_SIZE (STATE_ID_MAX + sizeof ".d")

static const char *dir_name(const char *id, char buf[static NAME_SIZE])
{
	(void)snprintf(buf, NAME_SIZE, "%s.d", id);
	return buf;
}

static int open_dir(int root_fd, const char *id)
{
	char name[NAME_SIZE];
	int fd = openat(root_fd, dir_name(id, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_file(int dir, const char *name, const char *text, struct err *e)
{
	AUTO_FD int fd = -1;
	int rc;

	if (!text)
		return 0;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	return rc < 0 ? err_num(e, -rc, "copy of %s in the state directory", name) : 0;
}

int kept_make(int root_fd, const char *id, const struct kept_files *files, int *ret_dir, struct err *e)
{
	char name[NAME_SIZE];
	AUTO_FD int dir = -1;
	/* Of one that was being made or deleted when all its processes were killed: the record is ours. */
	int rc = kept_remove(root_fd, id, e);

	if (rc < 0)
		return rc;
	if (mkdirat(root_fd, dir_name(id, name), 0700) < 0)
		return err_sys(e, "directory %s in the state directory", name);
	dir = open_dir(root_fd, id);
	if (dir < 0)
		return err_num(e, -dir, "directory %s in the state directory", name);
	rc = write_file(dir, POLICY, files->policy, e);
	if (rc == 0)
		rc = write_file(dir, CEILING, files->ceiling, e);
	if (rc == 0)
		rc = write_file(dir, CONFIG, files->config, e);
	if (rc == 0)
		*ret_dir = fd_take(&dir);
	return rc;
}

char *kept_policy(const char *root, const char *id, bool ceiling)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s.d/%s", root, id, ceiling ? CEILING : POLICY) < 0)
		return NULL;
	if (access(path, F_OK) < 0)
		mem_free(&path);
	return path;
}

/* By the directory's descriptor: its path may be longer than a socket's name can be. */
static struct sockaddr_un address(int dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/" WAITING, dir);
	return sa;
}

int kept_listen(int dir, int *ret_listener, struct err *e)
{
	const struct sockaddr_un sa = address(dir);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int rc = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&sa, sizeof sa);

	(void)umask(mask);
	if (rc < 0 || listen(fd, SOMAXCONN) < 0)
		return err_sys(e, "socket for the start");
	*ret_listener = fd_take(&fd);
	return 0;
}

int kept_set_running(int dir, struct err *e)
{
	/* At no moment is neither of the names there. */
	return renameat(dir, WAITING, dir, RUNNING) < 0 ? err_sys(e, "state directory") : 0;
}

int kept_connect(int root_fd, const char *id)
{
	AUTO_FD int dir = open_dir(root_fd, id), fd = -1;
	struct sockaddr_un sa;

	if (dir < 0)
		return dir;
	sa = address(dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
		return -errno;
	return fd_take(&fd);
}

int kept_config(int root_fd, const char *id, struct json_doc *ret, struct err *e)
{
	AUTO_FD int dir = open_dir(root_fd, id);

	if (dir < 0)
		return err_num(e, -dir, "configuration of container %s", id);
	return json_doc_load(ret, dir, CONFIG, NULL, e);
}

int kept_remove(int root_fd, const char *id, struct err *e)
{
	static const char *const names[] = { WAITING, RUNNING, POLICY, CEILING, CONFIG };
	char name[NAME_SIZE];
	AUTO_FD int dir = open_dir(root_fd, id);

	for (size_t i = 0; dir >= 0 && i < sizeof names / sizeof *names; i++)
		if (unlinkat(dir, names[i], 0) < 0 && errno != ENOENT)
			return err_sys(e, "%s of container %s", names[i], id);
	if (unlinkat(root_fd, dir_name(id, name), AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, "directory %s in the state directory", name);
	return 0;
}

static bool is_frozen(const struct state_record *r)
{
	const struct jat at = { .doc = &r->doc, .key = "cgroup", .val = r->cgroup };
	struct cgroup *cg = NULL;
	bool frozen = false;

	if (r->cgroup && cgroup_restore(&cg, &at, NULL, NULL) == 0 && cg)
		(void)cgroup_frozen(cg, &frozen, NULL);
	cgroup_free(&cg);
	return frozen;
}

enum state_status kept_status(int root_fd, const struct state_record *r)
{
	AUTO_FD int dir = -1;

	if (!r->running)
		return STATE_STOPPED;
	if (!r->kept && !r->started)
		return STATE_CREATING;
	if (!r->kept)
		return is_frozen(r) ? STATE_PAUSED : STATE_RUNNING;
	dir = open_dir(root_fd, r->id);
	/* In this order: in between it may be started, but nothing goes back. */
	if (dir >= 0 && faccessat(dir, WAITING, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return STATE_CREATED;
	if (dir < 0 || faccessat(dir, RUNNING, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return STATE_CREATING;
	return is_frozen(r) ? STATE_PAUSED : STATE_RUNNING;
}

const char *kept_status_name(enum state_status s)
{
	static const char *const names[] = {
		[STATE_CREATING] = "creating", [STATE_CREATED] = "created", [STATE_RUNNING] = "running",
		[STATE_PAUSED] = "paused",     [STATE_STOPPED] = "stopped",
	};

	return names[s];
}
