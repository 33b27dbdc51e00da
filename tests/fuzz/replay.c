/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a fuzzer's committed corpus without a fuzzing engine, so that `make
 * check` runs every input that once mattered with any compiler. Linked with
 * one fuzz-X.c and named replay-X; reads $srcdir/tests/fuzz/corpus-X, or the
 * files and directories that its command line names. One TAP line for each input;
 * what the target finds wrong, it aborts on, and then the plan stays open.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../unit/tap.h"
#include "base/fd.h"

#define INPUT_MAX (16U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	AUTO_FREE char *data = NULL;
	AUTO_FREE uint8_t *exact = NULL;
	struct err e = { 0 };
	size_t len = 0;

	if (fd_read_file(AT_FDCWD, path, INPUT_MAX, &data, &len, &e) < 0) {
		TAP_OK(false, "%s", path);
		printf("#   %s\n", e.text);
		return -e.num;
	}
	/* Exactly as long as the input: a read past its end is one past the allocation. */
	exact = malloc(len ? len : 1);
	if (!exact)
		return -ENOMEM;
	memcpy(exact, data, len);
	TAP_INT(LLVMFuzzerTestOneInput(exact, len), 0, "%s", path);
	return 0;
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void replay_path(const char *path)
{
	struct dirent **list = NULL;
	struct stat st;
	int n;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		(void)replay_file(path);
		return;
	}
	n = scandir(path, &list, visible, alphasort);
	TAP_OK(n > 0, "%s has inputs", path);
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];

		if (snprintf(file, sizeof file, "%s/%s", path, list[i]->d_name) < (int)sizeof file)
			replay_path(file);
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/'), *top = getenv("srcdir");
	char dir[PATH_MAX];

	name = name ? name + 1 : argv[0];
	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			replay_path(argv[i]);
		return tap_done();
	}
	if (strncmp(name, "replay-", 7) != 0) {
		(void)fprintf(stderr, "%s: must be called replay-X, or be given inputs\n", name);
		return 99;
	}
	(void)snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus-%s", top ? top : ".", name + 7);
	replay_path(dir);
	return tap_done();
}
