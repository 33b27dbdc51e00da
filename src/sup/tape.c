/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng is draft-ietf-opsawg-pcapng; everything is in the machine's byte order, which the file says. */
#include "sup/tape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/scribe.h"
#include "sup/sup.h"

#define BLOCK_SECTION 0x0a0d0d0aU
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET 6
#define LINKTYPE_RAW 101
#define OPT_COMMENT 1
#define SEGMENT_MAX 32768 /* a packet has 65535 bytes at most */
#define HEADERS_MAX 60
#define COMMENT_MAX 512

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_PSH 8
#define TCP_ACK 16

/* --- files ------------------------------------------------------------------------------ */

#define SETTLE_MS 100 /* at the end, for what is still to be written; longer only a file takes that hangs */

/* One message to the scribe: what the file has whole or not at all. */
struct tape_piece {
	TAILQ_ENTRY(tape_piece) link;
	size_t len;
	uint8_t v[];
};

static void drop_pieces(struct tape *t)
{
	struct tape_piece *p;

	while ((p = TAILQ_FIRST(&t->pieces))) {
		TAILQ_REMOVE(&t->pieces, p, link);
		free(p);
	}
}

static void hang_up(struct tape *t)
{
	if (t->sock >= 0)
		loop_remove(t->loop, t->sock, &t->watch);
	fd_close(&t->sock);
	drop_pieces(t);
}

void tape_forget(struct tape_wait *w)
{
	if (w->tape)
		TAILQ_REMOVE(&w->tape->waits, w, link);
	w->tape = NULL;
}

/* Those that wait for that much, or all. Who hears it may end others. */
static void tell(struct tape *t, uint64_t upto, int rc)
{
	struct tape_wait *w;

	while ((w = TAILQ_FIRST(&t->waits)) && w->at <= upto) {
		tape_forget(w);
		w->written(w, rc);
	}
}

static void fail(struct tape *t, int error)
{
	t->error = error;
	t->len = t->done;
	hang_up(t);
	tell(t, UINT64_MAX, -error);
}

void tape_await(struct tape *t, struct tape_wait *w)
{
	w->tape = t;
	w->at = t->len;
	TAILQ_INSERT_TAIL(&t->waits, w, link);
}

