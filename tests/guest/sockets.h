/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the guest "sockets" share. */
#ifndef VRUN_TESTS_GUEST_SOCKETS_H
#define VRUN_TESTS_GUEST_SOCKETS_H

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* A call's value, or minus errno. */
#define R(call) ({ long r_ = (call); r_ < 0 ? -(long)errno : r_; })
#define IS(call, want, what) do { long g_ = R(call), w_ = (want); check(g_ == w_, what, g_, w_); } while (0)
#define OK(cond, what) check((cond) != 0, what, 0, 1)

union sa {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

extern int failed, count;

void check(int ok, const char *what, long got, long want);
socklen_t make(union sa *s, const char *ip, int port);
int tcp(const char *ip, int flags);
long bind_to(int fd, const char *ip, int port);
long connect_to(int fd, const char *ip, int port);
const char *text_of(const union sa *s, char *buf, size_t size);
int port_of(const union sa *s);
int port_at(int fd);
void exchange(int a, int b, const char *what);
/* A descriptor in a message; -1: none came. */
void pass_fd(int sock, int fd);
int take_fd(int sock);

/* sockets_wait.c: calls that wait, and what interrupts or ends them. */
void test_waiting(void);
void test_waiting_for_one_of_two(void);
void test_waiting_in_vain(void);
void test_restart(void);
void test_killed(void);

/* sockets_busy.c: accepts that are not what those before them were. */
void test_busy(void);

/* sockets_share.c: events, and sockets that several have. */
void test_shared(void);
int share_child(const char *numbers); /* "sockets child", of a listener and of what is closed by then */

/* outside_unshared.c */
void test_unshared(const char *address, int port);
/* outside_options.c */
void test_kept_options(const char *address, int port);

#endif
