/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of an app's interface. */
#include <stdlib.h>

#include "kern/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_ends e = { .from_port = 0 };
	size_t payload = 0;

	if (frame_read(data, size, &e, &payload) != FRAME_OTHER &&
	    (!e.from_port || !e.to_port || payload > size || addr_is_v4(&e.from) != addr_is_v4(&e.to)))
		abort();
	return 0;
}
