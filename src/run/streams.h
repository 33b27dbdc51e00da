/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The app's standard streams.
 *
 * Files, pipes and terminals are handed on as they are. Sockets are not: a
 * socket of the host's in the app's hands is a way out, so its bytes are
 * carried over a pipe. A directory or an O_PATH descriptor would let the app
 * walk the host's files: refused. With process.terminal the app gets a
 * terminal of its own and the caller's is switched to raw mode meanwhile.
 */
#ifndef VRUN_RUN_STREAMS_H
#define VRUN_RUN_STREAMS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include "base/err.h"

#define STREAMS_PUMPS_MAX 3

struct streams_pump {
	int from, to;       /* -1 when that end is finished */
	bool own_from, own_to; /* to be closed here */
	bool from_terminal; /* end of file is not passed on by closing */
	size_t len, at;
	char buf[16384];
};

struct streams {
	int child[3];      /* what becomes 0, 1, 2 of the app; -1: as they are */
	struct streams_pump *pumps; /* allocated when needed: STREAMS_PUMPS_MAX of them */
	size_t n;
	int terminal; /* controlling side, -1 without */
	bool raw;
	int raw_fd;
	struct termios saved;
};

/* Looks at the caller's streams and makes pipes for sockets. `terminal`: the app will have one of its own. */
int streams_prepare(struct streams *s, bool terminal, struct err *e);

/*
 * For an app in the background: standard input from /dev/null, and both outputs
 * to `output`, a path that is made or appended to, or with NULL to /dev/null.
 * It holds nothing that the caller could be waiting on.
 */
int streams_prepare_detached(struct streams *s, const char *output, struct err *e);

/* The monitor in the background lets go of the caller's streams but those that it carries. */
void streams_leave(const struct streams *s);

/* Refuses what may not be handed on among the caller's descriptors 3 to 3+n-1: sockets, directories, O_PATH. */
int streams_check_preserved(int n, struct err *e);

/*
 * Pipes that the app gets belong to the app's user from now on, so that it can
 * open them by name (/dev/stdout) as any process can its own. Nothing else is
 * given away: files and FIFOs that have a name stay their owner's.
 */
void streams_give(const struct streams *s, uid_t uid, gid_t gid);

/* In the container: puts the app's ends in place. */
int streams_enter(const struct streams *s, struct err *e);

/* In the monitor, after the container was made: closes the app's ends. */
void streams_close_child(struct streams *s);

/* The terminal has arrived: starts carrying, raw mode on. Takes the descriptor. */
int streams_set_terminal(struct streams *s, int terminal, struct err *e);

/* Passes the caller's window size on. */
void streams_resize(const struct streams *s);

/* The descriptors that only the monitor is to hold, at most STREAMS_PUMPS_MAX. */
size_t streams_own(const struct streams *s, int *ret_fds);

/* Fills up to STREAMS_PUMPS_MAX poll entries, returns their number; then streams_work() with the same
 * entries after poll(2). */
size_t streams_poll(const struct streams *s, struct pollfd *p);
void streams_work(struct streams *s, const struct pollfd *p, size_t n);

/* The app is gone: carries what is still there, restores the terminal, closes everything. */
void streams_fini(struct streams *s);

#endif
