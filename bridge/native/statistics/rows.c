// SPDX-License-Identifier: GPL-2.0-or-later
/* Which row a key has, and which are free: an index in memory of what stands in the file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "statistics/state.h"

static __u64 mix(__u64 value)
{
	value ^= value >> 32;
	value *= 0x9e3779b97f4a7c15ULL;
	return value ^ value >> 29;
}

static __u32 hash(const struct kvmlog_statistics_key *key)
{
	__u64 words[3];

	_Static_assert(sizeof(words) == sizeof(*key), "no padding");
	memcpy(words, key, sizeof(words));
	return (__u32)mix(mix(mix(words[0]) + words[1]) + words[2]);
}

static const struct kvmlog_statistics_key *key_of(const struct kvmlog_statistics *statistics,
						  __u32 handle)
{
	__u32 reasons = statistics->map.layout.reasons_capacity;

	if (handle <= reasons)
		return &statistics->map.reasons[handle - 1].key;
	return &statistics->map.rows[handle - 1 - reasons].key;
}

/* The place of @key in the index, or the free one where it would stand. */
static __u32 *place(const struct kvmlog_statistics *statistics,
		    const struct kvmlog_statistics_key *key)
{
	__u32 at = hash(key) & statistics->index_mask;

	while (statistics->index[at]) {
		if (!memcmp(key_of(statistics, statistics->index[at]), key, sizeof(*key)))
			break;
		at = (at + 1) & statistics->index_mask;
	}
	return &statistics->index[at];
}

static __u32 power_of_two(__u64 least)
{
	__u64 size = 1024;

	while (size < least)
		size *= 2;
	return (__u32)size;
}

/* A stack of what is free, lowest on top, so that little of the file is touched. */
static void fill_stack(__u32 *stack, __u32 *count, __u32 capacity, const __u8 *in_use)
{
	*count = 0;
	for (__u32 i = capacity; i-- > 0;)
		if (!in_use[i])
			stack[(*count)++] = i;
}

static int allocate(struct kvmlog_statistics *statistics)
{
	const struct kvmlog_statistics_header *layout = &statistics->map.layout;
	__u64 rows = (__u64)layout->reasons_capacity + layout->rows_capacity;

	if (statistics->index)
		return 0;
	statistics->index_mask = power_of_two(rows * 2) - 1;
	statistics->index = calloc((size_t)statistics->index_mask + 1, sizeof(__u32));
	statistics->free_reasons = calloc(layout->reasons_capacity, sizeof(__u32));
	statistics->free_blocks = calloc(layout->blocks_capacity, sizeof(__u32));
	statistics->free_rows = calloc(layout->rows_capacity, sizeof(__u32));
	statistics->in_use = malloc(rows + layout->blocks_capacity);
	statistics->details = calloc(layout->reasons_capacity, sizeof(*statistics->details));
	statistics->next_detail = calloc(layout->rows_capacity, sizeof(__u32));
	statistics->ranked = calloc(layout->rows_capacity, sizeof(*statistics->ranked));
	if (statistics->index && statistics->free_reasons && statistics->free_blocks &&
	    statistics->free_rows && statistics->in_use && statistics->details &&
	    statistics->next_detail && statistics->ranked)
		return 0;
	return -ENOMEM;
}

/* Marks a reason's blocks; -EBADMSG: one that cannot be, or that another reason has. */
static int take_blocks(const struct kvmlog_statistics *statistics,
		       const struct kvmlog_statistics_reason *reason, __u8 *blocks)
{
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		__u32 block = reason->blocks[octave];

		if (block == KVMLOG_NO_BLOCK)
			continue;
		if (block >= statistics->map.layout.blocks_capacity || blocks[block])
			return -EBADMSG;
		blocks[block] = 1;
	}
	return 0;
}

/* Whether a row of this key can be: of a guest that is there. */
static int is_owned(struct kvmlog_statistics *statistics, const struct kvmlog_statistics_key *key)
{
	__u32 guest = key->guest;

	return kvmlog_statistics_is(statistics, guests, guest) &&
	       statistics->map.guests[guest].state != KVMLOG_STATISTICS_GUEST_FREE;
}

static int index_reasons(struct kvmlog_statistics *statistics, __u8 *reasons, __u8 *blocks)
{
	__u32 used = kvmlog_statistics_used(statistics, reasons);

	for (__u32 i = 0; i < used; i++) {
		const struct kvmlog_statistics_reason *reason = &statistics->map.reasons[i];

		if (reason->sequence & 1)
			return -EBADMSG;
		if (reason->key.kind == KVMLOG_STATISTICS_FREE)
			continue;
		if (reason->key.kind != KVMLOG_STATISTICS_REASON ||
		    !is_owned(statistics, &reason->key) || take_blocks(statistics, reason, blocks))
			return -EBADMSG;
		reasons[i] = 1;
		*place(statistics, &reason->key) = i + 1;
	}
	return 0;
}

