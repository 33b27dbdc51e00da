/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests in the Test Anything Protocol. A test program is a list of
 * TAP_OK / TAP_STR / TAP_INT lines and ends with `return tap_done();`. Every
 * failure prints both sides.
 */
#ifndef VRUN_TESTS_TAP_H
#define VRUN_TESTS_TAP_H

#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((unused, format(printf, 4, 5))) static bool tap_report(bool ok, const char *file,
								     int line, const char *fmt, ...)
{
	va_list ap;

	tap_count++;
	printf("%s %d - ", ok ? "ok" : "not ok", tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!ok) {
		tap_failed++;
		printf("#   at %s:%d\n", file, line);
	}
	(void)fflush(stdout);
	return ok;
}

#define TAP_OK(cond, ...) tap_report((cond), __FILE__, __LINE__, __VA_ARGS__)

#define TAP_STR(got, want, ...)                                                                    \
	do {                                                                                       \
		const char *got_ = (got), *want_ = (want);                                         \
		if (!TAP_OK(got_ && want_ && strcmp(got_, want_) == 0, __VA_ARGS__))               \
			printf("#   got:  %s\n#   want: %s\n", got_ ? got_ : "(null)",             \
			       want_ ? want_ : "(null)");                                          \
	} while (0)

#define TAP_INT(got, want, ...)                                                                    \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (!TAP_OK(got_ == want_, __VA_ARGS__))                                           \
			printf("#   got:  %lld\n#   want: %lld\n", got_, want_);                   \
	} while (0)

/* Passes when the text contains the part. */
#define TAP_HAS(text, part, ...)                                                                   \
	do {                                                                                       \
		const char *text_ = (text), *part_ = (part);                                       \
		if (!TAP_OK(text_ && strstr(text_, part_), __VA_ARGS__))                           \
			printf("#   text: %s\n#   lacks: %s\n", text_ ? text_ : "(null)", part_);  \
	} while (0)

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
