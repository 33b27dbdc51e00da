/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values.
 *
 * Below cli/ a function that can fail returns 0 or a negative errno number and
 * fills a caller-owned `struct err`; only entry points print one and exit.
 * The text says what failed and why; the hint says what to do about it. An
 * entry point prints "vrun: WHAT: WHY (HINT)".
 */
#ifndef VRUN_BASE_ERR_H
#define VRUN_BASE_ERR_H

#include <errno.h>
#include <stddef.h>

struct err {
	int num;          /* errno number, positive; 0 while nothing failed */
	char text[1024];  /* what failed and why; always terminated */
	char hint[512];   /* what to do; may be empty */
	size_t line, col; /* place in a text that was read, from 1; 0: none */
};

/*
 * Every setter returns -num, so that a failing path is one line:
 * `return err_set(e, EINVAL, "...")`. `e` may be NULL: then only the number
 * travels. Text longer than the fields is cut, never overrun. What is returned
 * is negative even when the number was lost (errno of 0): then it is -EIO.
 */

/* Text as given. num: positive errno. Clears the hint and the place. */
int err_set(struct err *e, int num, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set() with the current errno, and ": strerror" appended. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As err_sys() for a number that is not in errno (num positive). */
int err_num(struct err *e, int num, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "PREFIX: " before the text that is there. Keeps number and hint; returns -num. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the hint. Returns -num of what is already there. */
int err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the place in a text. Returns -num of what is already there. */
int err_place(struct err *e, size_t line, size_t col);

/* Short fixed text for an errno number, e.g. "No such file or directory"; never NULL, no locale. */
const char *err_text(int num);

/* clang's analyser reads one file at a time: it is told here what err.c makes sure of. */
#if defined __clang_analyzer__ && !defined VRUN_ERR_SETTERS
static inline int err_is_negative(int rc)
{
	if (rc >= 0)
		__builtin_unreachable();
	return rc;
}
#define err_set(...) err_is_negative(err_set(__VA_ARGS__))
#define err_sys(...) err_is_negative(err_sys(__VA_ARGS__))
#define err_num(...) err_is_negative(err_num(__VA_ARGS__))
#define err_wrap(...) err_is_negative(err_wrap(__VA_ARGS__))
#define err_hint(...) err_is_negative(err_hint(__VA_ARGS__))
#define err_place(...) err_is_negative(err_place(__VA_ARGS__))
#endif

#endif
