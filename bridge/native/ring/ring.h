/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapped ring: what the writer and the readers share. The protocol itself is
 * told in <kvmlog/ring.h>.
 *
 * capacity and record_bytes are copies that the caller has checked against the
 * file's size: nothing here trusts the header for them again.
 */
#ifndef KVMLOG_NATIVE_RING_H
#define KVMLOG_NATIVE_RING_H

#include <kvmlog/ring.h>

#include "api.h"

/* map.c */
int kvmlog_ring_guarded(const struct kvmlog_ring *ring, int (*run)(void *argument), void *argument);

static inline __u8 *kvmlog_ring_slot(const struct kvmlog_ring *ring, __u64 index)
{
	return ring->slots + (index & (ring->capacity - 1)) * ring->record_bytes;
}

/* Slots from `index` on before the ring wraps, at most `count`. */
static inline __u64 kvmlog_ring_until_wrap(const struct kvmlog_ring *ring, __u64 index, __u64 count)
{
	__u64 left = ring->capacity - (index & (ring->capacity - 1));

	return count < left ? count : left;
}

static inline __u64 kvmlog_load_acquire(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

static inline __u64 kvmlog_load_relaxed(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

#endif
