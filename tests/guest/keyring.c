/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of a session.
 *
 *   keyring with NAME COMMAND...   runs a command in a new session keyring that holds a key of that name
 *   keyring find NAME              "found", or why not
 */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "with") == 0) {
		if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
		    syscall(SYS_add_key, "user", argv[2], "secret", 6UL, KEY_SPEC_SESSION_KEYRING) < 0) {
			perror("keyring");
			return 1;
		}
		(void)execvp(argv[3], argv + 3);
		perror(argv[3]);
		return 1;
	}
	if (argc == 3 && strcmp(argv[1], "find") == 0) {
		if (syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", argv[2], 0) >= 0)
			(void)puts("found");
		else
			(void)puts(strerrorname_np(errno));
		return 0;
	}
	return 2;
}
