// SPDX-License-Identifier: GPL-2.0-or-later
/* The reader's side: copies that never hold a torn record. */
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "racing.h"
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

	kvmlog_racing_copy(buffer, kvmlog_ring_slot(ring, index), first * ring->record_bytes);
	kvmlog_racing_copy(buffer + first * ring->record_bytes, ring->slots,
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

/* What a reader asks for: @count records, the newest or those from @index on. */
struct request {
	const struct kvmlog_ring *ring;
	__u64 index, count;
	void *buffer;
	__u64 buffer_bytes;
	struct kvmlog_span *span;
};

static int read_newest(void *argument)
{
	const struct request *request = argument;
	const struct kvmlog_ring *ring = request->ring;
	__u64 head = kvmlog_load_acquire(&ring->header->head);
	__u64 count = request->count;

	if (count > ring->capacity)
		count = ring->capacity;
	if (count > head)
		count = head;
	if (request->buffer_bytes / ring->record_bytes < count)
		return -ENOBUFS;
	return copy_range(ring, head - count, head - count, head, request->buffer, request->span);
}

/* The newest @count records that are there, oldest first. */
int kvmlog_ring_newest(const struct kvmlog_ring *ring, __u64 count, void *buffer,
		       __u64 buffer_bytes, struct kvmlog_span *span)
{
	struct request request = { ring, 0, count, buffer, buffer_bytes, span };

	return kvmlog_ring_guarded(ring, read_newest, &request);
}

static int read_since(void *argument)
{
	const struct request *request = argument;
	const struct kvmlog_ring *ring = request->ring;
	__u64 head = kvmlog_load_acquire(&ring->header->head);
	__u64 index = request->index < head ? request->index : head;
	__u64 reserve = kvmlog_load_relaxed(&ring->header->reserve);
	__u64 oldest = reserve > ring->capacity ? reserve - ring->capacity : 0;
	__u64 from = index < oldest ? oldest : index;
	__u64 end;

	if (from > head)
		from = head;
	end = head - from > request->count ? from + request->count : head;
	if (request->buffer_bytes / ring->record_bytes < end - from)
		return -ENOBUFS;
	return copy_range(ring, index, from, end, request->buffer, request->span);
}

/*
 * At most @count records from @index on, oldest first. Records that were already
 * overwritten are skipped and counted. An index ahead of the writer gives none.
 */
int kvmlog_ring_since(const struct kvmlog_ring *ring, __u64 index, __u64 count, void *buffer,
		      __u64 buffer_bytes, struct kvmlog_span *span)
{
	struct request request = { ring, index, count, buffer, buffer_bytes, span };

	return kvmlog_ring_guarded(ring, read_since, &request);
}

/* 1: all that `info_sequence` guards is of one moment. */
static int copy_header(const struct kvmlog_ring *ring, struct kvmlog_ring_header *copy)
{
	const __u64 *sequence = &ring->header->info_sequence;
	__u64 before = kvmlog_load_acquire(sequence);

	kvmlog_racing_copy(copy, ring->header, sizeof(*copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/* In this order: the reserve that was raised for a head is never missed. */
	copy->head = kvmlog_load_acquire(&ring->header->head);
	copy->reserve = kvmlog_load_relaxed(&ring->header->reserve);
	return !(before & 1) && before == kvmlog_load_relaxed(sequence);
}

struct header_request {
	const struct kvmlog_ring *ring;
	struct kvmlog_ring_header *copy;
};

static int read_header(void *argument)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MS };
	const struct header_request *request = argument;

	for (int i = 0; i < KVMLOG_INFO_YIELDS + KVMLOG_INFO_MS; i++) {
		if (copy_header(request->ring, request->copy))
			return 0;
		if (i < KVMLOG_INFO_YIELDS)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/*
 * A copy of the header with all that `info_sequence` guards of one moment. -EBUSY: the
 * writer died or stands still inside an update; the copy is made all the same, only what
 * is guarded may be of two moments.
 */
int kvmlog_ring_read_header(const struct kvmlog_ring *ring, struct kvmlog_ring_header *copy)
{
	struct header_request request = { ring, copy };

	return kvmlog_ring_guarded(ring, read_header, &request);
}
