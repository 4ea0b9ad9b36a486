// SPDX-License-Identifier: GPL-2.0-or-later
/* From an entry of the cache into the rows of the file. */
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

enum {
	/* Addresses of devices share pages from here on: a scan of a bus leaves room for others. */
	KVMLOG_EXACT_DETAILS = KVMLOG_STATISTICS_DETAILS / 2,
	KVMLOG_DEVICE_BYTES = 4096,
};

/* The row for a detail: of its own, of its page, or the one that further keys share. */
static __u32 detail_row(struct kvmlog_statistics *statistics, const struct kvmlog_alike *alike,
			struct kvmlog_statistics_key *key, struct kvmlog_statistics_reason *reason)
{
	__u32 row = kvmlog_statistics_find_row(statistics, key, 0);

	if (row == KVMLOG_NO_ROW && reason && reason->details >= KVMLOG_EXACT_DETAILS &&
	    key->detail_kind == KVMLOG_STATISTICS_DETAIL_EXACT && kvmlog_alike_mmio(alike)) {
		key->detail -= key->detail % KVMLOG_DEVICE_BYTES;
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_DEVICE;
		row = kvmlog_statistics_find_row(statistics, key, 0);
	}
	if (row != KVMLOG_NO_ROW)
		return row;
	if (!reason || reason->details >= KVMLOG_STATISTICS_DETAILS) {
		key->detail = 0;
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_OTHER;
		return kvmlog_statistics_find_row(statistics, key, 1);
	}
	row = kvmlog_statistics_find_row(statistics, key, 1);
	if (row == KVMLOG_NO_ROW)
		return row;
	kvmlog_element_begin(&reason->sequence);
	reason->details++;
	kvmlog_element_end(&reason->sequence);
	return row;
}

/* Looks for the rows of an entry that was adopted since. Those without room stay 0. */
static void resolve(struct kvmlog_statistics *statistics, const struct kvmlog_alike *alike,
		    struct kvmlog_statistics_entry *entry)
{
	struct kvmlog_statistics_key common = {
		.reason = alike->reason,
		.isa = alike->isa,
		.flags = (alike->flags & KVMLOG_F_NESTED ? KVMLOG_STATISTICS_NESTED : 0) |
			 (kvmlog_alike_halt(alike) ? KVMLOG_STATISTICS_HALT : 0),
	};
	struct kvmlog_statistics_reason *reason = NULL;
	struct kvmlog_statistics_key key;

	common.guest = kvmlog_statistics_guest_of(statistics, alike->source, alike->guest_number);
	if (common.guest == KVMLOG_NO_ROW)
		return;
	key = common;
	key.kind = KVMLOG_STATISTICS_REASON;
	entry->rows[KVMLOG_STATISTICS_REASON - 1] =
		kvmlog_statistics_find_reason(statistics, &key, 1) + 1;
	if (entry->rows[KVMLOG_STATISTICS_REASON - 1])
		reason = &statistics->map.reasons[entry->rows[KVMLOG_STATISTICS_REASON - 1] - 1];

	key = common;
	key.kind = KVMLOG_STATISTICS_VCPU;
	key.vcpu = alike->vcpu;
	entry->rows[KVMLOG_STATISTICS_VCPU - 1] =
		kvmlog_statistics_find_row(statistics, &key, 1) + 1;

	key = common;
	key.kind = KVMLOG_STATISTICS_DETAIL;
	kvmlog_alike_detail(alike, entry, &key);
	entry->rows[KVMLOG_STATISTICS_DETAIL - 1] = detail_row(statistics, alike, &key, reason) + 1;

	key = common;
	key.kind = KVMLOG_STATISTICS_RETURN;
	key.user_reason = alike->user_reason;
	entry->rows[KVMLOG_STATISTICS_RETURN - 1] =
		kvmlog_statistics_find_row(statistics, &key, 1) + 1;
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

	if (entry->used == 1)
		return;
	if (statistics->damaged) {
		/* What is free and what has which key is known no more. */
		kvmlog_statistics_entry_forget(entry);
		return;
	}
	if (!entry->rows[KVMLOG_STATISTICS_REASON - 1])
		resolve(statistics, &alike, entry);
	if (entry->rows[KVMLOG_STATISTICS_REASON - 1]) {
		reason = &statistics->map.reasons[entry->rows[KVMLOG_STATISTICS_REASON - 1] - 1];
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
	for (__u32 kind = KVMLOG_STATISTICS_VCPU; kind <= KVMLOG_STATISTICS_RETURN; kind++) {
		__u32 row = entry->rows[kind - 1];

		add_row(row ? &statistics->map.rows[row - 1] : NULL, &part);
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