/* @row, of a detail of @reason, is one of those that may lose theirs. */
void kvmlog_statistics_list_detail(struct kvmlog_statistics *statistics, __u32 reason, __u32 row)
{
	statistics->next_detail[row] = statistics->details[reason].first;
	statistics->details[reason].first = row + 1;
	statistics->details[reason].count++;
}

/* A detail is one of those of its reason, which is in the index already. */
static void list_if_detail(struct kvmlog_statistics *statistics, __u32 row)
{
	struct kvmlog_statistics_key key = statistics->map.rows[row].key;
	__u32 reason;

	if (key.kind != KVMLOG_STATISTICS_DETAIL ||
	    key.detail_kind == KVMLOG_STATISTICS_DETAIL_NONE)
		return;
	reason = *place(statistics, &(struct kvmlog_statistics_key){
					    .guest = key.guest,
					    .reason = key.reason,
					    .kind = KVMLOG_STATISTICS_REASON,
					    .isa = key.isa,
					    .flags = key.flags,
				    });
	if (reason && reason <= statistics->map.layout.reasons_capacity)
		kvmlog_statistics_list_detail(statistics, reason - 1, row);
}

static int index_rows(struct kvmlog_statistics *statistics, __u8 *rows)
{
	__u32 used = kvmlog_statistics_used(statistics, rows);

	for (__u32 i = 0; i < used; i++) {
		const struct kvmlog_statistics_row *row = &statistics->map.rows[i];

		if (row->sequence & 1)
			return -EBADMSG;
		if (row->key.kind == KVMLOG_STATISTICS_FREE)
			continue;
		if (row->key.kind < KVMLOG_STATISTICS_VCPU ||
		    row->key.kind > KVMLOG_STATISTICS_RETURN || !is_owned(statistics, &row->key))
			return -EBADMSG;
		rows[i] = 1;
		*place(statistics, &row->key) = statistics->map.layout.reasons_capacity + 1 + i;
		list_if_detail(statistics, i);
	}
	return 0;
}

static int index_file(struct kvmlog_statistics *statistics)
{
	const struct kvmlog_statistics_header *layout = &statistics->map.layout;
	__u8 *reasons, *blocks, *rows;
	const struct kvmlog_statistics_header *header = statistics->map.header;
	int rc = allocate(statistics);

	if (rc)
		return rc;
	if (header->reasons_used > layout->reasons_capacity ||
	    header->blocks_used > layout->blocks_capacity ||
	    header->rows_used > layout->rows_capacity)
		return -EBADMSG;
	reasons = statistics->in_use;
	blocks = reasons + layout->reasons_capacity;
	rows = blocks + layout->blocks_capacity;
	memset(reasons, 0, (size_t)(rows - reasons) + layout->rows_capacity);
	memset(statistics->index, 0,
	       ((size_t)statistics->index_mask + 1) * sizeof(*statistics->index));
	memset(statistics->details, 0, layout->reasons_capacity * sizeof(*statistics->details));
	blocks[KVMLOG_NO_BLOCK] = 1;
	rc = index_reasons(statistics, reasons, blocks);
	if (!rc)
		rc = index_rows(statistics, rows);
	if (rc)
		return rc;
	fill_stack(statistics->free_reasons, &statistics->free_reasons_count,
		   layout->reasons_capacity, reasons);
	fill_stack(statistics->free_blocks, &statistics->free_blocks_count, layout->blocks_capacity,
		   blocks);
	fill_stack(statistics->free_rows, &statistics->free_rows_count, layout->rows_capacity,
		   rows);
	return 0;
}

/*
 * Makes the index and the lists of what is free out of what the file holds. -EBADMSG: it
 * was left in the middle of an update, or it is damaged. Once it has succeeded it cannot be,
 * unless somebody else writes the file.
 */
int kvmlog_statistics_index_all(struct kvmlog_statistics *statistics)
{
	int rc = index_file(statistics);

	if (rc)
		statistics->damaged = 1;
	return rc;
}

static void raise_use(__u32 *used, __u32 number)
{
	if (number >= *used)
		kvmlog_statistics_set_used(used, number + 1);
}

/* A reason has the key of a row, or the other way round: somebody else wrote it. */
static __u32 of_another_kind(struct kvmlog_statistics *statistics)
{
	statistics->damaged = 1;
	return KVMLOG_NO_ROW;
}

