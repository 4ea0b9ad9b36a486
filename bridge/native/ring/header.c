// SPDX-License-Identifier: GPL-2.0-or-later
/* What the writer says in the ring's header: that it runs, its clocks, its source's counters. */
#include <string.h>
#include <time.h>

#include "clock.h"
#include "ring/writer.h"

/* How far local time is east of UTC. Reads a file: not under the lock. */
static __s32 utc_offset_s(void)
{
	time_t now = time(NULL);
	struct tm local;

	/* localtime_r() looks at /etc/localtime only once: the zone may change. */
	tzset();
	return localtime_r(&now, &local) ? (__s32)local.tm_gmtoff : 0;
}

static void write_clocks(struct kvmlog_ring_header *header, __s32 offset_s)
{
	header->monotonic_ns = kvmlog_clock_ns(CLOCK_MONOTONIC);
	header->realtime_ns = kvmlog_clock_ns(CLOCK_REALTIME);
	header->boottime_ns = kvmlog_clock_ns(CLOCK_BOOTTIME);
	header->utc_offset_s = offset_s;
}

/* This process is the writer from here on. @boot_id: 16 bytes. */
void kvmlog_writer_start(struct kvmlog_writer *writer, __u32 pid, __u64 start_ticks,
			 const __u8 *boot_id)
{
	struct kvmlog_ring_header *header = writer->ring.header;
	__s32 offset_s = utc_offset_s();

	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	header->writer_pid = pid;
	header->writer_start_ticks = start_ticks;
	memcpy(header->boot_id, boot_id, sizeof(header->boot_id));
	header->switched_on = 0;
	header->state = KVMLOG_RING_RUNNING;
	write_clocks(header, offset_s);
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

void kvmlog_writer_heartbeat(struct kvmlog_writer *writer)
{
	__s32 offset_s = utc_offset_s();

	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	write_clocks(writer->ring.header, offset_s);
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

void kvmlog_writer_header(struct kvmlog_writer *writer, struct kvmlog_ring_header *copy)
{
	pthread_mutex_lock(&writer->lock);
	memcpy(copy, writer->ring.header, sizeof(*copy));
	pthread_mutex_unlock(&writer->lock);
}
