/* SPDX-License-Identifier: Apache-2.0 */
/* What every program relies on, in a program that starts by src/cli/start.c. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "tap.h"

static int constructed;

static __attribute__((constructor)) void construct(void)
{
	constructed++;
}

static void *thread(void *arg)
{
	char *p = malloc(100000);

	errno = 5;
	if (p)
		memset(p, 1, 100000);
	free(p);
	return arg;
}

static void test_threads(void)
{
	pthread_t t;
	void *ret = NULL;
	int x;

	errno = 0;
	TAP_OK(pthread_create(&t, NULL, thread, &x) == 0 && pthread_join(t, &ret) == 0, "a thread runs");
	TAP_OK(ret == &x, "and returns");
	TAP_INT(errno, 0, "each thread has its errno");
}

/* Sizes on both sides of every threshold of the string functions. */
static void test_strings(void)
{
	size_t n = 24UL << 20;
	unsigned char *a = malloc(n + 64), *b = malloc(n + 64);
	bool ok = a && b;

	for (size_t i = 0; ok && i < n; i++)
		a[i] = (unsigned char)(i * 131 + i / 251);
	for (size_t k = 1; ok && k <= n; k = k * 5 / 4 + 1) {
		b[k] = 0x5a;
		memcpy(b, a + k % 33, k < n - 33 ? k : n - 33);
		ok = memcmp(b, a + k % 33, k < n - 33 ? k : n - 33) == 0 && (k >= n - 33 || b[k] == 0x5a);
		memmove(b + 7, b, k);
		ok = ok && memcmp(b + 7, a + k % 33, k < n - 33 ? k : n - 33) == 0;
		memset(b, (int)k, k);
		ok = ok && b[0] == (unsigned char)k && b[k - 1] == (unsigned char)k;
	}
	TAP_OK(ok, "memory is copied, moved, set and compared in every size");
	TAP_INT(strlen("twelve chars"), 12, "strlen");
	TAP_OK(strchr("a/b", '/') && !strchr("a/b", 'x') && strstr("haystack", "stack"), "searching");
	free(a);
	free(b);
}

int main(int argc, char **argv)
{
	uintptr_t guard, again;
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);

	TAP_INT(constructed, 1, "constructors have run, once");
	TAP_OK(argc == 1 && argv[0] && !argv[1], "arguments");
	TAP_OK(environ != NULL && getpid() > 0, "environment");
	TAP_INT(getauxval(AT_PAGESZ), sysconf(_SC_PAGESIZE), "auxiliary vector");
	__asm__ volatile("movq %%fs:0x28, %0" : "=r"(guard));
	__asm__ volatile("movq %%fs:0x30, %0" : "=r"(again));
	TAP_OK(guard != 0 && (guard & 0xff) == 0, "the stack guard is set and ends in a zero byte");
	TAP_OK(random && memcmp((const char *)&guard + 1, random + 1, 7) == 0, "from the kernel's random bytes");
	TAP_OK(random && memcmp(&again, random + 8, 8) == 0, "and so is the pointer guard");
	test_threads();
	test_strings();
	return tap_done();
}
