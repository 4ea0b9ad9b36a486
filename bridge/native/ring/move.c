// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From a ring file that has lost its name into a new one, without missing a record: all that
 * stands in the old one is copied while it is being written, what came meanwhile under the lock.
 */
#include <stddef.h>
#include <string.h>

#include "racing.h"
#include "ring/writer.h"

static void copy_between(const struct kvmlog_ring *from, const struct kvmlog_ring *to, __u64 index,
			 __u64 end)
{
	while (index != end) {
		__u64 part = kvmlog_ring_until_wrap(from, index, end - index);

		kvmlog_racing_copy(kvmlog_ring_slot(to, index), kvmlog_ring_slot(from, index),
				   part * from->record_bytes);
		index += part;
	}
}

/* All of the header but the sequence, reserve and head. */
static void copy_info(const struct kvmlog_ring_header *from, struct kvmlog_ring_header *to)
{
	const size_t guarded = offsetof(struct kvmlog_ring_header, monotonic_ns);

	memcpy(to, from, offsetof(struct kvmlog_ring_header, info_sequence));
	memcpy((__u8 *)to + guarded, (const __u8 *)from + guarded,
	       offsetof(struct kvmlog_ring_header, reserve) - guarded);
	memcpy(to->clocks, from->clocks, sizeof(to->clocks));
}

/*
 * Maps the file @fd, of the same geometry, into @fresh and copies the ring. Whoever opens it
 * then finds a ring as it was a moment ago. -errno.
 */
int kvmlog_writer_copy_to(struct kvmlog_writer *writer, int fd, struct kvmlog_ring *fresh)
{
	const struct kvmlog_ring *ring = &writer->ring;
	int rc = kvmlog_ring_map(fresh, fd, ring->capacity, ring->record_bytes, 1);
	__u64 head;

	if (rc)
		return rc;
	pthread_mutex_lock(&writer->lock);
	memcpy(fresh->header, ring->header, KVMLOG_RING_HEADER_BYTES);
	pthread_mutex_unlock(&writer->lock);
	head = fresh->header->head;
	copy_between(ring, fresh, head < ring->capacity ? 0 : head - ring->capacity, head);

	/* Records that the writer began to overwrite meanwhile are torn, as for any reader. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	fresh->header->reserve = kvmlog_load_relaxed(&ring->header->reserve);
	return 0;
}

/*
 * Writes on in @fresh, which kvmlog_writer_copy_to() has filled, and tells readers of the old
 * file to reopen. @fresh is the old one's mapping afterwards.
 */
void kvmlog_writer_move(struct kvmlog_writer *writer, struct kvmlog_ring *fresh)
{
	struct kvmlog_ring old;
	__u64 head, from;

	pthread_mutex_lock(&writer->lock);
	old = writer->ring;
	head = old.header->head;
	from = fresh->header->head;
	if (head - from > old.capacity)
		from = head - old.capacity;
	__atomic_store_n(&fresh->header->reserve, old.header->reserve, __ATOMIC_RELAXED);
	/* Pairs with the acquire fence in copy_range(). */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	copy_between(&old, fresh, from, head);
	writer->ring = *fresh;
	kvmlog_writer_info_begin(writer);
	copy_info(old.header, fresh->header);
	kvmlog_writer_info_end(writer);
	__atomic_store_n(&fresh->header->head, head, __ATOMIC_RELEASE);
	__atomic_store_n(&old.header->state, KVMLOG_RING_REPLACED, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&writer->lock);
	*fresh = old;
}
