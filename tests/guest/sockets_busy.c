/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes after many accepts that waited shortly: a supervisor may believe that the
 * next one is like them (sup/hunch.h), and it is another listener, another mode, or nobody.
 */
#include "sockets.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 40

static int listener(void)
{
	int l = tcp("127.0.0.1", 0);

	IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
	IS(listen(l, 8), 0, "listen");
	return l;
}

/* One who connects so often, each time when the one before was closed. */
static pid_t connector(int port, int times)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	while (times-- > 0) {
		int c = tcp("127.0.0.1", 0);
		char buf;

		if (connect_to(c, "127.0.0.1", port) != 0 || read(c, &buf, 1) != 0)
			_exit(1);
		close(c);
	}
	_exit(0);
}

static void end(pid_t pid, const char *what)
{
	int status = -1;

	waitpid(pid, &status, 0);
	IS(status, 0, what);
}

static int accepted(int l, int times)
{
	int n = 0;

	for (; times > 0; times--) {
		int s = accept(l, NULL, NULL);

		n += s >= 0;
		close(s);
	}
	return n;
}

static void busy(int l)
{
	pid_t pid = connector(port_at(l), MANY);

	IS(accepted(l, MANY), MANY, "one accept after the other");
	end(pid, "who connects as often");
}

static void test_mode(void)
{
	struct timeval short_time = { .tv_usec = 50000 };
	int l = listener();

	busy(l);
	fcntl(l, F_SETFL, O_NONBLOCK);
	IS(accept(l, NULL, NULL), -EAGAIN, "accept, no more waiting");
	fcntl(l, F_SETFL, 0);
	busy(l);
	setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time);
	IS(accept(l, NULL, NULL), -EAGAIN, "accept, timed out now");
	short_time.tv_usec = 0;
	setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time);
	busy(l);
	shutdown(l, SHUT_RDWR);
	IS(accept(l, NULL, NULL), -EINVAL, "accept, shut down meanwhile");
	close(l);
	IS(accept(l, NULL, NULL), -EBADF, "accept, closed meanwhile");
}

/* At the same number. */
static void test_other(void)
{
	int l = listener(), other = listener(), port = port_at(other), s;
	pid_t pid;

	busy(l);
	dup2(other, l);
	close(other);
	pid = connector(port, 1);
	s = accept(l, NULL, NULL);
	IS(port_at(s), port, "accept, of another listener meanwhile");
	close(s);
	end(pid, "who connects to that one");
	close(l);
	l = tcp("127.0.0.1", 0);
	IS(accept(l, NULL, NULL), -EINVAL, "accept, of one that does not listen");
	close(l);
}

static void nothing(int sig)
{
	(void)sig;
}

static void test_signal(void)
{
	struct sigaction sa = { .sa_handler = nothing };
	/* Again and again: the first may come before the call. */
	const struct itimerval later = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 };
	const struct itimerval soon = { .it_value.tv_usec = 300 }, never = { 0 };
	int l = listener();
	pid_t pid;

	sigaction(SIGALRM, &sa, NULL);
	busy(l);
	setitimer(ITIMER_REAL, &later, NULL);
	IS(accept(l, NULL, NULL), -EINTR, "accept, interrupted after all");
	setitimer(ITIMER_REAL, &never, NULL);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	for (int i = 0; i < 10; i++) {
		pid = connector(port_at(l), MANY);
		setitimer(ITIMER_REAL, &soon, NULL);
		IS(accepted(l, MANY), MANY, "one accept after the other, interrupted");
		end(pid, "none is lost, and none comes twice");
	}
	setitimer(ITIMER_REAL, &later, NULL);
	fcntl(l, F_SETFL, O_NONBLOCK);
	IS(accept(l, NULL, NULL), -EAGAIN, "nor is one left");
	setitimer(ITIMER_REAL, &never, NULL);
	close(l);
}

/* Nobody else has the listener. */
static void test_end(void)
{
	for (int i = 0; i < 10; i++) {
		int ready[2], port, status;
		pid_t server;
		char c;

		if (pipe(ready) < 0)
			exit(1);
		server = fork();
		if (server == 0) {
			int l = listener();

			port = port_at(l);
			(void)!write(ready[1], &port, sizeof port);
			(void)accepted(l, MANY);
			(void)!write(ready[1], "x", 1);
			for (;;)
				(void)accepted(l, 1);
		}
		IS(read(ready[0], &port, sizeof port), sizeof port, "a server");
		end(connector(port, MANY), "that accepts");
		IS(read(ready[0], &c, 1), 1, "all that come");
		kill(server, SIGKILL);
		waitpid(server, &status, 0);
		status = tcp("127.0.0.1", 0);
		IS(connect_to(status, "127.0.0.1", port), -ECONNREFUSED, "and is killed");
		close(status);
		close(ready[0]);
		close(ready[1]);
	}
}

void test_busy(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL); /* of the tests before */
	test_mode();
	test_other();
	test_signal();
	test_end();
}
