// SPDX-License-Identifier: GPL-2.0-or-later
/* The reasons of a copy one by one, each with what its histogram counts by octave. */
#include <string.h>

#include "statistics/query.h"

static void add_octaves(const struct kvmlog_statistics_map *copy,
			const struct kvmlog_statistics_reason *reason,
			struct kvmlog_statistics_histogram *out)
{
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		__u32 block = reason->blocks[octave];

		if (block == KVMLOG_NO_BLOCK || block >= copy->layout.blocks_capacity)
			continue;
		for (__u32 step = 0; step < KVMLOG_HISTOGRAM_STEPS; step++)
			out->octaves[octave] += copy->blocks[block].counts[step];
	}
}

/*
 * Writes the first @capacity reasons that have exits into @out, and returns how many those
 * are. There are no more of them than the header's reasons_used.
 */
__u32 kvmlog_statistics_histograms(const struct kvmlog_statistics_map *copy,
				   struct kvmlog_statistics_histogram *out, __u32 capacity)
{
	__u32 count = 0;

	for (__u32 i = 0; i < copy->header->reasons_used && count < capacity; i++) {
		const struct kvmlog_statistics_reason *reason = &copy->reasons[i];
		struct kvmlog_statistics_histogram *to = &out[count];

		if (reason->key.kind != KVMLOG_STATISTICS_REASON || !reason->sums.count ||
		    reason->key.guest >= copy->layout.guests_capacity)
			continue;
		memset(to, 0, sizeof(*to));
		to->guest = reason->key.guest;
		to->reason = reason->key.reason;
		to->isa = reason->key.isa;
		to->nested = !!(reason->key.flags & KVMLOG_STATISTICS_NESTED);
		to->handler = kvmlog_key_handler(reason->key.flags);
		to->halt = !!(reason->key.flags & KVMLOG_STATISTICS_HALT);
		to->sums = reason->sums;
		add_octaves(copy, reason, to);
		count++;
	}
	return count;
}
