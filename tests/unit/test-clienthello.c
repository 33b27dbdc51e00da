/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos, good and otherwise, in every number of pieces. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "hello.h"
#include "model/clienthello.h"
#include "sup/tls.h"
#include "tap.h"

static char name[NAME_TEXT_MAX];
static size_t taken;

static const char *word(enum hello h)
{
	static const char *const words[] = { "more", "name", "not TLS", "malformed", "too big", "no name", "ECH", "cut", "late" };

	return words[h];
}

static enum hello read_all(const struct bytes *b)
{
	taken = 0;
	return hello_read(b->v, b->n, name, &taken);
}

static void expect(const struct bytes *b, enum hello h, const char *want, const char *what)
{
	enum hello got = read_all(b);

	TAP_STR(word(got), word(h), "%s", what);
	if (want)
		TAP_STR(name, want, "%s", what);
}

/* Every beginning of it asks for more, and all of it is what it is. */
static bool by_pieces(const struct bytes *b)
{
	for (size_t i = 0; i < b->n; i++) {
		/* So that a read behind the end is seen. */
		uint8_t *exact = malloc(i ? i : 1);
		enum hello h;

		if (!exact)
			return false;
		memcpy(exact, b->v, i);
		h = hello_read(exact, i, name, &taken);
		free(exact);
		if (h != HELLO_MORE) {
			printf("# %zu of %zu bytes: %s\n", i, b->n, word(h));
			return false;
		}
	}
	return true;
}

static struct bytes b, extensions, message;

/* With these extensions. */
static void make(size_t version)
{
	make_hello(&message, version, &extensions);
	b.n = 0;
	put_records(&b, &message, 16384);
}

static void test_good(void)
{
	static const size_t versions[] = { 0x0301, 0x0302, 0x0303 };

	usual_hello(&b, "web.example.com");
	expect(&b, HELLO_NAME, "web.example.com", "the usual one");
	TAP_INT(taken, b.n, "takes all");
	TAP_OK(by_pieces(&b), "its beginnings ask for more");
	put(&b, "\x17\x03\x03", 3);
	expect(&b, HELLO_NAME, "web.example.com", "early data may come behind it");
	TAP_INT(taken, b.n - 3, "which is none of it");
	usual_hello(&b, "WEB.Example.COM");
	expect(&b, HELLO_NAME, "web.example.com", "in its one form");
	for (size_t i = 0; i < 3; i++) {
		const char *one = "a.example";

		extensions.n = 0;
		put_names(&extensions, &one, 1);
		make(versions[i]);
		expect(&b, HELLO_NAME, one, "TLS 1.0 to 1.3");
	}
	for (size_t most = 1; most < message.n; most += most < 8 ? 1 : 37) {
		b.n = 0;
		put_records(&b, &message, most);
		if (!TAP_OK(by_pieces(&b) && read_all(&b) == HELLO_NAME && taken == b.n, "in records of %zu", most))
			break;
	}
}

static void test_names(void)
{
	static const char *const bad[] = { "", ".", "a.example.", "a..example", "-a.example", "a b.example", "192.0.2.1",
					   "0x7f.1", "[2001:db8::1]", "2001:db8::1", "a.example\n", "m\xc3\xbcller.example", "*.example" };
	static const char *const two[] = { "a.example", "b.example" };
	char longest[300];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		usual_hello(&b, bad[i]);
		expect(&b, HELLO_MALFORMED, NULL, bad[i]);
	}
	usual_hello(&b, "a.exam\1le");
	*(uint8_t *)memchr(b.v + 60, '\1', b.n - 60) = 0;
	expect(&b, HELLO_MALFORMED, NULL, "a NUL within");
	memset(longest, 'a', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	usual_hello(&b, longest);
	expect(&b, HELLO_MALFORMED, NULL, "longer than a name can be");

	extensions.n = 0;
	put_names(&extensions, two, 2);
	make(0x0303);
	expect(&b, HELLO_MALFORMED, NULL, "two names");
	extensions.n = 0;
	put_names(&extensions, two, 1);
	put_names(&extensions, two, 1);
	make(0x0303);
	expect(&b, HELLO_MALFORMED, NULL, "the extension twice, with the same name even");
	extensions.n = 0;
	put_names(&extensions, two, 0);
	make(0x0303);
	expect(&b, HELLO_MALFORMED, NULL, "a list of no names");
	extensions.n = 0;
	put_names(&extensions, two, 1);
	extensions.v[6] = 1;
	make(0x0303);
	expect(&b, HELLO_MALFORMED, NULL, "a name of another type");

	extensions.n = 0;
	put_extension(&extensions, 43, 3);
	make(0x0303);
	expect(&b, HELLO_NO_NAME, "", "no name");
	make_hello(&message, 0x0301, NULL);
	b.n = 0;
	put_records(&b, &message, 16384);
	expect(&b, HELLO_NO_NAME, "", "no extensions at all");
}

