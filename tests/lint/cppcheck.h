/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before every file that cppcheck reads. cppcheck 2.10 does not know
 * __attribute__((cleanup)): it takes what ends with the scope for leaked, and a
 * variable that is only there to be cleaned up for unused. Neither is asked of
 * static variables; memory and descriptors without cleanup are followed as ever.
 */
#include "base/fd.h"

#undef AUTO_FD
#undef AUTO_FREE
#define AUTO_FD static
#define AUTO_FREE static
