/* SPDX-License-Identifier: Apache-2.0 */
#include "run/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "kern/path.h"
#include "kern/procstat.h"
#include "run/supervisor.h"

int state_check_id(const char *id, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
	size_t n = strlen(id);
	char quoted[64];

	if (n > 0 && n <= STATE_ID_MAX && strspn(id, allowed) == n && id[0] != '.' && id[0] != '-')
		return 0;
	(void)err_set(e, EINVAL, "container id \"%s\" is not valid", log_quote(quoted, sizeof quoted, id));
	return err_hint(e, "1 to %d letters, digits, '_', '.', '+', '-', not starting with '.' or '-'",
			STATE_ID_MAX);
}

void state_make_id(char id[static STATE_ID_MAX + 1])
{
	unsigned char r[5] = { 0 };

	/* Five bytes never block and never come short once the pool is seeded (getrandom(2)). */
	while (getrandom(r, sizeof r, 0) < 0 && errno == EINTR)
		;
	(void)snprintf(id, STATE_ID_MAX + 1, "vrun-%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4]);
}

char *state_default_root(void)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char *path = NULL, run[64];
	uid_t uid = geteuid();
	struct stat st;
	int n;

	(void)snprintf(run, sizeof run, "/run/user/%u", uid);
	/* Root of a user namespace has no /run of its own, though it may be one that everybody writes to. */
	if (uid == 0 && (!xdg || xdg[0] != '/' ||
			 (stat("/run", &st) == 0 && st.st_uid == 0 && access("/run", W_OK) == 0)))
		n = asprintf(&path, "/run/vrun");
	else if (xdg && xdg[0] == '/')
		n = asprintf(&path, "%s/vrun", xdg);
	else if (stat(run, &st) == 0 && st.st_uid == uid)
		n = asprintf(&path, "%s/vrun", run);
	else
		n = asprintf(&path, "/tmp/vrun-%u", uid);
	return n < 0 ? NULL : path;
}

void state_make_parents(const char *override)
{
	AUTO_FREE char *path = override ? strdup(override) : NULL;

	for (char *slash = path && *path ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700); /* state_root() says what is missing */
		*slash = '/';
	}
}

int state_root(const char *override, char **ret_path, struct err *e)
{
	AUTO_FREE char *path = override ? strdup(override) : state_default_root();
	struct stat st;

	if (!path)
		return err_num(e, ENOMEM, "state directory");
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		(void)err_sys(e, "state directory %s", path);
		return err_hint(e, "set XDG_RUNTIME_DIR to a directory of yours, or give --root DIR");
	}
	/* Not through a link, and nobody else's: records decide which processes are signalled. */
	if (lstat(path, &st) < 0)
		return err_sys(e, "state directory %s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(e, EPERM, "state directory %s: not a directory of uid %u with mode 0700",
			       path, geteuid());
	*ret_path = mem_take(&path);
	return 0;
}

#define NAME_SIZE (STATE_ID_MAX + sizeof ".json")

static const char *file_name(const char *id, char buf[static NAME_SIZE])
{
	(void)snprintf(buf, NAME_SIZE, "%s.json", id);
	return buf;
}

static void add_kept(json_t *own, const struct state_record *r)
{
	char number[24];

	/* As text: other readers' numbers lose digits above 2^53. */
	(void)snprintf(number, sizeof number, "%llu", (unsigned long long)r->start_time);
	(void)json_object_set_new(own, "startTime", json_string(number));
	if (r->root)
		(void)json_object_set_new(own, "root", json_string(r->root));
}

static void add_exec(json_t *own, const struct state_record *r)
{
	json_t *o = json_object();

	(void)json_object_set(o, "policy", (json_t *)(uintptr_t)r->policy);
	if (r->ceiling)
		(void)json_object_set(o, "ceiling", (json_t *)(uintptr_t)r->ceiling);
	if (r->config)
		(void)json_object_set_new(o, "config", json_string(r->config));
	else if (r->cwd)
		(void)json_object_set_new(o, "cwd", json_string(r->cwd));
	(void)json_object_set_new(o, "hostUsers", json_boolean(r->host_users));
	(void)json_object_set_new(own, "exec", o);
}

