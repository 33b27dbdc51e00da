/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a launch say to each other while two of them may speak at once. */
#include "run/sync.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tap.h"

#define CODE 127

/* One that fails between a clone and its announcement: the other's message stands between its own two. */
static void test_between(void)
{
	static const char kind = SYNC_FAILED;
	struct err sent = { 0 }, got = { 0 };
	int pair[2], code = 0;
	char c = 0;

	if (!TAP_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "a pair of sockets"))
		return;
	(void)err_set(&sent, ENOENT, "no such program");
	TAP_INT(write(pair[0], &kind, 1), 1, "one says that it failed");
	TAP_INT(fd_send(pair[0], SYNC_PID, &pair[0], 1), 0, "the other announces it");
	sync_fail(pair[0], &sent, CODE); /* its first byte once more, which is none of interest either */
	TAP_INT(fd_recv(pair[1], &c, NULL, 0), 0, "the first message has come");
	TAP_INT(c, SYNC_FAILED, "and is of the failure");
	TAP_INT(sync_read_failure(pair[1], &code, &got), -ENOENT, "the failure is read");
	TAP_STR(got.text, "no such program", "with its text");
	TAP_INT(code, CODE, "and its exit code");
	(void)close(pair[0]);
	TAP_INT(sync_read_failure(pair[1], &code, &got), -EPROTO, "there is only one");
	(void)close(pair[1]);
}

/* One that had ended before it was heard: what it was is of no interest any more, why it ended is. */
static void test_last_word(void)
{
	static const char later = SYNC_CREATED;
	struct err sent = { 0 }, got = { 0 };
	int pair[2], code = 0;

	if (!TAP_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "a pair of sockets"))
		return;
	TAP_INT(sync_last_word(pair[1], &code, &got), 0, "nothing is said yet, and not waited for");
	(void)err_set(&sent, ENOENT, "no such program");
	TAP_INT(fd_send(pair[0], SYNC_APP, &pair[0], 1), 0, "it says who it is");
	TAP_INT(write(pair[0], &later, 1), 1, "how far it is");
	sync_fail(pair[0], &sent, CODE);
	(void)close(pair[0]);
	TAP_INT(sync_last_word(pair[1], &code, &got), -ENOENT, "and that it failed");
	TAP_STR(got.text, "no such program", "with its text");
	TAP_INT(code, CODE, "and its exit code");
	TAP_INT(sync_last_word(pair[1], &code, &got), 0, "once");
	(void)close(pair[1]);
}

int main(void)
{
	test_between();
	test_last_word();
	return tap_done();
}
