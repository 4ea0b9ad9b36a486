// SPDX-License-Identifier: GPL-2.0-or-later
/* Counts that end: guests forgotten to make room, and all begun anew. */
#include "clock.h"
#include "statistics/state.h"
#include "statistics/statistics.h"

static int goes(struct kvmlog_statistics *statistics, const struct kvmlog_statistics_key *key,
		const __u8 *forgotten)
{
	__u32 guest = key->guest;

	return key->kind != KVMLOG_STATISTICS_FREE &&
	       kvmlog_statistics_is(statistics, guests, guest) && forgotten[guest];
}

static void forget_rows(struct kvmlog_statistics *statistics, const __u8 *forgotten)
{
	struct kvmlog_statistics_header *header = statistics->map.header;
	__u32 reasons = kvmlog_statistics_used(statistics, reasons);
	__u32 rows = kvmlog_statistics_used(statistics, rows);

	for (__u32 i = 0; i < reasons; i++) {
		struct kvmlog_statistics_reason *reason = &statistics->map.reasons[i];

		if (!goes(statistics, &reason->key, forgotten))
			continue;
		header->forgotten += reason->sums.count;
		header->forgotten_ns += reason->sums.total_ns;
		kvmlog_statistics_free_reason(statistics, reason);
	}
	for (__u32 i = 0; i < rows; i++) {
		struct kvmlog_statistics_row *row = &statistics->map.rows[i];

		if (goes(statistics, &row->key, forgotten))
			kvmlog_statistics_free_row(row);
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

/* See kvmlog_statistics_forget(). */
void kvmlog_statistics_forget_guests(struct kvmlog_statistics *statistics, const __u8 *forgotten,
				     const struct kvmlog_statistics_guest *listed)
{
	struct kvmlog_statistics_header *header = statistics->map.header;
	__u32 guests;

	kvmlog_statistics_fold_all(statistics);
	guests = kvmlog_statistics_used(statistics, guests);
	choose(statistics, forgotten, listed);
	kvmlog_sequence_begin(&header->generation);
	kvmlog_sequence_begin(&header->sequence);
	forget_rows(statistics, statistics->going);
	for (__u32 i = 0; i < guests; i++) {
		if (!statistics->going[i] ||
		    statistics->map.guests[i].state == KVMLOG_STATISTICS_GUEST_FREE)
			continue;
		kvmlog_statistics_guest_free(statistics, i);
		header->guests_forgotten++;
	}
	kvmlog_statistics_numbers_free(statistics);
	kvmlog_sequence_end(&header->sequence);
	kvmlog_statistics_index_all(statistics);
	kvmlog_sequence_end(&header->generation);
	kvmlog_statistics_fold_all(statistics);
}

/* See kvmlog_statistics_reset(). */
void kvmlog_statistics_begin_anew(struct kvmlog_statistics *statistics, __u64 realtime_ns)
{
	struct kvmlog_statistics_header *header = statistics->map.header;
	__u32 reasons, rows, guests;

	kvmlog_statistics_fold_all(statistics);
	/* After it: what was counted last may have taken places of its own. */
	reasons = kvmlog_statistics_used(statistics, reasons);
	rows = kvmlog_statistics_used(statistics, rows);
	guests = kvmlog_statistics_used(statistics, guests);
	kvmlog_sequence_begin(&header->generation);
	for (__u32 i = 0; i < reasons; i++)
		if (statistics->map.reasons[i].key.kind != KVMLOG_STATISTICS_FREE)
			kvmlog_statistics_free_reason(statistics, &statistics->map.reasons[i]);
	for (__u32 i = 0; i < rows; i++)
		if (statistics->map.rows[i].key.kind != KVMLOG_STATISTICS_FREE)
			kvmlog_statistics_free_row(&statistics->map.rows[i]);
	for (__u32 i = 0; i < guests; i++) {
		struct kvmlog_statistics_guest *guest = &statistics->map.guests[i];

		if (statistics->retired[i]) {
			kvmlog_statistics_guest_free(statistics, i);
			continue;
		}
		kvmlog_element_begin(&guest->sequence);
		guest->exits = 0;
		kvmlog_element_end(&guest->sequence);
	}
	kvmlog_statistics_numbers_free(statistics);
	kvmlog_sequence_begin(&header->sequence);
	header->since_realtime_ns = realtime_ns;
	header->since_ns = kvmlog_clock_ns(CLOCK_MONOTONIC);
	header->exits = 0;
	header->overflow = 0;
	header->overflow_ns = 0;
	header->overflow_row = 0;
	header->overflow_block = 0;
	header->forgotten = 0;
	header->forgotten_ns = 0;
	header->guests_forgotten = 0;
	kvmlog_statistics_set_used(&header->reasons_used, 0);
	kvmlog_statistics_set_used(&header->rows_used, 0);
	kvmlog_statistics_set_used(&header->blocks_used, 0);
	kvmlog_sequence_end(&header->sequence);
	kvmlog_statistics_index_all(statistics);
	kvmlog_sequence_end(&header->generation);
	kvmlog_statistics_fold_all(statistics);
}
