// SPDX-License-Identifier: GPL-2.0-or-later
/* Rows that change their owner: guests forgotten, two found to be one, all begun anew. */
#include <string.h>

#include "statistics/statistics.h"

static void free_block(struct kvmlog_statistics *statistics, __u32 *block)
{
	if (*block != KVMLOG_NO_BLOCK)
		statistics->free_blocks[statistics->free_blocks_count++] = *block;
	*block = KVMLOG_NO_BLOCK;
}

static void free_reason(struct kvmlog_statistics *statistics,
			struct kvmlog_statistics_reason *reason)
{
	kvmlog_element_begin(&reason->sequence);
	reason->key.kind = KVMLOG_STATISTICS_FREE;
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++)
		free_block(statistics, &reason->blocks[octave]);
	kvmlog_element_end(&reason->sequence);
}

static void free_row(struct kvmlog_statistics_row *row)
{
	kvmlog_element_begin(&row->sequence);
	row->key.kind = KVMLOG_STATISTICS_FREE;
	kvmlog_element_end(&row->sequence);
}

static void free_guest(struct kvmlog_statistics *statistics, __u32 number)
{
	struct kvmlog_statistics_guest *guest = &statistics->map.guests[number];

	if (guest->state == KVMLOG_STATISTICS_GUEST_FREE)
		return;
	kvmlog_element_begin(&guest->sequence);
	guest->state = KVMLOG_STATISTICS_GUEST_FREE;
	kvmlog_element_end(&guest->sequence);
	statistics->map.header->guests_free++;
}

/* A number that means nobody any more must not lead to who takes its guest's place. */
static void free_numbers(struct kvmlog_statistics *statistics)
{
	for (__u32 i = 0; i <= statistics->numbers_mask; i++) {
		struct kvmlog_statistics_number *number = &statistics->numbers[i];

		if (number->key && number->guest != KVMLOG_NO_ROW &&
		    statistics->map.guests[number->guest].state == KVMLOG_STATISTICS_GUEST_FREE)
			number->guest = KVMLOG_NO_ROW;
	}
}

static void merge_reason(struct kvmlog_statistics *statistics,
			 struct kvmlog_statistics_reason *from, struct kvmlog_statistics_reason *to)
{
	kvmlog_element_begin(&to->sequence);
	kvmlog_sums_add(&to->sums, &from->sums);
	to->details += from->details;
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		__u32 *mine = &to->blocks[octave];
		__u32 *other = &from->blocks[octave];

		if (*mine == KVMLOG_NO_BLOCK) {
			*mine = *other;
			*other = KVMLOG_NO_BLOCK;
		} else if (*other != KVMLOG_NO_BLOCK) {
			for (__u32 step = 0; step < KVMLOG_HISTOGRAM_STEPS; step++)
				statistics->map.blocks[*mine].counts[step] +=
					statistics->map.blocks[*other].counts[step];
		}
	}
	kvmlog_element_end(&to->sequence);
	free_reason(statistics, from);
}

static void merge_row(struct kvmlog_statistics_row *from, struct kvmlog_statistics_row *to)
{
	kvmlog_element_begin(&to->sequence);
	kvmlog_sums_add(&to->sums, &from->sums);
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++)
		to->octaves[octave] += from->octaves[octave];
	kvmlog_element_end(&to->sequence);
	free_row(from);
}

