/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of what a client sends, and a server's answer. */
#include <stdlib.h>
#include <string.h>

#include "model/clienthello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has been decided on stays so whatever comes behind it, and was not decided on before. */
static void check(enum hello (*read)(const uint8_t *, size_t, char *, size_t *), const uint8_t *data, size_t size)
{
	char name[NAME_TEXT_MAX], again[NAME_TEXT_MAX], form[NAME_TEXT_MAX];
	size_t n = 0, m = 0;
	enum hello h = read(data, size, name, &n);

	if (h != HELLO_NAME)
		return;
	if (n == 0 || n > size || name_parse(name, form, NULL, NULL) < 0 || strcmp(name, form) != 0)
		abort();
	if (read(data, n, again, &m) != HELLO_NAME || m != n || strcmp(name, again) != 0)
		abort();
	if (read(data, n - 1, again, &m) != HELLO_MORE)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum hello_answer a = hello_answer(data, size);

	check(hello_read, data, size);
	check(hello_read_second, data, size);
	if (a == HELLO_ANSWER_MORE && size > 300) /* a byte in each record */
		abort();
	return 0;
}