static void test_ech(void)
{
	static const size_t types[] = { 0xfe0d, 0xfe0a, 0xffce };
	const char *outer = "public.example";

	for (size_t i = 0; i < 3; i++) {
		extensions.n = 0;
		put_names(&extensions, &outer, 1);
		put_extension(&extensions, types[i], 60);
		make(0x0303);
		expect(&b, HELLO_ECH, outer, "encrypted, whatever the outer name is");
	}
	extensions.n = 0;
	put_extension(&extensions, 0xfe0d, 60);
	make(0x0303);
	expect(&b, HELLO_ECH, "", "without one");
}

static void test_malformed(void)
{
	static const struct {
		size_t at, v;
		enum hello h;
		const char *what;
	} edits[] = {
		{ 0, 23, HELLO_NOT_TLS, "another record first" },
		{ 0, 'G', HELLO_NOT_TLS, "HTTP" },
		{ 0, 0x80, HELLO_NOT_TLS, "SSL 2" },
		{ 1, 2, HELLO_NOT_TLS, "a version of no TLS" },
		{ 2, 5, HELLO_NOT_TLS, "the same" },
		{ 5, 2, HELLO_NOT_TLS, "another message" },
		{ 6, 1, HELLO_TOO_BIG, "a message of 64 KiB" },
		{ 8, 0, HELLO_MALFORMED, "a message shorter than its record" },
		{ 9, 2, HELLO_MALFORMED, "SSL 2 inside" },
		{ 10, 0, HELLO_MALFORMED, "SSL 3" },
		{ 10, 4, HELLO_MALFORMED, "a version of the future" },
		{ 43, 33, HELLO_MALFORMED, "a session id too long" },
		{ 45, 3, HELLO_MALFORMED, "odd cipher suites" },
		{ 50, 0, HELLO_MALFORMED, "no compression method" },
		{ 53, 1, HELLO_MALFORMED, "extensions that end before the message" },
		{ 53, 255, HELLO_MALFORMED, "extensions that end behind it" },
		{ 57, 255, HELLO_MALFORMED, "an extension that does" },
	};

	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		usual_hello(&b, "web.example.com");
		b.v[edits[i].at] = (uint8_t)edits[i].v;
		expect(&b, edits[i].h, NULL, edits[i].what);
	}
	for (size_t i = 0; i < 2; i++) {
		usual_hello(&b, "web.example.com");
		make_hello(&message, 0x0303, &extensions);
		if (i) { /* in its own record, or the beginning of another message in the last one */
			put_number(&message, 1, 1);
			b.n = 0;
			put_records(&b, &message, 16384);
		} else {
			b.v[4]++;
		}
		expect(&b, HELLO_MALFORMED, NULL, "bytes behind it in its record, come or to come");
	}
	usual_hello(&b, "web.example.com");
	b.v[3] = b.v[4] = 0;
	expect(&b, HELLO_MALFORMED, NULL, "an empty record");
	usual_hello(&b, "web.example.com");
	b.v[3] = 0x40;
	b.v[4] = 1;
	expect(&b, HELLO_MALFORMED, NULL, "a record too long");

	extensions.n = 0;
	put_extension(&extensions, 21, 16384);
	make(0x0303);
	expect(&b, HELLO_TOO_BIG, NULL, "more than 16 KiB");
	extensions.n = 0;
	put_extension(&extensions, 21, 16000);
	make_hello(&message, 0x0303, &extensions);
	b.n = 0;
	put_records(&b, &message, 16384);
	expect(&b, HELLO_NO_NAME, NULL, "less than that");
	b.n = 0;
	put_records(&b, &message, 2);
	expect(&b, HELLO_NO_NAME, NULL, "all of it in one go, however many records");
	b.n = CLIENTHELLO_WIRE_MAX;
	expect(&b, HELLO_TOO_BIG, NULL, "but 32 KiB are not waited for");
}

