/* SPDX-License-Identifier: Apache-2.0 */
#include "run/streams.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"

static const char *const names[3] = { "standard input", "standard output", "standard error" };

static struct streams_pump *add_pump(struct streams *s, int from, int to)
{
	struct streams_pump *p;

	if (!s->pumps) {
		s->pumps = calloc(STREAMS_PUMPS_MAX, sizeof *s->pumps);
		if (!s->pumps)
			return NULL;
	}
	p = &s->pumps[s->n++];
	*p = (struct streams_pump){ .from = from, .to = to };
	return p;
}

static int carry_socket(struct streams *s, int i, struct err *e)
{
	struct streams_pump *pump;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "%s", names[i]);
	pump = i == 0 ? add_pump(s, 0, p[1]) : add_pump(s, p[0], i);
	if (!pump) {
		fd_close(&p[0]);
		fd_close(&p[1]);
		return err_num(e, ENOMEM, "%s", names[i]);
	}
	pump->own_to = i == 0;
	pump->own_from = i != 0;
	s->child[i] = i == 0 ? p[0] : p[1];
	return 0;
}

static int look_at(struct streams *s, int i, struct err *e)
{
	struct stat st;
	int flags = fcntl(i, F_GETFL);

	if (flags < 0 || fstat(i, &st) < 0) {
		/* Closed by the caller: /dev/null, so that nothing of ours takes the number. */
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return err_sys(e, "/dev/null");
		s->child[i] = fd;
		return 0;
	}
	if ((flags & O_PATH) || S_ISDIR(st.st_mode)) {
		(void)err_set(e, EINVAL, "%s is a directory: the app could walk the host's files from it",
			      names[i]);
		return err_hint(e, "redirect it from a file, a pipe or /dev/null");
	}
	return S_ISSOCK(st.st_mode) ? carry_socket(s, i, e) : 0;
}

int streams_prepare(struct streams *s, bool terminal, struct err *e)
{
	*s = (struct streams){ .child = { -1, -1, -1 }, .terminal = -1, .raw_fd = -1 };
	for (int i = 0; i < 3 && !terminal; i++) {
		int rc = look_at(s, i, e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int streams_prepare_detached(struct streams *s, const char *output, struct err *e)
{
	const char *to = output ? output : "/dev/null";

	*s = (struct streams){ .child = { -1, -1, -1 }, .terminal = -1, .raw_fd = -1 };
	s->child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->child[0] < 0)
		return err_sys(e, "/dev/null");
	for (int i = 1; i < 3; i++) {
		s->child[i] = open(to, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0600);
		if (s->child[i] < 0)
			return err_sys(e, "output file %s", to);
	}
	return 0;
}

static bool is_carried(const struct streams *s, int fd)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->pumps[i].from == fd || s->pumps[i].to == fd)
			return true;
	return false;
}

void streams_leave(const struct streams *s)
{
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; null >= 0 && i < 3; i++)
		if (!is_carried(s, i))
			(void)dup2(null, i);
}

int streams_check_preserved(int n, struct err *e)
{
	for (int fd = 3; fd < 3 + n; fd++) {
		int flags = fcntl(fd, F_GETFL);
		struct stat st;

		/* Those of ours among them are close-on-exec; the caller's cannot be. */
		if (flags < 0 || fcntl(fd, F_GETFD) != 0 || fstat(fd, &st) < 0)
			continue;
		if (!S_ISSOCK(st.st_mode) && !S_ISDIR(st.st_mode) && !(flags & O_PATH))
			continue;
		(void)err_set(e, EINVAL, "descriptor %d is a %s: it would lead the app out of the sandbox", fd,
			      S_ISSOCK(st.st_mode) ? "socket" : S_ISDIR(st.st_mode) ? "directory" : "path (O_PATH)");
		return err_hint(e, "close it, or give a smaller number to --preserve-fds");
	}
	return 0;
}

void streams_give(const struct streams *s, uid_t uid, gid_t gid)
{
	struct statfs fs;

	for (int i = 0; i < 3; i++) {
		int fd = s->child[i] < 0 ? i : s->child[i];

		/* Should it fail, the app still has the descriptor. */
		if (fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC)
			(void)!fchown(fd, uid, gid);
	}
}

