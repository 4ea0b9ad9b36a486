// SPDX-License-Identifier: GPL-2.0-or-later
/* The reader's side: copies that never hold a torn record. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "ring/ring.h"

/*
 * How long a reader waits for a writer that is inside an info update: one that lost its CPU
 * there, or is at it all the time, is not taken for dead at once.
 */
enum {
	KVMLOG_INFO_YIELDS = 1000,
	KVMLOG_INFO_MS = 50, /* after them */
	NS_PER_MS = 1000000,
};

static void copy_slots(const struct kvmlog_ring *ring, __u64 index, __u64 count, __u8 *buffer)
{
	__u64 first = kvmlog_ring_until_wrap(ring, index, count);

	memcpy(buffer, kvmlog_ring_slot(ring, index), first * ring->record_bytes);
	memcpy(buffer + first * ring->record_bytes, ring->slots,
	       (count - first) * ring->record_bytes);
}

/* Copies from..head - 1 and says in @span what of it is whole. */
static int copy_range(const struct kvmlog_ring *ring, __u64 wanted, __u64 from, __u64 end,
		      void *buffer, struct kvmlog_span *span)
{
	__u64 reserve, safe;

	copy_slots(ring, from, end - from, buffer);

	/* Pairs with the release fence in kvmlog_writer_reserve(): when any byte
	 * copied above was of a newer round, this load sees its reserve.
	 */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	reserve = kvmlog_load_relaxed(&ring->header->reserve);

	safe = reserve > ring->capacity ? reserve - ring->capacity : 0;
	span->first_index = from < safe ? safe : from;
	if (span->first_index > end)
		span->first_index = end;
	span->next_index = end;
	span->overwritten = span->first_index - wanted;
	span->offset = (span->first_index - from) * ring->record_bytes;
	return 0;
}

/* The newest @count records that are there, oldest first. */
int kvmlog_ring_newest(const struct kvmlog_ring *ring, __u64 count, void *buffer,
		       __u64 buffer_bytes, struct kvmlog_span *span)
{
	__u64 head;
	int rc = kvmlog_ring_whole(ring);

	if (rc)
		return rc;
	head = kvmlog_load_acquire(&ring->header->head);
	if (count > ring->capacity)
		count = ring->capacity;
	if (count > head)
		count = head;
	if (buffer_bytes / ring->record_bytes < count)
		return -ENOBUFS;
	return copy_range(ring, head - count, head - count, head, buffer, span);
}

/*
 * At most @count records from @index on, oldest first. Records that were already
 * overwritten are skipped and counted. An index ahead of the writer gives none.
 */
int kvmlog_ring_since(const struct kvmlog_ring *ring, __u64 index, __u64 count, void *buffer,
		      __u64 buffer_bytes, struct kvmlog_span *span)
{
	__u64 head, reserve, oldest, from, end;
	int rc = kvmlog_ring_whole(ring);

	if (rc)
		return rc;
	head = kvmlog_load_acquire(&ring->header->head);
	if (index > head)
		index = head;
	reserve = kvmlog_load_relaxed(&ring->header->reserve);
	oldest = reserve > ring->capacity ? reserve - ring->capacity : 0;
	from = index < oldest ? oldest : index;
	if (from > head)
		from = head;
	end = head - from > count ? from + count : head;
	if (buffer_bytes / ring->record_bytes < end - from)
		return -ENOBUFS;
	return copy_range(ring, index, from, end, buffer, span);
}

/* 1: all that `info_sequence` guards is of one moment. */
static int copy_header(const struct kvmlog_ring *ring, struct kvmlog_ring_header *copy)
{
	const __u64 *sequence = &ring->header->info_sequence;
	__u64 before = kvmlog_load_acquire(sequence);

	memcpy(copy, ring->header, sizeof(*copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/* In this order: the reserve that was raised for a head is never missed. */
	copy->head = kvmlog_load_acquire(&ring->header->head);
	copy->reserve = kvmlog_load_relaxed(&ring->header->reserve);
	return !(before & 1) && before == kvmlog_load_relaxed(sequence);
}

/*
 * A copy of the header with all that `info_sequence` guards of one moment. -EBUSY: the
 * writer died or stands still inside an update; the copy is made all the same, only what
 * is guarded may be of two moments.
 */
int kvmlog_ring_read_header(const struct kvmlog_ring *ring, struct kvmlog_ring_header *copy)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MS };
	int rc = kvmlog_ring_whole(ring);

	if (rc)
		return rc;
	for (int i = 0; i < KVMLOG_INFO_YIELDS + KVMLOG_INFO_MS; i++) {
		if (copy_header(ring, copy))
			return 0;
		if (i < KVMLOG_INFO_YIELDS)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
	return -EBUSY;
}
