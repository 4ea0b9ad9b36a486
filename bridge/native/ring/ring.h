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

#include <pthread.h>
#include <stddef.h>

#include <kvmlog/ring.h>

#include "api.h"

/* The one writer of a ring. `lock` covers reserve, head, the slots and all header
 * fields: the pump's thread and Python's control thread both write. It is taken
 * once per batch, never held over a call that sleeps.
 */
struct kvmlog_writer {
	struct kvmlog_ring ring;
	pthread_mutex_t lock;
};

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

/* What a LOSS record says. */
struct kvmlog_loss_note {
	__u32 cause;
	__u16 cpu;
	__u64 lost;
	__u64 total;
	__u64 ns; /* CLOCK_MONOTONIC of the gap, 0: now */
};

/* With the writer's lock held: */
void kvmlog_writer_reserve(struct kvmlog_writer *writer, __u64 count);
void kvmlog_writer_publish(struct kvmlog_writer *writer, __u64 count);
void kvmlog_writer_copy(struct kvmlog_writer *writer, const void *records, __u64 count);
void kvmlog_writer_info_begin(struct kvmlog_writer *writer);
void kvmlog_writer_info_end(struct kvmlog_writer *writer);
void kvmlog_writer_note_loss(struct kvmlog_writer *writer, const struct kvmlog_loss_note *note);

#endif
