/* SPDX-License-Identifier: Apache-2.0 */
#include "model/clienthello.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define RECORD_HEADER 5
#define RECORD_MAX 16384 /* RFC 8446, 5.1 */
#define MESSAGE_HEADER 4
#define RANDOM 32

/* Of records. */
#define CHANGE_CIPHER_SPEC 20
#define HANDSHAKE 22
#define APPLICATION_DATA 23

#define CLIENT_HELLO 1
#define SERVER_HELLO 2

#define EXT_SERVER_NAME 0
#define EXT_ESNI 0xffce /* a draft's */
#define EXT_ECH_OLD_FIRST 0xfe08 /* drafts' of ECH up to */
#define EXT_ECH 0xfe0d

const char *hello_why(enum hello h)
{
	static const char *const why[] = {
		[HELLO_MORE] = "",
		[HELLO_NAME] = "",
		[HELLO_NOT_TLS] = "it did not begin with a ClientHello of TLS",
		[HELLO_MALFORMED] = "its ClientHello is malformed",
		[HELLO_TOO_BIG] = "its ClientHello is too big",
		[HELLO_NO_NAME] = "its ClientHello has no server name",
		[HELLO_ECH] = "its ClientHello may have another server name encrypted (ECH)",
		[HELLO_CUT] = "it ended within its ClientHello",
		[HELLO_LATE] = "no ClientHello came in time",
	};

	static_assert(sizeof why / sizeof *why == HELLOS, "a reason for each");
	return (unsigned)h < HELLOS ? why[h] : "";
}

/* --- reading ----------------------------------------------------------------------- */

/* What is left. Once `bad`, everything read is zero. */
struct part {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct part *p, size_t n)
{
	const uint8_t *at = p->at;

	if (p->bad || n > p->left) {
		p->bad = true;
		return NULL;
	}
	p->at += n;
	p->left -= n;
	return at;
}

/* A number of `n` bytes. */
static size_t number(struct part *p, size_t n)
{
	const uint8_t *at = take(p, n);
	size_t v = 0;

	for (size_t i = 0; at && i < n; i++)
		v = v << 8 | at[i];
	return v;
}

/* What a length of `n` bytes before it says. */
static struct part vector(struct part *p, size_t n)
{
	size_t len = number(p, n);
	const uint8_t *at = take(p, len);

	return (struct part){ at, at ? len : 0, !at };
}

/* --- the message ---------------------------------------------------------------------- */

struct message {
	bool has_name, ech;
	char name[NAME_TEXT_MAX];
};

/* One name of type host_name, and no dot behind it: servers differ in what they make of others. */
static bool read_server_name(struct part ext, struct message *m)
{
	struct part list = vector(&ext, 2), name;
	size_t type = number(&list, 1);
	char text[NAME_TEXT_MAX];

	name = vector(&list, 2);
	if (m->has_name || ext.bad || ext.left || list.bad || list.left || type != 0 || name.left == 0 ||
	    name.left >= sizeof text || memchr(name.at, '\0', name.left) || name.at[name.left - 1] == '.')
		return false;
	memcpy(text, name.at, name.left);
	text[name.left] = '\0';
	m->has_name = true;
	/* Addresses are no names (RFC 6066, 3). */
	return name_parse(text, m->name, NULL, NULL) == 0 && !addr_looks_v4(m->name);
}

static bool read_extensions(struct part all, struct message *m)
{
	while (all.left && !all.bad) {
		size_t type = number(&all, 2);
		struct part ext = vector(&all, 2);

		if (ext.bad || (type == EXT_SERVER_NAME && !read_server_name(ext, m)))
			return false;
		if ((type >= EXT_ECH_OLD_FIRST && type <= EXT_ECH) || type == EXT_ESNI)
			m->ech = true;
	}
	return !all.bad;
}

static bool read_message(struct part p, struct message *m)
{
	size_t version = number(&p, 2);
	struct part session, suites, compressions, extensions;

	(void)take(&p, RANDOM);
	session = vector(&p, 1);
	suites = vector(&p, 2);
	compressions = vector(&p, 1);
	if (p.bad || version < 0x0301 || version > 0x0303 || session.left > 32 || suites.left == 0 ||
	    suites.left % 2 || compressions.left == 0)
		return false;
	if (p.left == 0) /* before there were extensions */
		return true;
	extensions = vector(&p, 2);
	return !p.bad && p.left == 0 && read_extensions(extensions, m);
}

/* --- its records ------------------------------------------------------------------------ */

struct records {
	struct part all;
	bool second;                  /* others may come before the first of the message's */
	size_t have;                  /* bytes of the message */
	uint8_t *message;             /* of CLIENTHELLO_MAX + MESSAGE_HEADER bytes */
};

static bool is_passed_over(const struct records *r, unsigned type)
{
	return r->second && r->have == 0 && (type == CHANGE_CIPHER_SPEC || type == APPLICATION_DATA);
}

/*
 * The next record. HELLO_NAME: the message goes on in it, or it was passed over;
 * HELLO_MORE: it is not whole. What has come of one that is not is looked at all
 * the same: who does not speak TLS is not waited for.
 */
static enum hello next_record(struct records *r)
{
	struct part p = r->all, body;
	const uint8_t *head = p.at;
	size_t len;