static char *record_text(const struct state_record *r)
{
	json_t *doc = json_pack("{s:s, s:s, s:s, s:I, s:s, s:{s:I, s:s, s:s, s:I}}", "ociVersion", "1.2.0", "id",
				r->id, "status", "running", "pid", (json_int_t)r->pid, "bundle", r->bundle, "vrun",
				"monitor", (json_int_t)r->monitor, "program", r->program, "net", r->net, "created",
				(json_int_t)r->created);
	json_t *own = json_object_get(doc, "vrun");
	char *text;

	if (own && r->fabric)
		(void)json_object_set_new(own, "fabric", json_string(r->fabric));
	if (own && r->supervisor && *r->supervisor)
		(void)json_object_set_new(own, "supervisor", json_string(r->supervisor));
	if (own && r->gateway && *r->gateway)
		(void)json_object_set_new(own, "gateway", json_string(r->gateway));
	if (own && r->cgroup)
		(void)json_object_set(own, "cgroup", (json_t *)(uintptr_t)r->cgroup);
	if (own && r->kept)
		add_kept(own, r);
	else if (own && r->policy)
		add_exec(own, r);
	if (doc && r->annotations)
		(void)json_object_set(doc, "annotations", (json_t *)(uintptr_t)r->annotations);
	text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	return text;
}

/* Not blocking, or a FIFO of that name would hold us. */
static int open_record(int root_fd, const char *name)
{
	return openat(root_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

/* Whether the record's monitor lives: it holds the lock. */
static bool is_locked(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK;
	(void)flock(fd, LOCK_UN);
	return false;
}

/* Of a container that stays until it is deleted. What cannot be read is not. */
static bool is_kept(int fd, const char *name)
{
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	bool kept;

	if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, name, JSON_FILE_MAX, &text, NULL, NULL) < 0 ||
	    json_doc_parse(&doc, name, text, strlen(text), NULL) < 0)
		return false;
	kept = json_object_get(json_object_get(doc.root, "vrun"), "startTime") != NULL;
	json_doc_fini(&doc);
	return kept;
}

/*
 * A record whose lock nobody holds has no monitor any more, and will have
 * none: the lock is taken before the name is given. But the name may be
 * another record's by now, of a launch that was quicker. So it is looked up
 * again, and removed, while we hold the lock. True when the name was free or
 * became so.
 */
