// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records that a filter passes, newest first or from a position on. The filter looks at
 * the slots where they stand: what a writer overwrote meanwhile may have been judged by
 * anything, and is discarded as copies of it would be (copy_range() in read.c).
 */
#include <errno.h>

#include "racing.h"
#include "ring/ring.h"

_Static_assert(sizeof(struct kvmlog_record) == KVMLOG_RECORD_BYTES, "record");

static int has_reason(const struct kvmlog_filter *filter, __u64 reason)
{
	__u32 low = 0, high = filter->reasons_count;

	while (low < high) {
		__u32 middle = low + (high - low) / 2;

		if (filter->reasons[middle] < reason)
			low = middle + 1;
		else
			high = middle;
	}
	return low < filter->reasons_count && filter->reasons[low] == reason;
}

static int has_return(const struct kvmlog_filter *filter, __u16 reason)
{
	__u32 at = 0;

	while (at < filter->returns_count && filter->returns[at] < reason)
		at++;
	return at < filter->returns_count && filter->returns[at] == reason;
}

/* The last time that does not begin after this one is the only that may hold it. */
static int has_guest(const struct kvmlog_filter *filter, __u32 guest, __u64 ns)
{
	const struct kvmlog_guest_time *found;
	__u32 low = 0, high = filter->guests_count;

	while (low < high) {
		__u32 middle = low + (high - low) / 2;

		found = &filter->guests[middle];
		if (found->guest < guest || (found->guest == guest && found->from_ns <= ns))
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return 0;
	found = &filter->guests[low - 1];
	return found->guest == guest && ns <= found->until_ns;
}

/* When an exit was written: a guest is announced before that, never before it began. */
KVMLOG_RACING static __u64 written_ns(const struct kvmlog_record *exit)
{
	__u64 exit_ns = kvmlog_racing_load(exit->exit_ns);
	__u64 ns = exit_ns + kvmlog_racing_load(exit->total_ns);

	return ns < exit_ns ? ~0ULL : ns;
}

/* Whether an exit took so long without the time that its vCPU was halted or held. */
KVMLOG_RACING static int is_busy(const struct kvmlog_record *exit, __u64 busy_ns)
{
	__u64 total_ns = kvmlog_racing_load(exit->total_ns);
	__u64 away_ns =
		kvmlog_racing_load(exit->halt_ns) + kvmlog_racing_load(exit->paused_ns);

	return total_ns >= away_ns && total_ns - away_ns >= busy_ns;
}

KVMLOG_RACING static int exit_passes(const struct kvmlog_filter *filter,
				     const struct kvmlog_record *exit)
{
	if (kvmlog_racing_load(exit->total_ns) < filter->total_ns)
		return 0;
	if (filter->busy_ns && !is_busy(exit, filter->busy_ns))
		return 0;
	if (filter->reasons_count || filter->returns_count) {
		__u64 isa = kvmlog_racing_load(exit->isa);
		__u32 mask = isa == KVMLOG_ISA_VMX ? KVMLOG_VMX_BASIC_MASK : ~0U;

		if (!has_reason(filter, isa << 32 | (kvmlog_racing_load(exit->reason) & mask)) &&
		    !(kvmlog_racing_load(exit->flags) & KVMLOG_F_USER_REASON &&
		      has_return(filter, kvmlog_racing_load(exit->user_reason))))
			return 0;
	}
	return !filter->of_guests ||
	       has_guest(filter, kvmlog_racing_load(exit->guest), written_ns(exit));
}

KVMLOG_RACING static int passes(const struct kvmlog_filter *filter,
				const struct kvmlog_record *record)
{
	/* Once: a writer may change it between a check and its use. */
	__u8 type = kvmlog_racing_load(record->type);

	if (!(filter->types & 1U << (type < 32 ? type : 0)))
		return 0;
	/* All types have their time where an exit has it. */
	if (kvmlog_racing_load(record->exit_ns) < filter->since_ns)
		return 0;
	return type != KVMLOG_RECORD_EXIT || exit_passes(filter, record);
}

/* Copies those of @count records that pass to @out, which has room for all; returns how many. */
__u64 kvmlog_filter_records(const struct kvmlog_filter *filter, const struct kvmlog_record *records,
			    __u64 count, struct kvmlog_record *out)
{
	__u64 passed = 0;

	for (__u64 i = 0; i < count; i++)
		if (passes(filter, &records[i]))
			out[passed++] = records[i];
	return passed;
}

/* The first record that is there and will stay for a while; @end at most. */
static __u64 oldest_before(const struct kvmlog_ring *ring, __u64 end)
{
	__u64 reserve = kvmlog_load_relaxed(&ring->header->reserve);
	__u64 oldest = reserve > ring->capacity ? reserve - ring->capacity : 0;

	return oldest < end ? oldest : end;
}

/* Discards what was overwritten while it was searched: of @count from @at of the buffer on. */
static void keep_whole(const struct kvmlog_ring *ring, const __u64 *indices, __u64 at, __u64 count,
		       struct kvmlog_selected *selected)
{
	__u64 safe;

	/* Pairs with the release fence in kvmlog_writer_reserve(), as in copy_range(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	safe = oldest_before(ring, selected->next_index);
	if (selected->first_index < safe)
		selected->first_index = safe;
	while (count && indices[at] < selected->first_index) {
		at++;
		count--;
	}
	selected->count = count;
	selected->offset = at * ring->record_bytes;
}

/* A search: of records from @index on and before @end, of which @slots are looked at. */
struct search {
	const struct kvmlog_ring *ring;
	const struct kvmlog_filter *filter;
	__u64 index, end, slots;
	void *buffer;
	__u64 *indices;
	__u64 most;
	struct kvmlog_selected *selected;
};

static int search_newest(void *argument)
{
	const struct search *search = argument;
	const struct kvmlog_ring *ring = search->ring;
	__u64 head = kvmlog_load_acquire(&ring->header->head);
	__u64 end = search->end < head ? search->end : head;
	__u64 least = oldest_before(ring, end);
	__u64 index, at = search->most;

	if (end - least > search->slots)
		least = end - search->slots;
	for (index = end; index > least && at;) {
		const void *slot = kvmlog_ring_slot(ring, --index);

		if (!passes(search->filter, slot))
			continue;
		at--;
		search->indices[at] = index;
		kvmlog_racing_copy((__u8 *)search->buffer + at * KVMLOG_RECORD_BYTES, slot,
				   KVMLOG_RECORD_BYTES);
	}
	*search->selected = (struct kvmlog_selected){ .first_index = index, .next_index = end };
	keep_whole(ring, search->indices, at, search->most - at, search->selected);
	return 0;
}

/*
 * The newest records before @end that pass, oldest first: at most @most, which is what fits
 * in @buffer and @indices (their indices), of at most @slots searched. The search ends with
 * the last that fits; first_index is its index.
 */
int kvmlog_ring_select_newest(const struct kvmlog_ring *ring, const struct kvmlog_filter *filter,
			      __u64 end, __u64 slots, void *buffer, __u64 *indices, __u64 most,
			      struct kvmlog_selected *selected)
{
	struct search search = { ring, filter, 0, end, slots, buffer, indices, most, selected };

	if (ring->record_bytes != KVMLOG_RECORD_BYTES)
		return -EINVAL;
	return kvmlog_ring_guarded(ring, search_newest, &search);
}

static int search_since(void *argument)
{
	const struct search *search = argument;
	const struct kvmlog_ring *ring = search->ring;
	__u64 head = kvmlog_load_acquire(&ring->header->head);
	__u64 end = search->end < head ? search->end : head;
	__u64 index = search->index < end ? search->index : end;
	__u64 first = oldest_before(ring, end);
	__u64 next, count = 0;

	if (first < index)
		first = index;
	if (end - first > search->slots)
		end = first + search->slots;
	for (next = first; next < end; next++) {
		const void *slot = kvmlog_ring_slot(ring, next);

		if (!passes(search->filter, slot))
			continue;
		if (count == search->most)
			break;
		search->indices[count] = next;
		kvmlog_racing_copy((__u8 *)search->buffer + count * KVMLOG_RECORD_BYTES, slot,
				   KVMLOG_RECORD_BYTES);
		count++;
	}
	*search->selected = (struct kvmlog_selected){ .first_index = first, .next_index = next };
	keep_whole(ring, search->indices, 0, count, search->selected);
	search->selected->overwritten = search->selected->first_index - index;
	return 0;
}

/*
 * The first records from @index on and before @end that pass, oldest first: at most @most,
 * as above, of at most @slots searched. The search ends before the first that does not fit.
 * Records that were overwritten already are skipped and counted.
 */
int kvmlog_ring_select_since(const struct kvmlog_ring *ring, const struct kvmlog_filter *filter,
			     __u64 index, __u64 end, __u64 slots, void *buffer, __u64 *indices,
			     __u64 most, struct kvmlog_selected *selected)
{
	struct search search = { ring, filter, index, end, slots, buffer, indices, most, selected };

	if (ring->record_bytes != KVMLOG_RECORD_BYTES)
		return -EINVAL;
	return kvmlog_ring_guarded(ring, search_since, &search);
}
