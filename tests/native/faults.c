// SPDX-License-Identifier: GPL-2.0-or-later
/* What sanitizers have to see, or a run without a report proves nothing. */
#include <stdlib.h>

#include "testing.h"

/* Reads @at of an array of @size bytes on the heap. */
int kvmlog_test_heap_read(__u32 size, __u32 at)
{
	volatile __u8 *bytes = calloc(size, 1);
	int value = bytes ? bytes[at] : -1;

	free((void *)bytes);
	return value;
}

/* The sum, which may be none that an int can hold. */
int kvmlog_test_add(int one, int other)
{
	return one + other;
}
