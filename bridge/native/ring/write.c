// SPDX-License-Identifier: GPL-2.0-or-later
/* The writer's side: reserve, copy, publish, and losses among the records. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ring/writer.h"

/* NULL with errno set. The caller has taken the ring's lock file. */
struct kvmlog_writer *kvmlog_writer_new(int fd, __u64 capacity, __u64 record_bytes)
{
	struct kvmlog_writer *writer = calloc(1, sizeof(*writer));
	int rc;

	if (!writer)
		return NULL;
	rc = kvmlog_ring_map(&writer->ring, fd, capacity, record_bytes, 1);
	if (rc) {
		free(writer);
		errno = -rc;
		return NULL;
	}
	pthread_mutex_init(&writer->lock, NULL);

	/* A writer that was killed inside an update left the sequence odd. */
	if (writer->ring.header->info_sequence & 1)
		kvmlog_writer_info_end(writer);
	return writer;
}

void kvmlog_writer_free(struct kvmlog_writer *writer)
{
	if (!writer)
		return;
	kvmlog_ring_unmap(&writer->ring);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}

/* Announces that the slots of the next @count records are being overwritten. */
void kvmlog_writer_reserve(struct kvmlog_writer *writer, __u64 count)
{
	struct kvmlog_ring_header *header = writer->ring.header;
	__u64 end = header->head + count;

	if (header->reserve < end)
		__atomic_store_n(&header->reserve, end, __ATOMIC_RELAXED);

	/* Pairs with the acquire fence in copy_range(). */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Makes the next @count records, which are in their slots, visible. */
void kvmlog_writer_publish(struct kvmlog_writer *writer, __u64 count)
{
	struct kvmlog_ring_header *header = writer->ring.header;

	/* Pairs with the acquire load of head in the readers. */
	__atomic_store_n(&header->head, header->head + count, __ATOMIC_RELEASE);
}

/* Fills the slots from head on; @count is at most the capacity. */
void kvmlog_writer_copy(struct kvmlog_writer *writer, const void *records, __u64 count)
{
	const struct kvmlog_ring *ring = &writer->ring;
	__u64 head = ring->header->head;
	__u64 first = kvmlog_ring_until_wrap(ring, head, count);
	__u64 bytes = first * ring->record_bytes;

	memcpy(kvmlog_ring_slot(ring, head), records, bytes);
	memcpy(ring->slots, (const __u8 *)records + bytes, (count - first) * ring->record_bytes);
}

/* So many EXIT records were among those published since this was last called. */
void kvmlog_writer_count(struct kvmlog_writer *writer, __u64 exits)
{
	struct kvmlog_ring_header *header = writer->ring.header;

	header->exits += exits;
	header->exits_head = header->head;
}

static __u64 exits_among(const struct kvmlog_ring *ring, __u64 from, __u64 end)
{
	__u64 exits = 0;

	for (; from != end; from++)
		exits += *kvmlog_ring_slot(ring, from) == KVMLOG_RECORD_EXIT;
	return exits;
}

/*
 * All EXIT records since the ring was made: a writer that was killed may have published
 * some that it did not come to count. Of a ring made by one that counted none, those that
 * are still there.
 */
__u64 kvmlog_writer_recount(struct kvmlog_writer *writer)
{
	const struct kvmlog_ring *ring = &writer->ring;
	__u64 head, from, exits;

	pthread_mutex_lock(&writer->lock);
	head = ring->header->head;
	from = ring->header->exits_head < head ? ring->header->exits_head : head;
	if (head - from > ring->capacity)
		from = head - ring->capacity;
	kvmlog_writer_count(writer, exits_among(ring, from, head));
	exits = ring->header->exits;
	pthread_mutex_unlock(&writer->lock);
	return exits;
}

/* Any number of records; those that would lap the ring are written in rounds. */
void kvmlog_writer_append(struct kvmlog_writer *writer, const void *records, __u64 count)
{
	const __u8 *from = records;

	pthread_mutex_lock(&writer->lock);
	while (count) {
		__u64 part = count < writer->ring.capacity ? count : writer->ring.capacity;

		kvmlog_writer_reserve(writer, part);
		kvmlog_writer_copy(writer, from, part);
		kvmlog_writer_publish(writer, part);
		kvmlog_writer_count(writer,
				    exits_among(&writer->ring, writer->ring.header->head - part,
						writer->ring.header->head));
		from += part * writer->ring.record_bytes;
		count -= part;
	}
	pthread_mutex_unlock(&writer->lock);
}

void kvmlog_writer_info_begin(struct kvmlog_writer *writer)
{
	__u64 *sequence = &writer->ring.header->info_sequence;

	__atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

void kvmlog_writer_info_end(struct kvmlog_writer *writer)
{
	__u64 *sequence = &writer->ring.header->info_sequence;

	__atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELEASE);
}

/* Says at this place of the stream that records are missing. */
void kvmlog_writer_note_loss(struct kvmlog_writer *writer, const struct kvmlog_loss_note *note)
{
	struct kvmlog_ring_header *header = writer->ring.header;
	struct kvmlog_record_loss loss = {
		.type = KVMLOG_RECORD_LOSS,
		.source = KVMLOG_SOURCE_ENGINE,
		.ns = note->ns ? note->ns : kvmlog_clock_ns(CLOCK_MONOTONIC),
		.lost = note->lost,
		.cause = note->cause,
		.total = note->total,
		.config_epoch = header->config_epoch,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = note->cpu,
	};

	/* Only the tests make rings of other record sizes; those hold no LOSS. */
	if (writer->ring.record_bytes == sizeof(loss)) {
		kvmlog_writer_reserve(writer, 1);
		kvmlog_writer_copy(writer, &loss, 1);
		kvmlog_writer_publish(writer, 1);
	}
	kvmlog_writer_info_begin(writer);
	if (note->cause == KVMLOG_LOSS_MESSAGE)
		header->lost_messages += note->lost;
	else
		header->lost_records += note->lost;
	kvmlog_writer_info_end(writer);
}

void kvmlog_writer_loss(struct kvmlog_writer *writer, __u32 cause, __u64 lost, __u64 total,
			__u16 cpu)
{
	struct kvmlog_loss_note note = { .cause = cause, .cpu = cpu, .lost = lost, .total = total };

	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_note_loss(writer, &note);
	pthread_mutex_unlock(&writer->lock);
}
