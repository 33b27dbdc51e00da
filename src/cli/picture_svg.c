/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing by Graphviz' dot(1), a program of the host's. It reads from a file in memory and writes to one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/picture.h"

#define SVG_MAX (64U << 20)
#define NOT_FOUND 127

static int write_dot(const struct picture *p, int fd, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		return err_num(e, ENOMEM, "graph");
	graph_write_dot(&p->graph, f);
	if (fclose(f) != 0)
		return err_num(e, ENOMEM, "graph");
	rc = fd_write_all(fd, text, len);
	if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
		rc = -errno;
	return rc < 0 ? err_num(e, -rc, "graph") : 0;
}

static int run_dot(int in, int out, struct err *e)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(e, "dot");
	if (pid == 0) {
		if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
			(void)execlp("dot", "dot", "-Tsvg", (char *)NULL);
		_exit(errno == ENOENT ? NOT_FOUND : 126);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "dot");
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND) {
		(void)err_set(e, ENOENT, "Graphviz draws the picture, and its program dot is not installed");
		return err_hint(e, "install graphviz, or write a .dot file and draw it elsewhere");
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, EIO, "dot could not draw the picture (status 0x%x)", (unsigned)status);
	return 0;
}

int picture_svg(const struct picture *p, char **ret_svg, struct err *e)
{
	AUTO_FD int in = memfd_create("graph.dot", MFD_CLOEXEC), out = memfd_create("graph.svg", MFD_CLOEXEC);
	AUTO_FREE char *text = NULL;
	const char *svg;
	int rc;

	if (in < 0 || out < 0)
		return err_sys(e, "graph");
	rc = write_dot(p, in, e);
	if (rc == 0)
		rc = run_dot(in, out, e);
	if (rc == 0 && lseek(out, 0, SEEK_SET) < 0)
		rc = err_sys(e, "graph");
	if (rc == 0)
		rc = fd_read_all(out, "dot's picture", SVG_MAX, &text, NULL, e);
	if (rc < 0)
		return rc;
	/* What stands before is for a file of its own. */
	svg = text ? strstr(text, "<svg") : NULL;
	*ret_svg = svg ? strdup(svg) : NULL;
	if (!svg)
		return err_set(e, EPROTO, "dot has written no picture");
	return *ret_svg ? 0 : err_num(e, ENOMEM, "graph");
}
