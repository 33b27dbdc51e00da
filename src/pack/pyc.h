/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python's compiled modules carry the time and size of the source they were
 * made from, and Python compiles again what does not match. Since a bundle's
 * files get one time stamp, a copied .pyc would never match, and every start
 * would compile the whole standard library. So its time is set as well, but
 * only where the .pyc was right before: what was stale stays stale.
 * PEP 3147 (where they lie), PEP 552 (their header).
 */
#ifndef VRUN_PACK_PYC_H
#define VRUN_PACK_PYC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * The source that "/DIR/__pycache__/NAME.TAG.pyc" belongs to: "/DIR/NAME.py",
 * into a buffer of PATH_MAX bytes. False for any other path.
 */
bool pyc_source(const char *path, char *ret_source);

/*
 * Sets the time in a .pyc's first bytes if it says that it was made from a
 * source of this time and size. Whether it did.
 */
bool pyc_retime(unsigned char *data, size_t len, time_t source_mtime, uint64_t source_size,
		time_t when);

#endif
