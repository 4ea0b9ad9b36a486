/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers for sampling: quick, from a state of the caller's, not for secrets. */
#ifndef _KVMLOG_RANDOM_H
#define _KVMLOG_RANDOM_H

#include <linux/ktime.h>
#include <linux/types.h>

/* Even over 0 to @below - 1, by xorshift32. @state: 0 before the first one. */
static inline u32 kvmlog_random(u32 *state, u32 below)
{
	if (!*state)
		*state = (u32)ktime_get_mono_fast_ns() | 1;
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return (u64)*state * below >> 32;
}

#endif
