/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers for sampling: quick, from a state of the caller's, not for secrets. */
#ifndef _KVMLOG_RANDOM_H
#define _KVMLOG_RANDOM_H

#include <linux/ktime.h>
#include <linux/types.h>

/* Uniform over 32 bits, without 0, by xorshift32. @state: 0 before the first one. */
static inline u32 kvmlog_random(u32 *state)
{
	if (!*state)
		*state = (u32)ktime_get_mono_fast_ns() | 1;
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* The same, uniform over 0 to @below - 1. */
static inline u32 kvmlog_random_below(u32 *state, u32 below)
{
	return (u64)kvmlog_random(state) * below >> 32;
}

#endif
