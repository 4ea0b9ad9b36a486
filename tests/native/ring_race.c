// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Both ends of the torn-record test: records whose every word follows from their
 * index, so that one mixed word shows. Also the control, a reader that trusts
 * head alone: it must find torn records, or the test proves nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "testing.h"

/* Word 0 is never that of a LOSS record, which a restarting writer puts between. */
static __u64 word_of(__u64 index, __u64 word)
{
	return word ? (index + word) * 0x9e3779b97f4a7c15ULL : ~index;
}

static void fill_record(__u64 *record, __u64 index, __u64 words)
{
	for (__u64 i = 0; i < words; i++)
		record[i] = word_of(index, i);
}

static int is_loss(const __u64 *record, __u64 bytes)
{
	struct kvmlog_record_loss loss;

	if (bytes != sizeof(loss))
		return 0;
	memcpy(&loss, record, sizeof(loss));
	return loss.type == KVMLOG_RECORD_LOSS && loss.source == KVMLOG_SOURCE_ENGINE &&
	       loss.cause == KVMLOG_LOSS_RESTART && loss.vcpu == KVMLOG_NO_VCPU &&
	       loss.cpu == KVMLOG_NO_CPU && !loss.guest && !loss.reserved4;
}

static int is_whole(const __u64 *record, __u64 index, __u64 bytes)
{
	for (__u64 i = 0; i < bytes / 8; i++)
		if (record[i] != word_of(index, i))
			return is_loss(record, bytes);
	return 1;
}

/*
 * Writes until head has grown by @records, in batches of 1 to @batch, which reserve
 * @batch each time as the pump does.
 */
void kvmlog_test_race_write(struct kvmlog_writer *writer, __u64 records, __u64 batch)
{
	const struct kvmlog_ring *ring = &writer->ring;
	__u64 end = ring->header->head + records;

	while (ring->header->head < end) {
		__u64 head = ring->header->head;
		__u64 count = 1 + (head * 7919) % batch;

		if (count > end - head)
			count = end - head;
		pthread_mutex_lock(&writer->lock);
		kvmlog_writer_reserve(writer, batch);
		for (__u64 i = 0; i < count; i++)
			fill_record((__u64 *)kvmlog_ring_slot(ring, head + i), head + i,
				    ring->record_bytes / 8);
		kvmlog_writer_publish(writer, count);
		pthread_mutex_unlock(&writer->lock);
	}
}

/*
 * Moves reserve and head @batches times as fast as they can be moved: batches of one
 * record, whose slot stays as it is.
 */
void kvmlog_test_race_counts(struct kvmlog_writer *writer, __u64 batches)
{
	while (batches--) {
		pthread_mutex_lock(&writer->lock);
		kvmlog_writer_reserve(writer, 1);
		kvmlog_writer_publish(writer, 1);
		pthread_mutex_unlock(&writer->lock);
	}
}

/* The control: the newest records by head alone. */
static void newest_by_head(const struct kvmlog_ring *ring, __u64 count, __u8 *buffer,
			   struct kvmlog_span *span)
{
	__u64 head = kvmlog_load_acquire(&ring->header->head);

	if (count > head)
		count = head;
	for (__u64 i = 0; i < count; i++)
		memcpy(buffer + i * ring->record_bytes, kvmlog_ring_slot(ring, head - count + i),
		       ring->record_bytes);
	*span = (struct kvmlog_span){ .first_index = head - count, .next_index = head };
}

/* Takes snapshots of @count records until head has reached @until; 0 or -errno. */
int kvmlog_test_race_read(const struct kvmlog_ring *ring, __u64 until, __u64 count, int head_only,
			  struct kvmlog_test_race *result)
{
	__u64 bytes = count * ring->record_bytes;
	__u8 *buffer = malloc(bytes);
	struct kvmlog_span span = { 0 };
	int rc = 0;

	if (!buffer)
		return -ENOMEM;
	while (span.next_index < until) {
		if (head_only)
			newest_by_head(ring, count, buffer, &span);
		else
			rc = kvmlog_ring_newest(ring, count, buffer, bytes, &span);
		if (rc)
			break;
		for (__u64 i = span.first_index; i < span.next_index; i++) {
			const __u8 *record =
				buffer + span.offset + (i - span.first_index) * ring->record_bytes;

			result->torn += !is_whole((const __u64 *)record, i, ring->record_bytes);
			result->read++;
		}
		result->overwritten += span.overwritten;
		result->snapshots++;
	}
	free(buffer);
	return rc;
}
