/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's control socket: an abstract AF_UNIX name (unix(7)) of random digits in
 * the host's network namespace. What lives in another one, apps and
 * supervisors above all, cannot reach it; who can is asked for its uid.
 *
 * One conversation at a time, over SOCK_SEQPACKET:
 *
 *   'P' and a memfd with {"policy": {"name", "text"}}: from now on both policies have
 *       to allow, and the ports that it publishes are taken. Answer "ok", or what is wrong
 *       with it, and in a second line what to do.
 *   'C' the new one alone. Answer "ok".
 *
 * The end of the conversation without 'C' is a return to the old one.
 */
#ifndef VRUN_KERN_CONTROL_H
#define VRUN_KERN_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define CONTROL_NAME_SIZE 33 /* with the terminator */
#define CONTROL_ANSWER_MAX 2048
#define CONTROL_PREPARE 'P'
#define CONTROL_COMMIT 'C'

/* A listening socket under a new name. The caller closes it. */
int control_listen(char name[static CONTROL_NAME_SIZE], int *ret_fd, struct err *e);
/* The next one who calls, when it is that user or root; -EPERM: somebody else; -EAGAIN. */
int control_accept(int fd, uid_t owner);

/* Connects. -ECONNREFUSED: nobody is there any more. */
int control_connect(const char *name, int *ret_fd, struct err *e);
/* One command and its answer; `fd` goes with it (-1: none). An answer other than "ok" is the error, -EINVAL. */
int control_ask(int sock, char command, int fd, struct err *e);

#endif
