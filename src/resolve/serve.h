/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver's loop: apps' questions at the sockets that the supervisor gives it. */
#ifndef VRUN_RESOLVE_SERVE_H
#define VRUN_RESOLVE_SERVE_H

#include "base/err.h"

/*
 * Serves until the supervisor hangs up (0). `sock` is the connection to it,
 * `ep` an epoll descriptor.
 */
int resolve_serve(int sock, int ep, struct err *e);

#endif
