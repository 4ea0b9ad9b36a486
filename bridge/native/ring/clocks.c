// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A pair stays what it was once records can have come under it; only one that begins in
 * the future may still be taken back. When there is no room the oldest goes: who asks for
 * a time before all pairs gets the oldest that is left.
 */
#include <string.h>

#include "ring/clocks.h"

static __u32 pairs(const struct kvmlog_ring_header *header)
{
	__u32 count = header->clock_count;

	/* A damaged file may say anything. */
	return count < KVMLOG_RING_CLOCKS ? count : KVMLOG_RING_CLOCKS;
}

/* The pair of a record's time; @header: a copy, or the writer's own. */
struct kvmlog_clock_pair kvmlog_clocks_at(const struct kvmlog_ring_header *header, __u64 ns)
{
	__u32 low = 0, high = pairs(header);

	if (!high)
		return (struct kvmlog_clock_pair){
			.realtime_offset_ns = (__s64)(header->realtime_ns - header->monotonic_ns),
			.utc_offset_s = header->utc_offset_s,
		};
	/* The last pair at or before ns is one of low .. high - 1, or there is none. */
	while (high - low > 1) {
		__u32 half = low + (high - low) / 2;

		if (header->clocks[half].from_ns <= ns)
			low = half;
		else
			high = half;
	}
	return header->clocks[low];
}

static void append(struct kvmlog_ring_header *header, __u64 from_ns, __s64 realtime_offset_ns,
		   __s32 utc_offset_s)
{
	__u32 count = pairs(header);

	if (count == KVMLOG_RING_CLOCKS) {
		count--;
		memmove(header->clocks, header->clocks + 1, count * sizeof(header->clocks[0]));
	}
	header->clocks[count] = (struct kvmlog_clock_pair){
		.from_ns = from_ns,
		.realtime_offset_ns = realtime_offset_ns,
		.utc_offset_s = utc_offset_s,
	};
	header->clock_count = count + 1;
}

/* A writer starts, on a ring that another may have left, perhaps before a restart of the host. */
void kvmlog_clocks_begin(struct kvmlog_ring_header *header, int same_boot)
{
	header->clock_count = same_boot ? pairs(header) : 0;
	/* What a writer that kept no pairs told of its records. */
	if (same_boot && !header->clock_count && header->monotonic_ns)
		append(header, 0, (__s64)(header->realtime_ns - header->monotonic_ns),
		       header->utc_offset_s);
}

static int shows(const struct kvmlog_ring_header *header, __s64 realtime_offset_ns,
		 __s32 utc_offset_s)
{
	const struct kvmlog_clock_pair *last;
	__u32 count = pairs(header);

	if (!count)
		return 0;
	last = &header->clocks[count - 1];
	return last->realtime_offset_ns == realtime_offset_ns && last->utc_offset_s == utc_offset_s;
}

/* From @now_ns on the clocks show this; nothing changes where they do already. */
void kvmlog_clocks_set(struct kvmlog_ring_header *header, __u64 now_ns, __s64 realtime_offset_ns,
		       const struct kvmlog_zone *zone)
{
	__u32 count = pairs(header);

	while (count && header->clocks[count - 1].from_ns > now_ns)
		count--;
	header->clock_count = count;
	if (!shows(header, realtime_offset_ns, zone->offset_s))
		append(header, now_ns, realtime_offset_ns, zone->offset_s);
	if (zone->next_from_s)
		append(header, zone->next_from_s * 1000000000 - (__u64)realtime_offset_ns,
		       realtime_offset_ns, zone->next_offset_s);
}
