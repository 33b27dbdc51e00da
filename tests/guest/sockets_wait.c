/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int alarm_pipe[2];

static void on_alarm(int sig)
{
	(void)sig;
	(void)!write(alarm_pipe[1], "a", 1);
}

static long accept_interrupted(int l, int flags)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
	/* Again and again: the first may come before the call. */
	struct itimerval it = { .it_value.tv_usec = 50000, .it_interval.tv_usec = 50000 }, none = { 0 };
	long rc;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	rc = R(accept(l, NULL, NULL));
	setitimer(ITIMER_REAL, &none, NULL);
	return rc;
}

void test_waiting(void)
{
	int l = tcp("127.0.0.1", 0), c[8], port, n = 0;
	struct timeval short_time = { .tv_usec = 80000 }, none = { 0 };
	long rc;

	OK(pipe(alarm_pipe) == 0, "pipe");
	IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
	IS(listen(l, 1), 0, "listen");
	port = port_at(l);
	IS(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof none), 0, "SO_RCVTIMEO");
	IS(accept(l, NULL, NULL), -EAGAIN, "accept, timed out");
	setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
	rc = accept_interrupted(l, 0);
	OK(rc == -EINTR, "accept, interrupted");
	/* The queue holds two. A blocking connect to a full one waits. */
	for (; n < 2; n++) {
		c[n] = tcp("127.0.0.1", 0);
		IS(connect_to(c[n], "127.0.0.1", port), 0, "connect");
	}
	c[n] = tcp("127.0.0.1", 0);
	IS(setsockopt(c[n], SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof none), 0, "SO_SNDTIMEO");
	rc = connect_to(c[n], "127.0.0.1", port);
	OK(rc == -EINPROGRESS, "connect to a full queue, timed out");
	close(c[n]);
	pid_t pid = fork();
	if (pid == 0) {
		int k = tcp("127.0.0.1", 0);

		_exit(connect_to(k, "127.0.0.1", port) == 0 ? 0 : 1);
	}
	for (int i = 0; i < 3; i++) {
		int s = accept(l, NULL, NULL);

		OK(s >= 0, "accept, one after the other");
		close(s);
	}
	int status;
	waitpid(pid, &status, 0);
	OK(status == 0, "the one that waited was let in");
	for (int i = 0; i < n; i++)
		close(c[i]);
	close(l);
}