static void test_answers(void)
{
	static struct bytes cut;

	retry_request(&b);
	TAP_INT(hello_answer(b.v, b.n), HELLO_ANSWER_AGAIN, "a HelloRetryRequest");
	for (size_t i = 0; i < 43; i++)
		if (hello_answer(b.v, i) != HELLO_ANSWER_MORE) {
			TAP_OK(false, "%zu bytes of it", i);
			break;
		}
	memcpy(message.v, b.v + 5, b.n - 5);
	message.n = b.n - 5;
	cut.n = 0;
	put_records(&cut, &message, 1);
	TAP_INT(hello_answer(cut.v, cut.n), HELLO_ANSWER_AGAIN, "in records of one byte");
	b.v[42] ^= 1;
	TAP_INT(hello_answer(b.v, b.n), HELLO_ANSWER_OTHER, "another random");
	b.v[5] = 1;
	TAP_INT(hello_answer(b.v, b.n), HELLO_ANSWER_OTHER, "another message");
	TAP_INT(hello_answer((const uint8_t *)"\x15", 1), HELLO_ANSWER_OTHER, "an alert");
	TAP_INT(hello_answer((const uint8_t *)"2", 1), HELLO_ANSWER_OTHER, "no TLS");

	usual_hello(&b, "web.example.com");
	TAP_INT(hello_read_second(b.v, b.n, name, &taken), HELLO_NAME, "the second one");
	memmove(b.v + 6 + 9, b.v, b.n);
	memcpy(b.v, "\x14\x03\x03\0\1\1\x17\x03\x03\0\4abcd", 15);
	b.n += 15;
	TAP_INT(hello_read_second(b.v, b.n, name, &taken), HELLO_NAME, "behind change_cipher_spec and early data");
	TAP_STR(name, "web.example.com", "its name");
	TAP_INT(hello_read_second(b.v, 14, name, &taken), HELLO_MORE, "of which there is more to come");
	b.v[15 + 5] = 2;
	TAP_INT(hello_read_second(b.v, b.n, name, &taken), HELLO_MALFORMED, "another message in its place");
}

/* --- the gate ------------------------------------------------------------------------------- */

static enum hello asked;
static char asked_name[NAME_TEXT_MAX];

static bool allow(void *ctx, enum hello h, const char *n)
{
	asked = h;
	(void)snprintf(asked_name, sizeof asked_name, "%s", n);
	return h == HELLO_NAME && strcmp(n, ctx) == 0;
}

static void test_gate(void)
{
	static char web[] = "web.example.com", elsewhere[] = "other.example";
	struct tls_gate g = { TLS_FIRST, allow, web };
	struct tls_gate other = { TLS_FIRST, allow, elsewhere };

	usual_hello(&b, "web.example.com");
	TAP_INT(tls_look(&other, true, b.v, b.n), -EACCES, "another name");
	TAP_OK(asked == HELLO_NAME && strcmp(asked_name, "web.example.com") == 0, "is told");
	TAP_OK(tls_reads(&g, true) && !tls_reads(&g, false), "the app comes first");
	TAP_INT(tls_look(&g, false, b.v, 10), 0, "what a server says before waits");
	put(&b, "more", 4);
	TAP_INT(tls_look(&g, true, b.v, 20), 0, "a part of it");
	TAP_INT(tls_look(&g, true, b.v, b.n), (int64_t)b.n - 4, "the ClientHello passes");
	TAP_INT(tls_look(&g, true, b.v + b.n - 4, 4), 0, "and nothing behind it");
	TAP_OK(!tls_reads(&g, true) && tls_reads(&g, false), "before the server has answered");
	retry_request(&message);
	TAP_INT(tls_look(&g, false, message.v, message.n), (int64_t)message.n, "it asks for another one");
	usual_hello(&b, "evil.example");
	TAP_INT(tls_look(&g, true, b.v, b.n), -EACCES, "which may not name another server");
	usual_hello(&b, "web.example.com");
	g.phase = TLS_SECOND;
	TAP_INT(tls_look(&g, true, b.v, b.n), (int64_t)b.n, "the same one may pass");
	TAP_INT(tls_look(&g, true, (const uint8_t *)"x", 1), 1, "and then everything");

	g.phase = TLS_FIRST;
	TAP_INT(tls_give_up(&g, 0, false), -ECANCELED, "who says nothing has tried nothing");
	TAP_INT(tls_give_up(&g, 1, false), -EACCES, "who ends within it is refused");
	TAP_STR(word(asked), "cut", "as that");
	TAP_INT(tls_give_up(&g, 0, true), -EACCES, "and so is who lets it wait");
	TAP_STR(word(asked), "late", "as that");
}

int main(void)
{
	test_good();
	test_names();
	test_ech();
	test_malformed();
	test_answers();
	test_gate();
	return tap_done();
}
