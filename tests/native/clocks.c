// SPDX-License-Identifier: GPL-2.0-or-later
/* Clocks that are set and zones that change, without the host's doing so. */
#include "ring/clocks.h"
#include "testing.h"

/* As in a ring that no writer has started on. */
void kvmlog_test_forget_clocks(struct kvmlog_writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	writer->ring.header->clock_count = 0;
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

/* From @now_ns on the ring's header tells this, as if its watch had found it. @next_from_s: 0 or
 * the second of CLOCK_REALTIME at which the zone changes to @next_offset_s.
 */
void kvmlog_test_clock(struct kvmlog_writer *writer, __u64 now_ns, __s64 realtime_offset_ns,
		       __s32 utc_offset_s, __s32 next_offset_s, __u64 next_from_s)
{
	struct kvmlog_zone zone = { utc_offset_s, next_offset_s, next_from_s };

	pthread_mutex_lock(&writer->lock);
	kvmlog_writer_info_begin(writer);
	kvmlog_clocks_set(writer->ring.header, now_ns, realtime_offset_ns, &zone);
	kvmlog_writer_info_end(writer);
	pthread_mutex_unlock(&writer->lock);
}

/* The zone of this process at that time: offset_s; 0 or next_from_s, and next_offset_s. */
__s32 kvmlog_test_zone(__u64 realtime_ns, __u64 *next_from_s, __s32 *next_offset_s)
{
	struct kvmlog_zone zone = kvmlog_zone_at(realtime_ns);

	*next_from_s = zone.next_from_s;
	*next_offset_s = zone.next_offset_s;
	return zone.offset_s;
}
