/* SPDX-License-Identifier: Apache-2.0 */
/* Removes a test's own directory with everything in it. Links are removed, not followed. */
#ifndef VRUN_TESTS_RMTREE_H
#define VRUN_TESTS_RMTREE_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>

static int rmtree_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* 0, also when there is nothing; else something is left. */
static inline int rmtree(const char *path)
{
	return nftw(path, rmtree_one, 8, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT ? -1 : 0;
}

#endif
