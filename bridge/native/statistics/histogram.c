// SPDX-License-Identifier: GPL-2.0-or-later
/* Durations: from an entry's counts into octaves, and into a reason's histogram. */
#include <string.h>

#include "statistics/state.h"

/* So many durations of one step into the octaves, and into @reason's histogram unless NULL. */
static void add_step(struct kvmlog_statistics *statistics, struct kvmlog_statistics_reason *reason,
		     struct kvmlog_statistics_part *part, __u32 octave, __u32 step, __u64 count)
{
	__u32 block;

	part->octaves[octave] += count;
	if (!reason)
		return;
	block = reason->blocks[octave];
	if (block == KVMLOG_NO_BLOCK) {
		block = kvmlog_statistics_block(statistics);
		reason->blocks[octave] = block;
	}
	if (block == KVMLOG_NO_BLOCK || !kvmlog_statistics_is(statistics, blocks, block))
		part->overflow_block += count;
	else
		statistics->map.blocks[block].counts[step] += count;
}

/* Powers below 2^5 are one octave, in which each duration is a step. */
static __u32 octave_of(__u32 power)
{
	return power < 5 ? 0 : power - 4;
}

static __u32 power_of(__u64 ns)
{
	return 63 - (__u32)__builtin_clzll(ns);
}

static void add_power(struct kvmlog_statistics *statistics, struct kvmlog_statistics_entry *entry,
		      struct kvmlog_statistics_reason *reason, struct kvmlog_statistics_part *part,
		      __u32 power)
{
	__u16 *counts = &entry->counts[power * KVMLOG_HISTOGRAM_STEPS];

	for (__u32 four = 0; four < KVMLOG_HISTOGRAM_STEPS; four += 4) {
		__u64 any;

		memcpy(&any, &counts[four], sizeof(any));
		if (!any)
			continue;
		for (__u32 step = four; step < four + 4; step++) {
			__u32 place = step;

			if (!counts[step])
				continue;
			if (power < 5)
				place = (KVMLOG_HISTOGRAM_STEPS + step) >> (5 - power);
			add_step(statistics, reason, part, octave_of(power), place, counts[step]);
		}
		memset(&counts[four], 0, sizeof(any));
	}
}

/* The entry's durations into the sums and octaves, and into @reason's histogram unless NULL. */
void kvmlog_statistics_digest(struct kvmlog_statistics *statistics,
			      struct kvmlog_statistics_entry *entry,
			      struct kvmlog_statistics_reason *reason,
			      struct kvmlog_statistics_part *part)
{
	part->sums.count = (__u16)(entry->used - 1);
	part->sums.total_ns = entry->total_user_ns[0];
	part->sums.min_ns = entry->zeros ? 0 : entry->min_ns;
	part->sums.max_ns = entry->max_ns;
	part->first_octave = KVMLOG_HISTOGRAM_OCTAVES - 1;
	if (entry->min_ns <= entry->max_ns) {
		__u32 last = power_of(entry->max_ns);

		part->first_octave = octave_of(power_of(entry->min_ns));
		part->last_octave = octave_of(last);
		for (__u32 power = power_of(entry->min_ns); power <= last; power++)
			add_power(statistics, entry, reason, part, power);
	}
	if (entry->zeros) {
		part->first_octave = 0;
		add_step(statistics, reason, part, 0, 0, entry->zeros);
	}
	if (entry->beyond) {
		part->last_octave = KVMLOG_HISTOGRAM_OCTAVES - 1;
		part->sums.max_ns = entry->beyond_max_ns;
		if (entry->beyond_min_ns < part->sums.min_ns)
			part->sums.min_ns = entry->beyond_min_ns;
		add_step(statistics, reason, part, KVMLOG_HISTOGRAM_OCTAVES - 1,
			 KVMLOG_HISTOGRAM_STEPS - 1, entry->beyond);
	}
}
