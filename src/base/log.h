/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics on standard error, one line each, "vrun: ...". Only entry points
 * (cli/, the init, the keeper, the supervisor's main) report errors; anything
 * may warn through a callback that its caller gives it. The audit stream is
 * another thing and does not pass through here.
 */
#ifndef VRUN_BASE_LOG_H
#define VRUN_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Program name before each line ("vrun", "vrun-pack"); the string must live on. Default "vrun". */
void log_set_name(const char *name);
/* Lines above this level are dropped. Default LOG_LEVEL_WARN. */
void log_set_level(enum log_level max);
enum log_level log_get_level(void);
/* Where lines go. Default 2. The fd is not owned. */
void log_set_fd(int fd);
/* JSON lines {"level","msg","time"} as runc's --log-format json writes them. Default plain text. */
void log_set_json(bool on);
/* A second place for lines, in its own form; -1: none. The fd is not owned. */
void log_set_copy(int fd, bool json);
/* Its descriptor, for whoever closes all others; -1. */
int log_copy(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "TEXT (HINT)" at error level. */
void log_err(const struct err *e);

/*
 * Makes a string that may come from an app or a bundle safe for a terminal or
 * a log: control characters, invalid UTF-8 and backslashes become \xNN
 * escapes. Writes at most size bytes with the terminator, cutting with "...".
 * Returns dst, so that it can stand in an argument list.
 */
const char *log_quote(char *dst, size_t size, const char *src);

#endif
