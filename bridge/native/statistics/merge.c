// SPDX-License-Identifier: GPL-2.0-or-later
/* Two guests of the table that turned out to be one: what both counted is added up. */
#include "statistics/state.h"
#include "statistics/statistics.h"

static void merge_reason(struct kvmlog_statistics *statistics,
			 struct kvmlog_statistics_reason *from, struct kvmlog_statistics_reason *to)
{
	kvmlog_element_begin(&to->sequence);
	kvmlog_sums_add(&to->sums, &from->sums);
	to->evicted_ns += from->evicted_ns;
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		__u32 mine = to->blocks[octave];
		__u32 other = from->blocks[octave];

		if (!kvmlog_statistics_is(statistics, blocks, mine) ||
		    !kvmlog_statistics_is(statistics, blocks, other))
			continue;
		if (mine == KVMLOG_NO_BLOCK) {
			to->blocks[octave] = other;
			from->blocks[octave] = KVMLOG_NO_BLOCK;
		} else if (other != KVMLOG_NO_BLOCK) {
			for (__u32 step = 0; step < KVMLOG_HISTOGRAM_STEPS; step++)
				statistics->map.blocks[mine].counts[step] +=
					statistics->map.blocks[other].counts[step];
		}
	}
	kvmlog_element_end(&to->sequence);
	kvmlog_statistics_free_reason(statistics, from);
}

static void merge_row(struct kvmlog_statistics_row *from, struct kvmlog_statistics_row *to)
{
	kvmlog_element_begin(&to->sequence);
	kvmlog_sums_add(&to->sums, &from->sums);
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++)
		to->octaves[octave] += from->octaves[octave];
	kvmlog_element_end(&to->sequence);
	kvmlog_statistics_free_row(from);
}

static void move_reasons(struct kvmlog_statistics *statistics, __u32 from, __u32 to)
{
	__u32 reasons = kvmlog_statistics_used(statistics, reasons);

	for (__u32 i = 0; i < reasons; i++) {
		struct kvmlog_statistics_reason *reason = &statistics->map.reasons[i];
		struct kvmlog_statistics_key key = reason->key;
		__u32 target;

		if (key.kind == KVMLOG_STATISTICS_FREE || key.guest != from)
			continue;
		key.guest = to;
		target = kvmlog_statistics_find_reason(statistics, &key, 0);
		if (target != KVMLOG_NO_ROW) {
			merge_reason(statistics, reason, &statistics->map.reasons[target]);
			continue;
		}
		kvmlog_element_begin(&reason->sequence);
		reason->key = key;
		kvmlog_element_end(&reason->sequence);
	}
}

static void move_rows(struct kvmlog_statistics *statistics, __u32 from, __u32 to)
{
	__u32 rows = kvmlog_statistics_used(statistics, rows);

	for (__u32 i = 0; i < rows; i++) {
		struct kvmlog_statistics_row *row = &statistics->map.rows[i];
		struct kvmlog_statistics_key key = row->key;
		__u32 target;

		if (key.kind == KVMLOG_STATISTICS_FREE || key.guest != from)
			continue;
		key.guest = to;
		target = kvmlog_statistics_find_row(statistics, &key, 0);
		if (target != KVMLOG_NO_ROW) {
			merge_row(row, &statistics->map.rows[target]);
			continue;
		}
		kvmlog_element_begin(&row->sequence);
		row->key = key;
		kvmlog_element_end(&row->sequence);
	}
}

/* Guest @from turned out to be @to: all that it counted is added there. */
void kvmlog_statistics_merge_guests(struct kvmlog_statistics *statistics, __u32 from, __u32 to)
{
	struct kvmlog_statistics_guest *guests = statistics->map.guests;
	__u64 *generation = &statistics->map.header->generation;

	kvmlog_statistics_fold_all(statistics);
	kvmlog_sequence_begin(generation);
	move_reasons(statistics, from, to);
	move_rows(statistics, from, to);
	kvmlog_element_begin(&guests[to].sequence);
	guests[to].exits += guests[from].exits;
	guests[to].last_ns = guests[from].last_ns;
	kvmlog_element_end(&guests[to].sequence);
	kvmlog_statistics_guest_free(statistics, from);
	kvmlog_statistics_numbers_free(statistics);
	kvmlog_statistics_index_all(statistics);
	kvmlog_statistics_details_merged(statistics, to);
	kvmlog_sequence_end(generation);
}
