/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "tap.h"

static void test_err(void)
{
	struct err e = { 0 };
	char big[3000];

	TAP_INT(err_set(&e, EINVAL, "bad %d", 7), -EINVAL, "err_set returns the negative number");
	TAP_STR(e.text, "bad 7", "err_set formats");
	TAP_INT(err_wrap(&e, "reading %s", "x"), -EINVAL, "err_wrap keeps the number");
	TAP_STR(e.text, "reading x: bad 7", "err_wrap puts the prefix first");
	(void)err_hint(&e, "do this");
	TAP_STR(e.hint, "do this", "err_hint sets the hint");
	errno = ENOENT;
	TAP_INT(err_sys(&e, "f"), -ENOENT, "err_sys takes errno");
	TAP_STR(e.text, "f: No such file or directory", "err_sys appends the reason");
	TAP_STR(e.hint, "", "a new error clears the hint");
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	(void)err_num(&e, EPERM, "%s", big);
	TAP_INT(strlen(e.text), sizeof e.text - 1, "an overlong text is cut");
	TAP_INT(err_set(NULL, EIO, "x"), -EIO, "no struct is fine");
	errno = 0;
	TAP_INT(err_sys(&e, "f"), -EIO, "a failure whose errno was lost stays a failure");
	TAP_INT(err_num(NULL, -ENOENT, "f"), -EIO, "and so does one whose number has the wrong sign");
}

static void test_num(void)
{
	uint64_t u = 99;
	int64_t s = 99;

	TAP_INT(num_parse_u64("18446744073709551615", 0, UINT64_MAX, &u), 0, "largest u64");
	TAP_OK(u == UINT64_MAX, "largest u64's value");
	TAP_INT(num_parse_u64("18446744073709551616", 0, UINT64_MAX, &u), -ERANGE, "one more overflows");
	u = 99;
	TAP_INT(num_parse_u64("", 0, 9, &u), -EINVAL, "empty is no number");
	TAP_INT(num_parse_u64(" 1", 0, 9, &u), -EINVAL, "a space is no number");
	TAP_INT(num_parse_u64("1x", 0, 9, &u), -EINVAL, "trailing text is no number");
	TAP_INT(num_parse_u64("+1", 0, 9, &u), -EINVAL, "a plus sign is no number");
	TAP_INT(u, 99, "outputs are untouched on failure");
	TAP_INT(num_parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &s), 0, "smallest i64");
	TAP_OK(s == INT64_MIN, "smallest i64's value");
	TAP_INT(num_parse_i64("-", -1, 1, &s), -EINVAL, "a lone minus is no number");
	TAP_INT(num_parse_octal("0755", 07777, &u), 0, "octal");
	TAP_INT(u, 0755, "octal value");
	TAP_INT(num_parse_octal("8", 07777, &u), -EINVAL, "8 is not octal");
	TAP_INT(num_parse_size("512M", UINT64_MAX, &u), 0, "512M");
	TAP_INT(u, 512LL << 20, "M is binary");
	TAP_INT(num_parse_size("10MB", UINT64_MAX, &u), 0, "10MB");
	TAP_INT(u, 10000000, "MB is decimal");
	TAP_INT(num_parse_size("99999999999999T", UINT64_MAX, &u), -ERANGE, "too large a size");
	TAP_INT(num_parse_size("1Q", UINT64_MAX, &u), -EINVAL, "an unknown unit");
}

static void test_quote(void)
{
	char b[32];

	TAP_STR(log_quote(b, sizeof b, "plain \xc3\xa9"), "plain \xc3\xa9", "UTF-8 passes");
	TAP_STR(log_quote(b, sizeof b, "a\x1b[2Jb"), "a\\x1b[2Jb", "escape sequences do not pass");
	TAP_STR(log_quote(b, sizeof b, "\xff\\"), "\\xff\\x5c", "invalid bytes and backslashes");
	/* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what it is about */
	TAP_STR(log_quote(b, sizeof b, "\xe2\x80\xae"), "\\xe2\\x80\\xae", "bidirectional overrides");
	TAP_STR(log_quote(b, 8, "abcdefghijkl"), "abcd...", "cut with dots");
}

static void test_fds(void)
{
	int p[2], got = -1, sp[2];
	AUTO_FREE char *data = NULL;
	struct err e = { 0 };
	size_t len = 0;
	char kind = 0;

	if (pipe2(p, O_CLOEXEC) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sp) < 0) {
		TAP_OK(false, "pipe and socketpair");
		return;
	}
	TAP_INT(fd_write_all(p[1], "hello", 5), 0, "fd_write_all");
	TAP_INT(fd_send(sp[0], 'k', &p[0], 1), 0, "fd_send");
	fd_close(&p[0]);
	fd_close(&p[1]);
	TAP_INT(fd_recv(sp[1], &kind, &got, 1), 1, "fd_recv");
	TAP_INT(kind, 'k', "the kind arrives");
	TAP_INT(fcntl(got, F_GETFD), FD_CLOEXEC, "the descriptor is close-on-exec");
	TAP_INT(fd_read_all(got, "pipe", 100, &data, &len, &e), 0, "fd_read_all");
	TAP_STR(data, "hello", "what was read");
	TAP_INT(fd_send(sp[0], 'x', &got, 1), 0, "fd_send again");
	TAP_INT(fd_recv(sp[1], &kind, NULL, 0), -EPROTO, "an unexpected descriptor is refused");
	fd_close(&got);
	fd_close(&sp[0]);
	TAP_INT(fd_recv(sp[1], &kind, NULL, 0), -EPIPE, "a closed peer");
	fd_close(&sp[1]);
	TAP_INT(fd_read_file(AT_FDCWD, "/", 10, &data, &len, &e), -EISDIR, "a directory is no file");
	TAP_INT(fd_read_file(AT_FDCWD, "/proc/self/maps", 10, &data, &len, &e), -EFBIG, "too large a file");
}

/* What a process says before it ends is heard, also when it has not heard everything itself. */
static void test_last_words(void)
{
	int sp[2];
	char kind = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sp) < 0) {
		TAP_OK(false, "socketpair");
		return;
	}
	TAP_INT(fd_send(sp[1], 'u', NULL, 0), 0, "a message that stays unread");
	TAP_INT(fd_send(sp[0], 'F', NULL, 0), 0, "the last message");
	fd_close(&sp[0]);
	TAP_INT(fd_recv(sp[1], &kind, NULL, 0), 0, "which is received");
	TAP_INT(kind, 'F', "with its kind");
	TAP_INT(fd_recv(sp[1], &kind, NULL, 0), -EPIPE, "before the peer is gone");
	fd_close(&sp[1]);
}

int main(void)
{
	test_err();
	test_num();
	test_quote();
	test_fds();
	test_last_words();
	return tap_done();
}
