// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of guests: places taken and given back, and which of them a number of the
 * source means.
 */
#include <string.h>

#include "statistics/state.h"

static struct kvmlog_statistics_number *number_place(const struct kvmlog_statistics *statistics,
						     __u64 key)
{
	__u32 at = (__u32)(key * 0x9e3779b97f4a7c15ULL >> 32) & statistics->numbers_mask;

	while (statistics->numbers[at].key && statistics->numbers[at].key != key)
		at = (at + 1) & statistics->numbers_mask;
	return &statistics->numbers[at];
}

/* Never zero, which is a free place. */
static __u64 number_key(__u8 source, __u32 number)
{
	return (__u64)(source + 1) << 32 | number;
}

/* Keeps only the number that each guest has now; the table has room for four times those. */
void kvmlog_statistics_numbers_again(struct kvmlog_statistics *statistics)
{
	__u32 capacity = statistics->map.layout.guests_capacity;

	memset(statistics->numbers, 0,
	       ((size_t)statistics->numbers_mask + 1) * sizeof(*statistics->numbers));
	statistics->numbers_used = 0;
	for (__u32 i = 0; i < capacity; i++) {
		const struct kvmlog_statistics_guest *guest = &statistics->map.guests[i];
		struct kvmlog_statistics_number *at;

		if (guest->state == KVMLOG_STATISTICS_GUEST_FREE || statistics->stale[i])
			continue;
		at = number_place(statistics, number_key(guest->source, guest->number));
		at->key = number_key(guest->source, guest->number);
		at->guest = i;
		statistics->numbers_used++;
	}
}

void kvmlog_statistics_number_set(struct kvmlog_statistics *statistics, __u8 source, __u32 number,
				  __u32 guest)
{
	struct kvmlog_statistics_number *at;

	if (statistics->numbers_used > statistics->numbers_mask / 2)
		kvmlog_statistics_numbers_again(statistics);
	at = number_place(statistics, number_key(source, number));
	if (!at->key)
		statistics->numbers_used++;
	at->key = number_key(source, number);
	at->guest = guest;
}

/* A free place in the table, taken and in @state; KVMLOG_NO_ROW: it is full. */
__u32 kvmlog_statistics_guest_new(struct kvmlog_statistics *statistics, __u8 source, __u32 number)
{
	struct kvmlog_statistics_header *header = statistics->map.header;
	__u32 capacity = statistics->map.layout.guests_capacity;
	struct kvmlog_statistics_guest *guest;
	__u64 turn;
	__u32 at = 0;

	while (at < capacity && statistics->map.guests[at].state != KVMLOG_STATISTICS_GUEST_FREE)
		at++;
	if (at == capacity)
		return KVMLOG_NO_ROW;
	guest = &statistics->map.guests[at];
	turn = guest->turn + 1;
	kvmlog_element_begin(&guest->sequence);
	memset(&guest->state, 0, sizeof(*guest) - sizeof(guest->sequence));
	guest->state = KVMLOG_STATISTICS_GUEST_UNKNOWN;
	guest->number = number;
	guest->source = source;
	guest->first_ns = statistics->now_ns;
	guest->turn = turn;
	kvmlog_element_end(&guest->sequence);
	if (at >= header->guests_used)
		kvmlog_statistics_set_used(&header->guests_used, at + 1);
	header->guests_free--;
	statistics->retired[at] = 0;
	statistics->stale[at] = 0;
	return at;
}

/* The guest that a number means; KVMLOG_NO_ROW: none. */
__u32 kvmlog_statistics_guest_find(const struct kvmlog_statistics *statistics, __u8 source,
				   __u32 number)
{
	const struct kvmlog_statistics_number *at =
		number_place(statistics, number_key(source, number));

	return at->key ? at->guest : KVMLOG_NO_ROW;
}

/* The same, of one that is not announced yet too; KVMLOG_NO_ROW: the table is full. */
__u32 kvmlog_statistics_guest_of(struct kvmlog_statistics *statistics, __u8 source, __u32 number)
{
	__u32 guest = kvmlog_statistics_guest_find(statistics, source, number);

	if (guest != KVMLOG_NO_ROW)
		return guest;
	guest = kvmlog_statistics_guest_new(statistics, source, number);
	if (guest != KVMLOG_NO_ROW)
		kvmlog_statistics_number_set(statistics, source, number, guest);
	return guest;
}

void kvmlog_statistics_guest_free(struct kvmlog_statistics *statistics, __u32 number)
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
void kvmlog_statistics_numbers_free(struct kvmlog_statistics *statistics)
{
	for (__u32 i = 0; i <= statistics->numbers_mask; i++) {
		struct kvmlog_statistics_number *number = &statistics->numbers[i];

		if (number->key && number->guest != KVMLOG_NO_ROW &&
		    statistics->map.guests[number->guest].state == KVMLOG_STATISTICS_GUEST_FREE)
			number->guest = KVMLOG_NO_ROW;
	}
}
