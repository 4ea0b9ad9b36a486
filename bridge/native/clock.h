/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's clocks in nanoseconds, as records and file headers have them. */
#ifndef KVMLOG_NATIVE_CLOCK_H
#define KVMLOG_NATIVE_CLOCK_H

#include <time.h>

#include <linux/types.h>

static inline __u64 kvmlog_clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

#endif
