/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads of what a writer may be changing at this very moment, in a file that both have mapped.
 * What they give may be torn; `reserve` or a sequence tells afterwards whether it is kept.
 *
 * Each is a relaxed load: no compiler may split it, or make two of one. The writer's own stores
 * are plain, some of them the kernel's (recvmsg() fills the slots): millions of records a second
 * must not pay for readers. ThreadSanitizer takes such a pair for a race, which it is, by design;
 * so it does not look into functions that are KVMLOG_RACING, and into no others.
 */
#ifndef KVMLOG_NATIVE_RACING_H
#define KVMLOG_NATIVE_RACING_H

#include <linux/types.h>

#define KVMLOG_RACING __attribute__((no_sanitize("thread")))

#define kvmlog_racing_load(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* Part of anything: no compiler may take it for an object of its own. */
typedef __u64 __attribute__((may_alias)) kvmlog_word;

/* Word by word: @bytes is a multiple of 8, and both sides are aligned to that. */
KVMLOG_RACING static inline void kvmlog_racing_copy(void *to, const void *from, __u64 bytes)
{
	const kvmlog_word *source = from;
	kvmlog_word *copy = to;

	for (__u64 i = 0; i < bytes / sizeof(*copy); i++)
		copy[i] = kvmlog_racing_load(source[i]);
}

#endif
