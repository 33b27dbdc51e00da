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

/* jansson.h is not read; without these, loops over arrays and objects look like calls. */
#define json_array_foreach(array, index, value) \
	for (index = 0; index < json_array_size(array) && (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, key, value)                                                    \
	for (void *iter_ = json_object_iter(object);                                               \
	     iter_ && (key = json_object_iter_key(iter_)) && (value = json_object_iter_value(iter_)); \
	     iter_ = json_object_iter_next(object, iter_))
