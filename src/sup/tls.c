/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/tls.h"

#include <errno.h>

bool tls_reads(const struct tls_gate *g, bool app)
{
	switch (g->phase) {
	case TLS_FIRST:
		return app;
	case TLS_ANSWER:
		return !app;
	case TLS_OPEN:
	case TLS_SECOND:
		break;
	}
	return true;
}

bool tls_waits(const struct tls_gate *g)
{
	return g->phase == TLS_FIRST || g->phase == TLS_SECOND;
}

static int64_t look_at_app(struct tls_gate *g, const uint8_t *data, size_t len)
{
	bool first = g->phase == TLS_FIRST;
	char name[NAME_TEXT_MAX];
	size_t n = 0;
	enum hello h = first ? hello_read(data, len, name, &n) : hello_read_second(data, len, name, &n);

	if (h == HELLO_MORE)
		return 0;
	if (!g->allow(g->ctx, h, name))
		return -EACCES;
	if (first && h == HELLO_NAME) {
		g->phase = TLS_ANSWER;
		return (int64_t)n;
	}
	g->phase = TLS_OPEN; /* whatever it is: a policy of meanwhile does not ask for it */
	return (int64_t)len;
}

static int64_t look_at_server(struct tls_gate *g, const uint8_t *data, size_t len)
{
	if (g->phase == TLS_SECOND)
		return (int64_t)len;
	switch (hello_answer(data, len)) {
	case HELLO_ANSWER_MORE:
		return 0;
	case HELLO_ANSWER_AGAIN:
		g->phase = TLS_SECOND;
		break;
	case HELLO_ANSWER_OTHER:
		g->phase = TLS_OPEN;
		break;
	}
	return (int64_t)len;
}

int64_t tls_look(struct tls_gate *g, bool app, const uint8_t *data, size_t len)
{
	if (g->phase == TLS_OPEN)
		return (int64_t)len;
	if (!app)
		return g->phase == TLS_FIRST ? 0 : look_at_server(g, data, len);
	return g->phase == TLS_ANSWER ? 0 : look_at_app(g, data, len);
}

int tls_give_up(struct tls_gate *g, size_t held, bool late)
{
	if (!late && held == 0 && g->phase == TLS_FIRST)
		return -ECANCELED;
	if (!g->allow(g->ctx, late ? HELLO_LATE : HELLO_CUT, ""))
		return -EACCES;
	g->phase = TLS_OPEN;
	return 0;
}
