// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which guest of the table an exit belongs to. The source's numbers begin again when
 * it is loaded again, and a guest has a new one each time tracing is switched on; the
 * table's guests last: a process that had one VM before, and one now, has the same.
 */
#include <string.h>

#include "statistics/statistics.h"

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
static void number_forget(struct kvmlog_statistics *statistics)
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

static void number_set(struct kvmlog_statistics *statistics, __u8 source, __u32 number, __u32 guest)
{
	struct kvmlog_statistics_number *at;

	if (statistics->numbers_used > statistics->numbers_mask / 2)
		number_forget(statistics);
	at = number_place(statistics, number_key(source, number));
	if (!at->key)
		statistics->numbers_used++;
	at->key = number_key(source, number);
	at->guest = guest;
}

/* A free place in the table, taken and in @state; KVMLOG_NO_ROW: it is full. */
static __u32 guest_new(struct kvmlog_statistics *statistics, __u8 source, __u32 number)
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
		__atomic_store_n(&header->guests_used, at + 1, __ATOMIC_RELEASE);
	header->guests_free--;
	statistics->retired[at] = 0;
	statistics->stale[at] = 0;
	return at;
}

__u32 kvmlog_statistics_guest_of(struct kvmlog_statistics *statistics, __u8 source, __u32 number)
{
	struct kvmlog_statistics_number *at = number_place(statistics, number_key(source, number));
	__u32 guest;

	if (at->key && at->guest != KVMLOG_NO_ROW)
		return at->guest;
	guest = guest_new(statistics, source, number);
	if (guest != KVMLOG_NO_ROW)
		number_set(statistics, source, number, guest);
	return guest;
}

static int same_process(const struct kvmlog_statistics_guest *guest,
			const struct kvmlog_record_guest *note)
{
	return guest->state == KVMLOG_STATISTICS_GUEST_KNOWN && guest->tgid == note->tgid &&
	       guest->start_boottime_ns == note->start_boottime_ns;
}

/*
 * The guest that this process had before tracing was switched off, if it had just one:
 * of two nobody can tell which is which. A process without its start is not known again.
 */
static __u32 earlier(const struct kvmlog_statistics *statistics,
		     const struct kvmlog_record_guest *note)
{
	__u32 found = KVMLOG_NO_ROW;

	if (!note->start_boottime_ns)
		return KVMLOG_NO_ROW;
	for (__u32 i = 0; i < statistics->map.header->guests_used; i++) {
		if (!same_process(&statistics->map.guests[i], note))
			continue;
		if (found != KVMLOG_NO_ROW || !statistics->retired[i])
			return KVMLOG_NO_ROW;
		found = i;
	}
	return found;
}

static void describe(struct kvmlog_statistics *statistics, __u32 number,
		     const struct kvmlog_record_guest *note)
{
	struct kvmlog_statistics_guest *guest = &statistics->map.guests[number];

	kvmlog_element_begin(&guest->sequence);
	if (guest->state == KVMLOG_STATISTICS_GUEST_UNKNOWN)
		guest->first_ns = note->ns;
	guest->state = KVMLOG_STATISTICS_GUEST_KNOWN;
	guest->number = note->guest;
	guest->tgid = note->tgid;
	guest->start_boottime_ns = note->start_boottime_ns;
	guest->cgroup = note->cgroup;
	memcpy(guest->comm, note->comm, sizeof(guest->comm));
	guest->isa = note->isa;
	guest->source = note->source;
	kvmlog_element_end(&guest->sequence);
	statistics->retired[number] = 0;
	statistics->stale[number] = 0;
}

void kvmlog_statistics_guest_seen(struct kvmlog_statistics *statistics,
				  const struct kvmlog_record_guest *note)
{
	const struct kvmlog_statistics_number *at =
		number_place(statistics, number_key(note->source, note->guest));
	__u32 before = at->key ? at->guest : KVMLOG_NO_ROW;
	__u32 guest;

	if (before != KVMLOG_NO_ROW && same_process(&statistics->map.guests[before], note)) {
		statistics->retired[before] = 0;
		return;
	}
	guest = earlier(statistics, note);
	if (before != KVMLOG_NO_ROW &&
	    statistics->map.guests[before].state == KVMLOG_STATISTICS_GUEST_UNKNOWN) {
		/* Its exits on other CPUs have come first. */
		if (guest == KVMLOG_NO_ROW)
			guest = before;
		else
			kvmlog_statistics_move_guest(statistics, before, guest);
	} else if (before != KVMLOG_NO_ROW) {
		kvmlog_statistics_fold_all(statistics);
		statistics->stale[before] = 1;
	}
	if (guest == KVMLOG_NO_ROW)
		guest = guest_new(statistics, note->source, note->guest);
	if (guest == KVMLOG_NO_ROW)
		return;
	describe(statistics, guest, note);
	number_set(statistics, note->source, note->guest, guest);
}

/*
 * Tracing is about to be switched on; @fresh: by a source that was opened just now, whose
 * numbers begin again.
 */
void kvmlog_statistics_begin(struct kvmlog_statistics *statistics, int fresh)
{
	__u32 capacity = statistics->map.layout.guests_capacity;

	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_fold_all(statistics);
	memset(statistics->retired, 1, capacity);
	if (fresh) {
		memset(statistics->stale, 1, capacity);
		number_forget(statistics);
	}
	pthread_mutex_unlock(statistics->lock);
}