static void move_reasons(struct kvmlog_statistics *statistics, __u32 from, __u32 to)
{
	for (__u32 i = 0; i < statistics->map.header->reasons_used; i++) {
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
	for (__u32 i = 0; i < statistics->map.header->rows_used; i++) {
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
void kvmlog_statistics_move_guest(struct kvmlog_statistics *statistics, __u32 from, __u32 to)
{
	struct kvmlog_statistics_guest *guests = statistics->map.guests;

	kvmlog_statistics_fold_all(statistics);
	kvmlog_statistics_change_begin(statistics);
	move_reasons(statistics, from, to);
	move_rows(statistics, from, to);
	kvmlog_element_begin(&guests[to].sequence);
	guests[to].exits += guests[from].exits;
	guests[to].last_ns = guests[from].last_ns;
	kvmlog_element_end(&guests[to].sequence);
	free_guest(statistics, from);
	free_numbers(statistics);
	kvmlog_statistics_index_all(statistics);
	kvmlog_statistics_change_end(statistics);
}

static void forget_rows(struct kvmlog_statistics *statistics, const __u8 *forgotten)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	for (__u32 i = 0; i < header->reasons_used; i++) {
		struct kvmlog_statistics_reason *reason = &statistics->map.reasons[i];

		if (reason->key.kind == KVMLOG_STATISTICS_FREE || !forgotten[reason->key.guest])
			continue;
		header->forgotten += reason->sums.count;
		header->forgotten_ns += reason->sums.total_ns;
		free_reason(statistics, reason);
	}
	for (__u32 i = 0; i < header->rows_used; i++) {
		struct kvmlog_statistics_row *row = &statistics->map.rows[i];

		if (row->key.kind != KVMLOG_STATISTICS_FREE && forgotten[row->key.guest])
			free_row(row);
	}
}

/* Who goes: of those asked for all that have neither exited nor changed since they were listed. */
static void choose(const struct kvmlog_statistics *statistics, const __u8 *forgotten,
		   const struct kvmlog_statistics_guest *listed)
{
	for (__u32 i = 0; i < statistics->map.layout.guests_capacity; i++)
		statistics->going[i] = forgotten[i] &&
				       listed[i].sequence == statistics->map.guests[i].sequence;
}

/*
 * Makes room: @forgotten has a 1 for each guest of the table that goes, unless it turns out
 * to run: something has happened to it since kvmlog_statistics_list() told @listed.
 */
void kvmlog_statistics_forget(struct kvmlog_statistics *statistics, const __u8 *forgotten,
			      const struct kvmlog_statistics_guest *listed)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_fold_all(statistics);
	choose(statistics, forgotten, listed);
	kvmlog_statistics_change_begin(statistics);
	kvmlog_statistics_header_begin(statistics);
	forget_rows(statistics, statistics->going);
	for (__u32 i = 0; i < header->guests_used; i++) {
		if (!statistics->going[i] ||
		    statistics->map.guests[i].state == KVMLOG_STATISTICS_GUEST_FREE)
			continue;
		free_guest(statistics, i);
		header->guests_forgotten++;
	}
	free_numbers(statistics);
	kvmlog_statistics_header_end(statistics);
	kvmlog_statistics_index_all(statistics);
	kvmlog_statistics_change_end(statistics);
	kvmlog_statistics_fold_all(statistics);
	pthread_mutex_unlock(statistics->lock);
}

/* All counts begin again at nothing; guests stay known. */
void kvmlog_statistics_reset(struct kvmlog_statistics *statistics, __u64 realtime_ns)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_fold_all(statistics);
	kvmlog_statistics_change_begin(statistics);
	for (__u32 i = 0; i < header->reasons_used; i++)
		if (statistics->map.reasons[i].key.kind != KVMLOG_STATISTICS_FREE)
			free_reason(statistics, &statistics->map.reasons[i]);
	for (__u32 i = 0; i < header->rows_used; i++)
		if (statistics->map.rows[i].key.kind != KVMLOG_STATISTICS_FREE)
			free_row(&statistics->map.rows[i]);
	for (__u32 i = 0; i < header->guests_used; i++) {
		struct kvmlog_statistics_guest *guest = &statistics->map.guests[i];

		if (statistics->retired[i]) {
			free_guest(statistics, i);
			continue;
		}
		kvmlog_element_begin(&guest->sequence);
		guest->exits = 0;
		kvmlog_element_end(&guest->sequence);
	}
	free_numbers(statistics);
	kvmlog_statistics_header_begin(statistics);
	header->since_realtime_ns = realtime_ns;
	header->since_ns = kvmlog_statistics_clock_ns();
	header->exits = 0;
	header->overflow = 0;
	header->overflow_ns = 0;
	header->overflow_row = 0;
	header->overflow_block = 0;
	header->forgotten = 0;
	header->forgotten_ns = 0;
	header->guests_forgotten = 0;
	header->reasons_used = 0;
	header->rows_used = 0;
	header->blocks_used = 0;
	kvmlog_statistics_header_end(statistics);
	kvmlog_statistics_index_all(statistics);
	kvmlog_statistics_change_end(statistics);
	kvmlog_statistics_fold_all(statistics);
	pthread_mutex_unlock(statistics->lock);
}
