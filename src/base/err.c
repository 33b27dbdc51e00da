/* SPDX-License-Identifier: Apache-2.0 */
#define VRUN_ERR_SETTERS
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_text(int num)
{
	const char *s = strerrordesc_np(num);

	return s ? s : "unknown error";
}

/* A failure whose number was lost (errno is 0, or a number has the wrong sign) must not become a 0. */
static int positive(int num)
{
	return num > 0 ? num : EIO;
}

static __attribute__((format(printf, 3, 0))) void fill(char *buf, size_t size, const char *fmt,
						       va_list ap)
{
	if (vsnprintf(buf, size, fmt, ap) < 0)
		buf[0] = '\0';
}

static __attribute__((format(printf, 3, 0))) int
set_with_reason(struct err *e, int num, const char *fmt, va_list ap)
{
	size_t n;

	num = positive(num);
	if (!e)
		return -num;
	e->num = num;
	e->hint[0] = '\0';
	e->line = e->col = 0;
	fill(e->text, sizeof e->text, fmt, ap);
	n = strlen(e->text);
	(void)snprintf(e->text + n, sizeof e->text - n, ": %s", err_text(num));
	return -num;
}

int err_set(struct err *e, int num, const char *fmt, ...)
{
	va_list ap;

	num = positive(num);
	if (!e)
		return -num;
	e->num = num;
	e->hint[0] = '\0';
	e->line = e->col = 0;
	va_start(ap, fmt);
	fill(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return -num;
}

int err_place(struct err *e, size_t line, size_t col)
{
	if (!e)
		return -EINVAL;
	e->line = line;
	e->col = col;
	return -positive(e->num);
}

int err_sys(struct err *e, const char *fmt, ...)
{
	va_list ap;
	int rc, num = errno;

	va_start(ap, fmt);
	rc = set_with_reason(e, num, fmt, ap);
	va_end(ap);
	return rc;
}

int err_num(struct err *e, int num, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = set_with_reason(e, num, fmt, ap);
	va_end(ap);
	return rc;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof e->text];
	va_list ap;
	size_t n;

	if (!e)
		return -EINVAL; /* the number is lost with the struct: callers pass theirs on */
	memcpy(old, e->text, sizeof old);
	va_start(ap, fmt);
	fill(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	(void)snprintf(e->text + n, sizeof e->text - n, ": %s", old);
	return -positive(e->num);
}

int err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	fill(e->hint, sizeof e->hint, fmt, ap);
	va_end(ap);
	return -positive(e->num);
}