/* 1: the scribe has it; 0: later; -errno. */
static int send_piece(const struct tape *t, const struct iovec *iov, int n_iov)
{
	const struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov };

	if (sendmsg(t->sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 1;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : errno == EPIPE ? -EIO : -errno;
}

static int send_pieces(struct tape *t)
{
	struct tape_piece *p;
	int rc = 1;

	while ((p = TAILQ_FIRST(&t->pieces))) {
		const struct iovec iov = { p->v, p->len };

		rc = send_piece(t, &iov, 1);
		if (rc <= 0)
			break;
		TAILQ_REMOVE(&t->pieces, p, link);
		free(p);
	}
	return rc < 0 ? rc : 0;
}

static bool keep_piece(struct tape *t, const struct iovec *iov, int n_iov, size_t len)
{
	struct tape_piece *p = malloc(sizeof *p + len);
	size_t n = 0;

	if (!p)
		return false;
	p->len = len;
	for (int i = 0; i < n_iov; i++) {
		if (iov[i].iov_len)
			memcpy(p->v + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	TAILQ_INSERT_TAIL(&t->pieces, p, link);
	return true;
}

/* All of it or nothing: a file ends with a whole block. What it cannot have is known now, or told to those who wait. */
static int tape_write(struct tape *t, const struct iovec *iov, int n_iov)
{
	size_t len = 0;
	int rc;

	for (int i = 0; i < n_iov; i++)
		len += iov[i].iov_len;
	if (!t->error && t->len + len > t->max)
		t->error = EFBIG;
	if (t->error)
		return -t->error;
	if (t->len == t->done)
		t->moved_at = loop_now();
	rc = TAILQ_EMPTY(&t->pieces) ? send_piece(t, iov, n_iov) : 0;
	if (rc == 0 && !keep_piece(t, iov, n_iov, len))
		rc = -ENOMEM;
	if (rc < 0) {
		t->error = -rc;
		return rc;
	}
	t->len += len;
	if (rc == 0)
		loop_change(t->loop, t->sock, EPOLLIN | EPOLLOUT, &t->watch);
	return 0;
}

/* What the scribe has said. 0 or -errno: it says nothing more. */
static int hear(struct tape *t)
{
	struct scribe_said said;
	ssize_t n;

	while ((n = recv(t->sock, &said, sizeof said, MSG_DONTWAIT)) == sizeof said) {
		t->done = said.done;
		t->moved_at = loop_now();
		if (said.error)
			return -said.error;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EIO;
}

static int serve(struct tape *t)
{
	int rc = hear(t);

	return rc == 0 && !TAILQ_EMPTY(&t->pieces) ? send_pieces(t) : rc;
}

static void ready(struct watch *w, uint32_t events)
{
	struct tape *t = (struct tape *)((char *)w - offsetof(struct tape, watch));
	int rc = serve(t);

	(void)events;
	if (rc < 0) {
		fail(t, -rc);
		return;
	}
	loop_change(t->loop, t->sock, TAILQ_EMPTY(&t->pieces) ? EPOLLIN : EPOLLIN | EPOLLOUT, &t->watch);
	tell(t, t->done, 0);
}

/* The last packets of connections that end with their domain. A file that hangs is not waited for. */
static void settle(struct tape *t)
{
	int64_t left;

	while (t->done < t->len && (left = t->moved_at + SETTLE_MS - loop_now()) > 0) {
		struct pollfd p = { .fd = t->sock,
				    .events = TAILQ_EMPTY(&t->pieces) ? POLLIN : POLLIN | POLLOUT };

		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return;
		if (p.revents && serve(t) < 0)
			return;
	}
}

static int begin_file(struct tape *t)
{
	struct {
		uint32_t type, len, magic;
		uint16_t major, minor;
		int64_t section;
		uint32_t again;
	} __attribute__((packed)) section = { BLOCK_SECTION, sizeof section, 0x1a2b3c4d, 1, 0, -1, sizeof section };
	/* Its link type is a number of two bytes, and the two behind it are zero. */
	const uint16_t link[2] = { LINKTYPE_RAW, 0 };
	uint32_t interface[5] = { BLOCK_INTERFACE, sizeof interface, 0, 0, sizeof interface };
	struct iovec iov[] = { { &section, sizeof section }, { interface, sizeof interface } };

	memcpy(&interface[2], link, sizeof link);
	return t->raw ? 0 : tape_write(t, iov, 2);
}

int tapes_add(struct tapes *t, struct sup *s, const char *name, enum policy_record format, uint64_t max, int *fd)
{
	struct tape *new = &t->v[t->n];
	AUTO_FD int file = fd_take(fd);
	struct err e;
	int rc;

	if (t->n == POLICY_RECORDS_MAX)
		return -E2BIG;
	*new = (struct tape){ .loop = &s->loop,
			      .sock = -1,
			      .watch = { ready },
			      .raw = format == POLICY_RECORD_RAW,
			      .max = max,
			      .name = strdup(name) };
	TAILQ_INIT(&new->pieces);
	TAILQ_INIT(&new->waits);
	if (!new->name)
		return -ENOMEM;
	t->n++;
	rc = scribe_start(&s->factory, file, &new->sock, &e);
	if (rc == 0)
		rc = loop_add_direct(&s->loop, new->sock, &new->watch);
	return rc == 0 ? begin_file(new) : rc;
}

struct tape *tapes_find(struct tapes *t, const char *name)
{
	for (unsigned i = 0; i < t->n; i++)
		if (strcmp(t->v[i].name, name) == 0)
			return &t->v[i];
	return NULL;
}

void tapes_fini(struct tapes *t)
{
	for (; t->n; t->n--) {
		struct tape *last = &t->v[t->n - 1];

		if (last->sock >= 0)
			settle(last);
		hang_up(last);
		mem_free(&last->name);
	}
}

/* --- packets ----------------------------------------------------------------------------- */

static uint32_t sum(uint32_t s, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i += 2)
		s += (uint32_t)p[i] << 8 | (i + 1 < len ? p[i + 1] : 0U);
	return s;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

static void put_sum(uint8_t *at, uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	put16(at, ~s & 0xffff);
}

/* Headers of IP (RFC 791, 8200) and TCP (RFC 9293) for that much data. Returns their length. */
static size_t make_headers(const struct recording *r, bool app, unsigned flags, const uint8_t *data, size_t len,
			   uint8_t *out)
{
	bool v4 = addr_is_v4(&r->addr[0]);
	unsigned from = app ? 0 : 1, to = app ? 1 : 0;
	size_t ip = v4 ? 20 : 40, size = v4 ? 4 : 16;
	uint8_t *tcp = out + ip;
	uint32_t s;

	memset(out, 0, ip + 20);
	if (v4) {
		out[0] = 0x45;
		put16(out + 2, (uint32_t)(ip + 20 + len));
		put16(out + 6, 0x4000); /* do not fragment */
		out[8] = 64;
		out[9] = IPPROTO_TCP;
	} else {
		out[0] = 0x60;
		put16(out + 4, (uint32_t)(20 + len));
		out[6] = IPPROTO_TCP;
		out[7] = 64;
	}
	memcpy(out + ip - 2 * size, r->addr[from].b + 16 - size, size);
	memcpy(out + ip - size, r->addr[to].b + 16 - size, size);
	if (v4)
		put_sum(out + 10, sum(0, out, ip));
	put16(tcp, r->port[from]);
	put16(tcp + 2, r->port[to]);
	put32(tcp + 4, r->seq[from]);
	put32(tcp + 8, flags & TCP_ACK ? r->seq[to] : 0);
	tcp[12] = 0x50;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 65535);
	s = sum(IPPROTO_TCP + 20 + (uint32_t)len, out + ip - 2 * size, 2 * size);
	put_sum(tcp + 16, sum(sum(s, tcp, 20), data, len));
	return ip + 20;
}

static int put_packet(struct recording *r, bool app, unsigned flags, const uint8_t *data, size_t len,
		      const char *comment)
{
	static const uint8_t zeros[4] = { 0 };
	/* Type, length, interface, time (two), bytes here, bytes there were. */
	uint32_t head[7] = { BLOCK_PACKET };
	uint8_t headers[HEADERS_MAX], options[COMMENT_MAX + 12] = { 0 };
	size_t n = make_headers(r, app, flags, data, len, headers), n_options = 0;
	size_t pad = -(n + len) & 3;
	struct timespec now;
	uint64_t us;

	if (comment) {
		uint16_t code = OPT_COMMENT, size = (uint16_t)strnlen(comment, COMMENT_MAX);

		memcpy(options, &code, sizeof code);
		memcpy(options + 2, &size, sizeof size);
		memcpy(options + 4, comment, size);
		n_options = 4 + ((size + 3U) & ~3U) + 4; /* and the end of options */
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	head[1] = (uint32_t)(sizeof head + n + len + pad + n_options + 4);
	head[3] = (uint32_t)(us >> 32);
	head[4] = (uint32_t)us;
	head[5] = head[6] = (uint32_t)(n + len);

	struct iovec iov[] = { { head, sizeof head },
			       { headers, n },
			       { (void *)(uintptr_t)data, len },
			       { (void *)(uintptr_t)zeros, pad },
			       { options, n_options },
			       { &head[1], sizeof head[1] } };

	return tape_write(r->tape, iov, sizeof iov / sizeof *iov);
}

static int put_control(struct recording *r, bool app, unsigned flags, const char *comment)
{
	return r->tape->raw ? 0 : put_packet(r, app, flags, (const uint8_t *)"", 0, comment);
}

int recording_begin(struct recording *r, const char *comment)
{
	int rc;

	if (!r->tape)
		return 0;
	rc = put_control(r, true, TCP_SYN, comment);
	r->seq[0]++;
	if (rc == 0)
		rc = put_control(r, false, TCP_SYN | TCP_ACK, NULL);
	r->seq[1]++;
	return rc == 0 ? put_control(r, true, TCP_ACK, NULL) : rc;
}

int recording_bytes(struct recording *r, bool app, const uint8_t *data, size_t len)
{
	if (!r->tape)
		return 0;
	while (len) {
		size_t n = len < SEGMENT_MAX ? len : SEGMENT_MAX;
		const struct iovec iov = { (void *)(uintptr_t)data, n };
		int rc = r->tape->raw ? tape_write(r->tape, &iov, 1) :
					put_packet(r, app, TCP_PSH | TCP_ACK, data, n, NULL);

		if (rc < 0)
			return rc;
		r->seq[app ? 0 : 1] += (uint32_t)n;
		data += n;
		len -= n;
	}
	return 0;
}

int recording_end(struct recording *r, bool app)
{
	unsigned side = app ? 0 : 1;
	int rc;

	if (!r->tape || r->ended[side])
		return 0;
	r->ended[side] = true;
	rc = put_control(r, app, TCP_FIN | TCP_ACK, NULL);
	r->seq[side]++;
	return rc;
}

int recording_reset(struct recording *r)
{
	int rc = r->tape && !(r->ended[0] && r->ended[1]) ? put_control(r, false, TCP_RST | TCP_ACK, NULL) : 0;

	r->ended[0] = r->ended[1] = true;
	return rc;
}
