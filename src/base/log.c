/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

static const char *log_name = "vrun";
static enum log_level log_max = LOG_LEVEL_WARN;
static int log_fd = 2;
static bool log_json;
static int copy_fd = -1;
static bool copy_json;

static const char *const level_names[] = { "error", "warning", "info", "debug" };
_Static_assert(sizeof level_names / sizeof *level_names == LOG_LEVEL_DEBUG + 1, "a name for each level");

void log_set_name(const char *name)
{
	log_name = name;
}

enum log_level log_get_level(void)
{
	return log_max;
}

void log_set_level(enum log_level max)
{
	log_max = max;
}

void log_set_fd(int fd)
{
	log_fd = fd;
}

void log_set_json(bool on)
{
	log_json = on;
}

void log_set_copy(int fd, bool json)
{
	copy_fd = fd;
	copy_json = json;
}

int log_copy(void)
{
	return copy_fd;
}

/* Length of the valid UTF-8 sequence at s, or 0. Overlong forms and surrogates are not valid. */
static size_t utf8_len(const unsigned char *s)
{
	uint32_t c;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, c = s[0] & 0x1fU;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3, c = s[0] & 0x0fU;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, c = s[0] & 0x07U;
	else
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	/* C1 controls and the bidirectional overrides can rewrite what a terminal shows. */
	if ((c >= 0x80 && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return 0;
	return n;
}

static const char *quote(char *dst, size_t size, const char *src, bool backslash)
{
	const unsigned char *s = (const unsigned char *)src;
	size_t at = 0;

	while (*s) {
		size_t n = utf8_len(s);
		bool plain = n > 1 || (n == 1 && *s >= 0x20 && *s != 0x7f && (*s != '\\' || !backslash));
		size_t need = plain ? n : 4;

		if (at + need + 4 > size) {
			if (size >= 4 && at + 4 <= size)
				memcpy(dst + at, "...", 3), at += 3;
			break;
		}
		if (plain)
			memcpy(dst + at, s, n);
		else
			(void)snprintf(dst + at, 5, "\\x%02x", *s);
		at += need;
		s += plain ? n : 1;
	}
	if (size > 0)
		dst[at] = '\0';
	return dst;
}

const char *log_quote(char *dst, size_t size, const char *src)
{
	return quote(dst, size, src, true);
}

static void json_escape(char *dst, size_t size, const char *src)
{
	size_t at = 0;

	for (; *src && at + 7 < size; src++) {
		unsigned char c = (unsigned char)*src;

		if (c == '"' || c == '\\')
			dst[at++] = '\\', dst[at++] = (char)c;
		else if (c < 0x20)
			at += (size_t)snprintf(dst + at, size - at, "\\u%04x", c);
		else
			dst[at++] = (char)c;
	}
	dst[at] = '\0';
}

static void put(int fd, bool json, enum log_level level, const char *msg)
{
	char line[4608];
	int n;

	if (json) {
		char esc[4096], when[32];
		struct tm tm;
		time_t now = time(NULL);

		json_escape(esc, sizeof esc, msg);
		(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
		n = snprintf(line, sizeof line, "{\"level\":\"%s\",\"msg\":\"%s\",\"time\":\"%s\"}\n",
			     level_names[level], esc, when);
	} else if (level == LOG_LEVEL_ERROR) {
		n = snprintf(line, sizeof line, "%s: %s\n", log_name, msg);
	} else {
		n = snprintf(line, sizeof line, "%s: %s: %s\n", log_name, level_names[level], msg);
	}
	if (n > 0)
		(void)fd_write_all(fd, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static __attribute__((format(printf, 2, 0))) void emit(enum log_level level, const char *fmt, va_list ap)
{
	char msg[2048], safe[4096];
	int saved = errno;

	if (level > log_max)
		return;
	(void)vsnprintf(msg, sizeof msg, fmt, ap);
	/* Strings of an app's or a bundle's are quoted where a message is made; what slipped through does not
	 * reach a terminal either. */
	(void)quote(safe, sizeof safe, msg, false);
	put(log_fd, log_json, level, safe);
	if (copy_fd >= 0)
		put(copy_fd, copy_json, level, safe);
	errno = saved;
}

#define LOG_FUNCTION(name, level)                                                                  \
	void name(const char *fmt, ...)                                                            \
	{                                                                                          \
		va_list ap;                                                                        \
		va_start(ap, fmt);                                                                 \
		emit(level, fmt, ap);                                                              \
		va_end(ap);                                                                        \
	}
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

void log_err(const struct err *e)
{
	if (e->hint[0])
		log_error("%s (%s)", e->text, e->hint);
	else
		log_error("%s", e->text);
}
