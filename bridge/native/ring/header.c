// SPDX-License-Identifier: GPL-2.0-or-later
/* What the writer says in the ring's header: that it runs, its clocks, its source's counters. */
#include <string.h>
#include <time.h>

#include "clock.h"
#include "ring/clocks.h"
#include "ring/writer.h"

static void write_clocks(struct kvmlog_writer *writer, const struct kvmlog_zone *zone)
{
	struct kvmlog_ring_header *header = writer->ring.header;
	__s64 real_ns = writer->watch.real_told_ns;
	__u64 now_ns = kvmlog_clock_ns(CLOCK_MONOTONIC);

	header->monotonic_ns = now_ns;
	header->realtime_ns = now_ns + (__u64)real_ns;
	header->boottime_ns = now_ns + (__u64)writer->watch.boot_told_ns;
	header->utc_offset_s = zone->offset_s;
	kvmlog_clocks_set(header, now_ns, real_ns, zone);
}

/* This process is the writer from here on. @boot_id: 16 bytes. */
void kvmlog_writer_start(struct kvmlog_writer *writer, __u32 pid, __u64 start_ticks,
			 const __u8 *boot_id)
{
	struct kvmlog_ring_header *header = writer->ring.header;
	struct kvmlog_zone zone = kvmlog_zone_at(kvmlog_clock_ns(CLOCK_REALTIME));
	int same_boot;

	pthread_mutex_lock(&writer->lock);
	same_boot = !memcmp(header->boot_id, boot_id, sizeof(header->boot_id));
	kvmlog_watch_begin(&writer->watch);
	kvmlog_writer_info_begin(writer);
	header->writer_pid = pid;
	header->writer_start_ticks = start_ticks;
	memcpy(header->boot_id, boot_id, sizeof(header->boot_id));
	header->switched_on = 0;
	header->state = KVMLOG_RING_RUNNING;
	kvmlog_clocks_begin(header, same_boot);
	if (header->clock_count)
		kvmlog_watch_continue(&writer->watch,
				      kvmlog_clocks_at(header, kvmlog_clock_ns(CLOCK_MONOTONIC))
					      .realtime_offset_ns);
	write_clocks(writer, &zone);
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

void kvmlog_writer_state(struct kvmlog_writer *writer, __u32 state)
{
	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	writer->ring.header->state = state;
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

void kvmlog_writer_switched(struct kvmlog_writer *writer, __u32 on, __u32 source)
{
	struct kvmlog_ring_header *header = writer->ring.header;

	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	if (on)
		header->source = source;
	header->switched_on = on;
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

/* The statistics file that belongs to the ring; @id is 16 bytes long. */
void kvmlog_writer_statistics(struct kvmlog_writer *writer, const __u8 *id)
{
	struct kvmlog_ring_header *header = writer->ring.header;

	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	memcpy(header->statistics_id, id, sizeof(header->statistics_id));
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

void kvmlog_writer_counters(struct kvmlog_writer *writer, const struct kvmlog_counters *counters)
{
	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	writer->ring.header->counters = *counters;
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

/*
 * The clocks as the writer's watch saw them last, and the zone. Returns how many seconds
 * local time has moved since the last heartbeat.
 */
__s32 kvmlog_writer_heartbeat(struct kvmlog_writer *writer)
{
	struct kvmlog_zone zone = kvmlog_zone_at(kvmlog_clock_ns(CLOCK_REALTIME));
	__s32 moved_s;

	pthread_mutex_lock(&writer->lock);
	moved_s = zone.offset_s - writer->ring.header->utc_offset_s;
	kvmlog_writer_info_begin(writer);
	write_clocks(writer, &zone);
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
	return moved_s;
}

void kvmlog_writer_header(struct kvmlog_writer *writer, struct kvmlog_ring_header *copy)
{
	pthread_mutex_lock(&writer->lock);
	memcpy(copy, writer->ring.header, sizeof(*copy));
	pthread_mutex_unlock(&writer->lock);
}