/* Of two listeners that share a port one is closed and the other full: who connects waits for that one. */
void test_waiting_for_one_of_two(void)
{
	struct timeval short_time = { .tv_usec = 20000 };

	for (int round = 0; round < 8; round++) {
		int l[2], c[4], on = 1, port = 0, status = -1;
		pid_t pid;

		for (int i = 0; i < 2; i++) {
			l[i] = tcp("127.0.0.1", 0);
			IS(setsockopt(l[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0, "SO_REUSEPORT");
			IS(bind_to(l[i], "127.0.0.1", port), 0, "bind");
			IS(listen(l[i], 0), 0, "listen");
			port = port_at(l[i]);
		}
		for (int i = 0; i < 4; i++) { /* as many as find room */
			c[i] = tcp("127.0.0.1", 0);
			(void)setsockopt(c[i], SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof short_time);
			(void)connect_to(c[i], "127.0.0.1", port);
		}
		close(l[round & 1]);
		pid = fork();
		if (pid == 0) {
			int k = tcp("127.0.0.1", 0);

			_exit(connect_to(k, "127.0.0.1", port) == 0 ? 0 : 1);
		}
		while (waitpid(pid, &status, WNOHANG) == 0) { /* clients whose time was up may come all the same */
			struct pollfd p = { .fd = l[!(round & 1)], .events = POLLIN };

			if (poll(&p, 1, 10) == 1)
				close(accept(p.fd, NULL, NULL));
		}
		IS(status, 0, "whoever waited for room was let in");
		for (int i = 0; i < 4; i++)
			close(c[i]);
		close(l[!(round & 1)]);
	}
}

/* Who waits for room is refused when the listener goes. */
void test_waiting_in_vain(void)
{
	struct timeval short_time = { .tv_usec = 20000 };

	for (int shut = 0; shut < 2; shut++) {
		int l = tcp("127.0.0.1", 0), c[3], port, status = -1, ms = 0;
		pid_t pid;

		IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
		IS(listen(l, 0), 0, "listen");
		port = port_at(l);
		for (int i = 0; i < 3; i++) { /* as many as find room */
			c[i] = tcp("127.0.0.1", 0);
			(void)setsockopt(c[i], SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof short_time);
			(void)connect_to(c[i], "127.0.0.1", port);
		}
		pid = fork();
		if (pid == 0) {
			close(l);
			_exit(connect_to(tcp("127.0.0.1", 0), "127.0.0.1", port) == -ECONNREFUSED ? 0 : 1);
		}
		usleep(100000); /* it waits by then, or comes to nobody at all */
		if (shut)
			IS(shutdown(l, SHUT_RDWR), 0, "the listener is shut down");
		else
			close(l);
		for (; ms < 10000 && waitpid(pid, &status, WNOHANG) == 0; ms += 10)
			usleep(10000);
		if (ms >= 10000 && kill(pid, SIGKILL) == 0)
			(void)waitpid(pid, &status, 0);
		IS(status, 0, "whoever waited is refused");
		for (int i = 0; i < 3; i++)
			close(c[i]);
		if (shut)
			close(l);
	}
}

/* The system call is begun again after the handler; a client comes after that. */
void test_restart(void)
{
	int l = tcp("127.0.0.1", 0), port, status;
	char buf[1];
	long s;
	pid_t pid;

	IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
	IS(listen(l, 4), 0, "listen");
	port = port_at(l);
	close(alarm_pipe[0]);
	close(alarm_pipe[1]);
	OK(pipe(alarm_pipe) == 0, "a pipe in which no alarm has been");
	pid = fork();
	if (pid == 0) {
		int k = tcp("127.0.0.1", 0);

		if (read(alarm_pipe[0], buf, 1) != 1)
			_exit(1);
		_exit(connect_to(k, "127.0.0.1", port) == 0 && read(k, buf, 1) == 1 ? 0 : 2);
	}
	s = accept_interrupted(l, SA_RESTART);
	OK(s >= 0, "accept goes on after a signal");
	IS(write((int)s, "x", 1), 1, "with a client that is served");
	waitpid(pid, &status, 0);
	OK(status == 0, "who saw it");
	close((int)s);
	close(l);
}

/* In a child that waits in accept and is killed there. */
static void killed_acceptor(int l)
{
	int p[2], status;
	char path[64], text[16];
	pid_t pid;

	IS(pipe(p), 0, "pipe");
	pid = fork();
	if (pid == 0) {
		(void)!write(p[1], "x", 1);
		_exit(accept(l, NULL, NULL) < 0);
	}
	(void)!read(p[0], text, 1);
	/* Until it waits: in accept, by whoever answers it. */
	snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
	for (int i = 0; i < 2000; i++) {
		FILE *f = fopen(path, "r");
		int in = f && fscanf(f, "%15s", text) == 1 && atoi(text) > 40 && text[0] != 'r';

		if (f)
			fclose(f);
		if (in || !f)
			break;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(p[0]);
	close(p[1]);
}

void test_killed(void)
{
	int l = tcp("127.0.0.1", 0), port, c = tcp("127.0.0.1", 0), s;

	IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
	IS(listen(l, 4), 0, "listen");
	port = port_at(l);
	killed_acceptor(l);
	IS(connect_to(c, "127.0.0.1", port), 0, "connect after an acceptor was killed");
	s = accept(l, NULL, NULL);
	OK(s >= 0, "and be accepted by another");
	exchange(c, s, "after a kill");
	close(s);
	close(c);
	killed_acceptor(l);
	close(l);
	c = tcp("127.0.0.1", 0);
	IS(connect_to(c, "127.0.0.1", port), -ECONNREFUSED, "nobody holds the listener");
	close(c);
}