	if ((p.left > 0 && head[0] != HANDSHAKE && !is_passed_over(r, head[0])) || (p.left > 1 && head[1] != 3) ||
	    (p.left > 2 && head[2] > 4))
		return r->have || r->second ? HELLO_MALFORMED : HELLO_NOT_TLS;
	if (p.left < RECORD_HEADER)
		return HELLO_MORE;
	(void)take(&p, 3);
	len = number(&p, 2);
	if (len == 0 || len > RECORD_MAX + (head[0] == APPLICATION_DATA ? 256U : 0U))
		return HELLO_MALFORMED;
	if (head[0] != HANDSHAKE && len > p.left)
		return HELLO_MORE;
	body = (struct part){ p.at, len < p.left ? len : p.left, false };
	if (head[0] == HANDSHAKE) {
		size_t room = CLIENTHELLO_MAX + MESSAGE_HEADER - r->have;

		if (body.left > room)
			return HELLO_TOO_BIG;
		memcpy(r->message + r->have, body.at, body.left);
		r->have += body.left;
	}
	if (len > p.left) {
		p.at += p.left;
		p.left = 0;
		r->all = p;
		return HELLO_MORE;
	}
	(void)take(&p, len);
	r->all = p;
	return HELLO_NAME;
}

/* How long the message is with its header; 0: not known yet. */
static enum hello message_length(const struct records *r, size_t *ret)
{
	size_t len;

	*ret = 0;
	if (r->have > 0 && r->message[0] != CLIENT_HELLO)
		return r->second ? HELLO_MALFORMED : HELLO_NOT_TLS;
	if (r->have < MESSAGE_HEADER)
		return HELLO_MORE;
	len = (size_t)r->message[1] << 16 | (size_t)r->message[2] << 8 | r->message[3];
	if (len > CLIENTHELLO_MAX)
		return HELLO_TOO_BIG;
	*ret = len + MESSAGE_HEADER;
	/* Nothing may stand behind it before the server has answered. */
	return r->have > *ret ? HELLO_MALFORMED : r->have < *ret ? HELLO_MORE : HELLO_NAME;
}

static enum hello judge(const struct records *r, size_t len, char name[static NAME_TEXT_MAX])
{
	struct message m = { 0 };

	if (!read_message((struct part){ r->message + MESSAGE_HEADER, len - MESSAGE_HEADER, false }, &m))
		return HELLO_MALFORMED;
	memcpy(name, m.name, sizeof m.name);
	return m.ech ? HELLO_ECH : m.has_name ? HELLO_NAME : HELLO_NO_NAME;
}

static enum hello read_from(const uint8_t *data, size_t len, bool second, char name[static NAME_TEXT_MAX],
			    size_t *ret_len)
{
	uint8_t message[CLIENTHELLO_MAX + MESSAGE_HEADER];
	struct records r = { .all = { data, len, false }, .second = second, .message = message };
	enum hello record = HELLO_MORE, whole = HELLO_MORE;
	size_t n;

	name[0] = '\0';
	do {
		record = next_record(&r);
		if (record != HELLO_NAME && record != HELLO_MORE)
			return record;
		whole = message_length(&r, &n);
		if (whole != HELLO_NAME && whole != HELLO_MORE)
			return whole;
	} while (record == HELLO_NAME && whole == HELLO_MORE);
	if (record == HELLO_NAME) {
		*ret_len = len - r.all.left;
		return judge(&r, n, name);
	}
	/* Its record says that there is more behind it. */
	if (whole == HELLO_NAME)
		return HELLO_MALFORMED;
	return len >= CLIENTHELLO_WIRE_MAX ? HELLO_TOO_BIG : HELLO_MORE;
}

enum hello hello_read(const uint8_t *data, size_t len, char name[static NAME_TEXT_MAX], size_t *ret_len)
{
	return read_from(data, len, false, name, ret_len);
}

enum hello hello_read_second(const uint8_t *data, size_t len, char name[static NAME_TEXT_MAX],
			     size_t *ret_len)
{
	return read_from(data, len, true, name, ret_len);
}

/* --- the answer --------------------------------------------------------------------------- */

enum hello_answer hello_answer(const uint8_t *data, size_t len)
{
	/* RFC 8446, 4.1.3: this is what the random of a ServerHello is then. */
	static const uint8_t again[RANDOM] = {
		0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
		0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
	};
	size_t at = 0, seen = 0;

	/* Bytes of the message, through as many records as they come in. */
	while (seen < MESSAGE_HEADER + 2 + RANDOM) {
		size_t n;

		if ((at < len && data[at] != HANDSHAKE) || (at + 1 < len && data[at + 1] != 3))
			return HELLO_ANSWER_OTHER;
		if (at + RECORD_HEADER > len)
			return HELLO_ANSWER_MORE;
		n = (size_t)data[at + 3] << 8 | data[at + 4];
		if (n == 0)
			return HELLO_ANSWER_OTHER;
		at += RECORD_HEADER;
		for (; n && seen < MESSAGE_HEADER + 2 + RANDOM; n--, at++, seen++) {
			if (at == len)
				return HELLO_ANSWER_MORE;
			if ((seen == 0 && data[at] != SERVER_HELLO) ||
			    (seen >= MESSAGE_HEADER + 2 && data[at] != again[seen - MESSAGE_HEADER - 2]))
				return HELLO_ANSWER_OTHER;
		}
	}
	return HELLO_ANSWER_AGAIN;
}