__u32 kvmlog_statistics_find_reason(struct kvmlog_statistics *statistics,
				    const struct kvmlog_statistics_key *key, int make)
{
	__u32 *at = place(statistics, key);
	struct kvmlog_statistics_reason *reason;
	__u32 number;

	if (*at > statistics->map.layout.reasons_capacity)
		return of_another_kind(statistics);
	if (*at)
		return *at - 1;
	if (!make || !statistics->free_reasons_count)
		return KVMLOG_NO_ROW;
	number = statistics->free_reasons[--statistics->free_reasons_count];
	reason = &statistics->map.reasons[number];
	kvmlog_element_begin(&reason->sequence);
	reason->key = *key;
	memset(&reason->sums, 0, sizeof(reason->sums));
	reason->sums.min_ns = ~0ULL;
	memset(reason->blocks, 0, sizeof(reason->blocks));
	reason->evicted_ns = 0;
	kvmlog_element_end(&reason->sequence);
	statistics->details[number] = (struct kvmlog_statistics_details){ 0 };
	raise_use(&statistics->map.header->reasons_used, number);
	*at = number + 1;
	return number;
}

__u32 kvmlog_statistics_find_row(struct kvmlog_statistics *statistics,
				 const struct kvmlog_statistics_key *key, int make)
{
	__u32 reasons = statistics->map.layout.reasons_capacity;
	__u32 *at = place(statistics, key);
	struct kvmlog_statistics_row *row;
	__u32 number;

	if (*at && *at <= reasons)
		return of_another_kind(statistics);
	if (*at)
		return *at - 1 - reasons;
	if (!make || !statistics->free_rows_count)
		return KVMLOG_NO_ROW;
	number = statistics->free_rows[--statistics->free_rows_count];
	row = &statistics->map.rows[number];
	kvmlog_element_begin(&row->sequence);
	row->turn++;
	row->key = *key;
	row->before_ns = 0;
	memset(&row->sums, 0, sizeof(row->sums));
	row->sums.min_ns = ~0ULL;
	memset(row->octaves, 0, sizeof(row->octaves));
	kvmlog_element_end(&row->sequence);
	raise_use(&statistics->map.header->rows_used, number);
	*at = reasons + number + 1;
	return number;
}

/* Closes the gap that a key leaves in the index, so that no other is looked for in vain. */
static void close_gap(struct kvmlog_statistics *statistics, __u32 gap)
{
	__u32 mask = statistics->index_mask;
	__u32 at = gap;

	for (at = (at + 1) & mask; statistics->index[at]; at = (at + 1) & mask) {
		__u32 home = hash(key_of(statistics, statistics->index[at])) & mask;

		/* Unless the way to it begins behind the gap. */
		if (((at - home) & mask) >= ((at - gap) & mask)) {
			statistics->index[gap] = statistics->index[at];
			gap = at;
		}
	}
	statistics->index[gap] = 0;
}

/* Gives a row back; what it has counted is nowhere else afterwards. */
void kvmlog_statistics_give_row(struct kvmlog_statistics *statistics, __u32 number)
{
	struct kvmlog_statistics_row *row = &statistics->map.rows[number];
	__u32 *at = place(statistics, &row->key);

	if (*at != statistics->map.layout.reasons_capacity + 1 + number) {
		statistics->damaged = 1;
		return;
	}
	close_gap(statistics, (__u32)(at - statistics->index));
	kvmlog_statistics_free_row(row);
	statistics->free_rows[statistics->free_rows_count++] = number;
}

/* An empty block for a reason that is being written; KVMLOG_NO_BLOCK: none left. */
__u32 kvmlog_statistics_block(struct kvmlog_statistics *statistics)
{
	__u32 number;

	if (!statistics->free_blocks_count)
		return KVMLOG_NO_BLOCK;
	number = statistics->free_blocks[--statistics->free_blocks_count];
	memset(&statistics->map.blocks[number], 0, sizeof(statistics->map.blocks[number]));
	raise_use(&statistics->map.header->blocks_used, number);
	return number;
}

static void free_block(struct kvmlog_statistics *statistics, __u32 *place)
{
	__u32 block = *place;

	*place = KVMLOG_NO_BLOCK;
	if (block == KVMLOG_NO_BLOCK || !kvmlog_statistics_is(statistics, blocks, block))
		return;
	/* Fuller than full: one is free twice. */
	if (kvmlog_statistics_is(statistics, blocks, statistics->free_blocks_count))
		statistics->free_blocks[statistics->free_blocks_count++] = block;
}

void kvmlog_statistics_free_reason(struct kvmlog_statistics *statistics,
				   struct kvmlog_statistics_reason *reason)
{
	kvmlog_element_begin(&reason->sequence);
	reason->key.kind = KVMLOG_STATISTICS_FREE;
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++)
		free_block(statistics, &reason->blocks[octave]);
	kvmlog_element_end(&reason->sequence);
}

void kvmlog_statistics_free_row(struct kvmlog_statistics_row *row)
{
	kvmlog_element_begin(&row->sequence);
	row->key.kind = KVMLOG_STATISTICS_FREE;
	kvmlog_element_end(&row->sequence);
}