static bool remove_if_dead(int root_fd, const char *name)
{
	AUTO_FD int fd = open_record(root_fd, name);
	struct stat ours, named;

	if (fd < 0)
		return errno == ENOENT;
	/* The second one waits for no monitor, only for others who look. */
	if (flock(fd, LOCK_SH | LOCK_NB) < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &ours) < 0)
		return false;
	if (fstatat(root_fd, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
		return true;
	if (is_kept(fd, name))
		return false;
	return unlinkat(root_fd, name, 0) == 0 || errno == ENOENT;
}

/* By its path: the descriptor says nothing to whoever has to make room or change a mode. */
static int record_failed(int root_fd, const char *id, int num, struct err *e)
{
	char link[PATH_FD_SIZE], dir[PATH_MAX];
	ssize_t n = readlink(path_of_fd(root_fd, link), dir, sizeof dir - 1);

	dir[n < 0 ? 0 : n] = '\0';
	(void)err_num(e, num, "record of container %s in the state directory %s", id, dir);
	return err_hint(e, "set XDG_RUNTIME_DIR to a directory of yours, or give --root DIR");
}

static int link_record(int root_fd, int fd, const char *id, struct err *e)
{
	char name[NAME_SIZE], path[PATH_FD_SIZE];

	(void)file_name(id, name);
	(void)path_of_fd(fd, path);
	for (int tries = 0; tries < 3; tries++) {
		if (linkat(AT_FDCWD, path, root_fd, name, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			return record_failed(root_fd, id, errno, e);
		if (!remove_if_dead(root_fd, name))
			break;
	}
	(void)err_set(e, EEXIST, "a container with the id %s exists", id);
	return err_hint(e, "choose another --id, or end that one with vrun kill");
}

int state_publish(int root_fd, const struct state_record *r, int *ret_lock, struct err *e)
{
	AUTO_FD int fd = openat(root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	AUTO_FREE char *text = record_text(r);
	int rc;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return record_failed(root_fd, r->id, errno, e);
	if (!text)
		return err_num(e, ENOMEM, "record of container %s", r->id);
	rc = fd_write_all(fd, text, strlen(text));
	if (rc < 0)
		return record_failed(root_fd, r->id, -rc, e);
	rc = link_record(root_fd, fd, r->id, e);
	if (rc == 0)
		*ret_lock = fd_take(&fd);
	return rc;
}

/* By its mode, since a file is renamed and rewritten at other prices, and this is in the way of every launch. */
void state_set_started(int lock)
{
	(void)fchmod(lock, 0700);
}

int state_remove(int root_fd, const char *id)
{
	char name[NAME_SIZE];

	return unlinkat(root_fd, file_name(id, name), 0) < 0 && errno != ENOENT ? -errno : 0;
}

void state_remove_dead(int root_fd, const char *id)
{
	char name[NAME_SIZE];

	(void)remove_if_dead(root_fd, file_name(id, name));
}

static int read_kept(struct state_record *r, const struct jat *own, struct err *e)
{
	const char *number = NULL;
	struct jat m;
	int rc = json_get_object(own, "cgroup", &m, e);

	if (rc > 0)
		r->cgroup = m.val;
	if (rc >= 0)
		rc = json_get_string(own, "startTime", &number, e);
	if (rc <= 0)
		return rc;
	r->kept = true;
	if (num_parse_u64(number, 0, UINT64_MAX, &r->start_time) < 0)
		return err_set(e, EINVAL, "record of container %s is damaged", r->id);
	return json_get_string(own, "root", &r->root, e);
}

static int read_exec(struct state_record *r, const struct jat *own, struct err *e)
{
	struct jat at, m;
	int rc = json_get_object(own, "exec", &at, e);

	if (rc <= 0)
		return rc;
	rc = json_get_object(&at, "policy", &m, e);
	r->policy = rc > 0 ? m.val : NULL;
	if (rc >= 0)
		rc = json_get_object(&at, "ceiling", &m, e);
	r->ceiling = rc > 0 ? m.val : NULL;
	if (rc >= 0)
		rc = json_get_string(&at, "config", &r->config, e);
	if (rc >= 0)
		rc = json_get_string(&at, "cwd", &r->cwd, e);
	return rc < 0 ? rc : json_get_bool(&at, "hostUsers", &r->host_users, e);
}

static int read_record(struct state_record *r, struct err *e)
{
	struct jat root = json_root(&r->doc), own, notes;
	int64_t pid = 0, monitor = 0;
	int rc = json_expect_object(&root, e);

	if (rc == 0)
		rc = json_get_string(&root, "bundle", &r->bundle, e);
	if (rc >= 0)
		rc = json_get_int(&root, "pid", 1, INT32_MAX, &pid, e);
	if (rc >= 0)
		rc = json_get_object(&root, "vrun", &own, e);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(e, EINVAL, "record of container %s is incomplete", r->id);
	rc = json_get_int(&own, "monitor", 1, INT32_MAX, &monitor, e);
	if (rc >= 0)
		rc = json_get_string(&own, "program", &r->program, e);
	if (rc >= 0)
		rc = json_get_string(&own, "net", &r->net, e);
	if (rc >= 0)
		rc = json_get_string(&own, "fabric", &r->fabric, e);
	if (rc >= 0)
		rc = json_get_string(&own, "supervisor", &r->supervisor, e);
	if (rc >= 0)
		rc = json_get_string(&own, "gateway", &r->gateway, e);
	if (rc >= 0)
		rc = json_get_int(&own, "created", 0, INT64_MAX, &r->created, e);
	if (rc >= 0)
		rc = read_kept(r, &own, e);
	if (rc >= 0)
		rc = read_exec(r, &own, e);
	if (rc >= 0)
		rc = json_get_object(&root, "annotations", &notes, e);
	if (rc > 0)
		r->annotations = notes.val;
	r->pid = (pid_t)pid;
	r->monitor = (pid_t)monitor;
	return rc < 0 ? rc : 0;
}

static bool is_same_process(const struct state_record *r)
{
	struct procstat st;

	return procstat_read(r->pid, &st) == 0 && st.start_time == r->start_time && st.state != 'Z' &&
	       st.state != 'X';
}

int state_load(int root_fd, const char *id, struct state_record *ret, struct err *e)
{
	struct state_record r = { .bundle = "", .program = "", .net = "", .fd = -1 };
	AUTO_FREE char *text = NULL;
	char name[NAME_SIZE];
	struct stat st;
	size_t len;
	int rc = state_check_id(id, e);

	if (rc < 0)
		return rc;
	(void)snprintf(r.id, sizeof r.id, "%s", id);
	r.fd = open_record(root_fd, file_name(id, name));
	if (r.fd < 0) {
		(void)err_set(e, errno, "no container with the id %s", id);
		return err_hint(e, "vrun ps lists them");
	}
	rc = fd_read_all(r.fd, name, JSON_FILE_MAX, &text, &len, e);
	if (rc == 0)
		rc = json_doc_parse(&r.doc, name, text, len, e);
	if (rc == 0)
		rc = read_record(&r, e);
	if (rc < 0) {
		state_record_fini(&r);
		return rc;
	}
	r.started = fstat(r.fd, &st) == 0 && (st.st_mode & 0100);
	r.monitored = is_locked(r.fd);
	r.running = r.kept ? is_same_process(&r) : r.monitored;
	*ret = r;
	return 0;
}

int state_open_process(const struct state_record *r)
{
	AUTO_FD int fd = r->pid > 0 ? sys_pidfd_open(r->pid, 0) : -1;
	struct stat st;

	if (fd >= 0 && r->kept)
		return is_same_process(r) ? fd_take(&fd) : -ESRCH;
	/* Taken first, checked then: had the pid been passed on, the record would be gone. */
	if (fd < 0 || fstat(r->fd, &st) < 0 || st.st_nlink == 0 || !is_locked(r->fd))
		return -ESRCH;
	return fd_take(&fd);
}

bool state_is_current(int root_fd, const struct state_record *r)
{
	char name[NAME_SIZE];
	struct stat ours, named;

	return fstat(r->fd, &ours) == 0 && fstatat(root_fd, file_name(r->id, name), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

int state_lock(const struct state_record *r, unsigned timeout_ms)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	/* flock(2) has no time limit, and the one who holds it may be stopped. */
	for (unsigned ms = 0; flock(r->fd, LOCK_EX | LOCK_NB) < 0; ms += 10) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (ms >= timeout_ms)
			return -EAGAIN;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

void state_record_fini(struct state_record *r)
{
	fd_close(&r->fd);
	json_doc_fini(&r->doc);
}

static int only_records(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return d->d_name[0] != '.' && dot && strcmp(dot, ".json") == 0;
}

static int visit(int root_fd, char *name, int (*each)(const struct state_record *r, void *arg), void *arg)
{
	struct state_record r;
	struct err ignored;
	int rc = 0;

	*strrchr(name, '.') = '\0';
	if (state_load(root_fd, name, &r, &ignored) < 0)
		return 0; /* gone meanwhile, or no record */
	if (r.running || r.kept) {
		rc = each(&r, arg);
	} else {
		char file[NAME_SIZE];

		if (remove_if_dead(root_fd, file_name(r.id, file)) && r.supervisor)
			(void)supervisor_remove_socket(root_fd, r.supervisor);
	}
	state_record_fini(&r);
	return rc;
}

int state_each(int root_fd, int (*each)(const struct state_record *r, void *arg), void *arg,
	       struct err *e)
{
	struct dirent **list = NULL;
	int n = scandirat(root_fd, ".", &list, only_records, alphasort), rc = 0;

	if (n < 0)
		return err_sys(e, "state directory");
	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = visit(root_fd, list[i]->d_name, each, arg);
		free(list[i]);
	}
	free(list);
	return rc;
}
