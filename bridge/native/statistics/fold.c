// SPDX-License-Identifier: GPL-2.0-or-later
/* From an entry of the cache into the rows of the file. */
#include <string.h>

#include "clock.h"
#include "statistics/state.h"
#include "statistics/statistics.h"

static void add_row(struct kvmlog_statistics_row *row, struct kvmlog_statistics_part *part)
{
	if (!row) {
		part->overflow_row += part->sums.count;
		return;
	}
	kvmlog_element_begin(&row->sequence);
	kvmlog_sums_add(&row->sums, &part->sums);
	if (row->key.kind != KVMLOG_STATISTICS_RETURN)
		for (__u32 i = part->first_octave; i <= part->last_octave; i++)
			row->octaves[i] += part->octaves[i];
	kvmlog_element_end(&row->sequence);
}

/* The rows that an entry's exits count in; KVMLOG_NO_ROW: there is no room. */
struct places {
	__u32 reason;
	__u32 rows[KVMLOG_STATISTICS_RETURN + 1]; /* by kind, from KVMLOG_STATISTICS_VCPU on */
};

static struct places find_places(struct kvmlog_statistics *statistics,
				 const struct kvmlog_alike *alike,
				 const struct kvmlog_statistics_entry *entry)
{
	struct kvmlog_statistics_key common = {
		.reason = alike->reason,
		.isa = alike->isa,
		.flags = kvmlog_alike_flags(alike),
	};
	struct places places;
	struct kvmlog_statistics_key key;

	memset(&places, 0xff, sizeof(places));
	common.guest = kvmlog_statistics_guest_of(statistics, alike->source, alike->guest_number);
	if (common.guest == KVMLOG_NO_ROW)
		return places;
	key = common;
	key.kind = KVMLOG_STATISTICS_REASON;
	places.reason = kvmlog_statistics_find_reason(statistics, &key, 1);

	key = common;
	key.kind = KVMLOG_STATISTICS_VCPU;
	key.vcpu = alike->vcpu;
	places.rows[KVMLOG_STATISTICS_VCPU] = kvmlog_statistics_find_row(statistics, &key, 1);

	if (places.reason != KVMLOG_NO_ROW) {
		key = common;
		key.kind = KVMLOG_STATISTICS_DETAIL;
		kvmlog_alike_detail(alike, entry, &key);
		places.rows[KVMLOG_STATISTICS_DETAIL] =
			kvmlog_statistics_detail(statistics, alike, &key, places.reason);
	}

	key = common;
	key.kind = KVMLOG_STATISTICS_RETURN;
	key.user_reason = alike->user_reason;
	places.rows[KVMLOG_STATISTICS_RETURN] = kvmlog_statistics_find_row(statistics, &key, 1);
	return places;
}

static void add_guest(struct kvmlog_statistics *statistics, __u32 number, __u64 exits)
{
	struct kvmlog_statistics_guest *guest = &statistics->map.guests[number];

	if (!kvmlog_statistics_is(statistics, guests, number))
		return;
	kvmlog_element_begin(&guest->sequence);
	guest->exits += exits;
	guest->last_ns = statistics->now_ns;
	kvmlog_element_end(&guest->sequence);
}

static void count(struct kvmlog_statistics *statistics, const struct kvmlog_statistics_part *part)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	kvmlog_sequence_begin(&header->sequence);
	header->exits += part->sums.count;
	if (part->overflow) {
		header->overflow += part->overflow;
		header->overflow_ns += part->sums.total_ns;
	}
	header->overflow_row += part->overflow_row;
	header->overflow_block += part->overflow_block;
	kvmlog_sequence_end(&header->sequence);
}

void kvmlog_statistics_fold_entry(struct kvmlog_statistics *statistics,
				  struct kvmlog_statistics_entry *entry)
{
	struct kvmlog_alike alike = kvmlog_alike_of(entry);
	struct kvmlog_statistics_part part = { 0 };
	struct kvmlog_statistics_reason *reason = NULL;
	struct places places;

	if (entry->used == 1)
		return;
	if (statistics->damaged) {
		/* What is free and what has which key is known no more. */
		kvmlog_statistics_entry_forget(entry);
		return;
	}
	places = find_places(statistics, &alike, entry);
	if (places.reason != KVMLOG_NO_ROW) {
		reason = &statistics->map.reasons[places.reason];
		kvmlog_element_begin(&reason->sequence);
	}
	kvmlog_statistics_digest(statistics, entry, reason, &part);
	kvmlog_alike_split(&alike, entry, &part.sums);
	if (reason) {
		kvmlog_sums_add(&reason->sums, &part.sums);
		kvmlog_element_end(&reason->sequence);
		add_guest(statistics, reason->key.guest, part.sums.count);
	} else {
		part.overflow = part.sums.count;
	}
	/* After the reason: readers take what it has more than its details as those of no row. */
	for (__u32 kind = KVMLOG_STATISTICS_VCPU; kind <= KVMLOG_STATISTICS_RETURN; kind++) {
		__u32 row = places.rows[kind];

		add_row(row == KVMLOG_NO_ROW ? NULL : &statistics->map.rows[row], &part);
	}
	kvmlog_statistics_entry_clear(entry);
	count(statistics, &part);
}

void kvmlog_statistics_fold_all(struct kvmlog_statistics *statistics)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	/* An emptied entry is adopted anew by the next exit, which puts it on the list again. */
	for (__u32 i = 0; i < statistics->dirty_count; i++) {
		struct kvmlog_statistics_entry *entry = &statistics->cache[statistics->dirty[i]];

		kvmlog_statistics_fold_entry(statistics, entry);
		entry->kind = 0;
		entry->who = KVMLOG_NOBODY;
	}
	statistics->dirty_count = 0;
	kvmlog_sequence_begin(&header->sequence);
	header->folded_ns = kvmlog_clock_ns(CLOCK_MONOTONIC);
	header->reasons_free = statistics->free_reasons_count;
	header->blocks_free = statistics->free_blocks_count;
	header->rows_free = statistics->free_rows_count;
	kvmlog_sequence_end(&header->sequence);
}