int streams_enter(const struct streams *s, struct err *e)
{
	for (int i = 0; i < 3; i++) {
		if (s->child[i] < 0)
			continue;
		if (s->child[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(s->child[i], i) < 0)
			return err_sys(e, "%s", names[i]);
	}
	return 0;
}

void streams_close_child(struct streams *s)
{
	for (int i = 0; i < 3; i++)
		if (s->child[i] > 2)
			fd_close(&s->child[i]);
}

int streams_set_terminal(struct streams *s, int terminal, struct err *e)
{
	s->terminal = terminal;
	if (!add_pump(s, 0, terminal) || !add_pump(s, terminal, 1))
		return err_num(e, ENOMEM, "terminal");
	s->pumps[0].from_terminal = true;
	if (isatty(0) && tcgetattr(0, &s->saved) == 0) {
		struct termios raw = s->saved;

		streams_resize(s);
		cfmakeraw(&raw);
		if (tcsetattr(0, TCSADRAIN, &raw) < 0)
			return err_sys(e, "terminal");
		s->raw = true;
		s->raw_fd = 0;
	}
	return 0;
}

void streams_resize(const struct streams *s)
{
	struct winsize size;

	if (s->terminal >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0)
		(void)ioctl(s->terminal, TIOCSWINSZ, &size);
}

static void end_pump(struct streams_pump *p)
{
	if (p->own_from)
		fd_close(&p->from);
	if (p->own_to)
		fd_close(&p->to);
	p->from = p->to = -1;
	p->len = p->at = 0;
}

/* One read or one write; the descriptor was ready. */
static void step(struct streams_pump *p)
{
	ssize_t n;

	if (p->at == p->len) {
		n = read(p->from, p->buf, sizeof p->buf);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n <= 0 && p->from_terminal && p->len == 0 && n == 0) {
			/* End of input: the terminal's end-of-file character says it to the app. */
			p->buf[0] = 4;
			p->at = 0;
			p->len = 1;
			p->from = -1;
			return;
		}
		if (n <= 0) {
			end_pump(p);
			return;
		}
		p->at = 0;
		p->len = (size_t)n;
		return;
	}
	n = write(p->to, p->buf + p->at, p->len - p->at);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		end_pump(p);
		return;
	}
	p->at += (size_t)n;
	if (p->at == p->len && p->from < 0)
		end_pump(p);
}

size_t streams_own(const struct streams *s, int *ret_fds)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->pumps[i].own_from)
			ret_fds[n++] = s->pumps[i].from;
		if (s->pumps[i].own_to)
			ret_fds[n++] = s->pumps[i].to;
	}
	return n;
}

size_t streams_poll(const struct streams *s, struct pollfd *p)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct streams_pump *pump = &s->pumps[i];
		bool writing = pump->at < pump->len;

		p[i] = (struct pollfd){ .fd = writing ? pump->to : pump->from,
					.events = writing ? POLLOUT : POLLIN };
	}
	return s->n;
}

void streams_work(struct streams *s, const struct pollfd *p, size_t n)
{
	for (size_t i = 0; i < n && i < s->n; i++)
		if (p[i].fd >= 0 && p[i].revents)
			step(&s->pumps[i]);
}

/* What the app left in a pipe or its terminal still comes out; what is left of the input does not go in. */
static void drain(struct streams *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct streams_pump *p = &s->pumps[i];
		bool outward = p->own_from || (s->terminal >= 0 && p->from == s->terminal);

		while (outward && p->from >= 0) {
			struct pollfd f = { .fd = p->from, .events = POLLIN };

			if (p->at == p->len && (poll(&f, 1, 0) <= 0 || !(f.revents & POLLIN)))
				break;
			step(p);
		}
	}
}

void streams_fini(struct streams *s)
{
	drain(s);
	for (size_t i = 0; i < s->n; i++)
		end_pump(&s->pumps[i]);
	streams_close_child(s);
	fd_close(&s->terminal);
	if (s->raw)
		(void)tcsetattr(s->raw_fd, TCSADRAIN, &s->saved);
	s->raw = false;
	free(s->pumps);
	s->pumps = NULL;
	s->n = 0;
}
