/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the host's side of a race: exchanges two names in a directory, over and
 * over with a short pause, until it is killed. Says "ready" after the first
 * time.
 *
 *   exchange PATH PATH
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc != 3 || renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) < 0) {
		perror("exchange");
		return 1;
	}
	if (write(1, "ready\n", 6) != 6)
		return 1;
	while (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) == 0)
		(void)usleep(30);
	return 0;
}
