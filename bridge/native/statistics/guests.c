// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which guest of the table an exit belongs to. The source's numbers begin again when
 * it is loaded again, and a guest has a new one each time tracing is switched on; the
 * table's guests last: a process that had one VM before, and one now, has the same.
 */
#include <string.h>

#include "statistics/state.h"
#include "statistics/statistics.h"

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
static __u32 earlier(struct kvmlog_statistics *statistics, const struct kvmlog_record_guest *note)
{
	__u32 guests = kvmlog_statistics_used(statistics, guests);
	__u32 found = KVMLOG_NO_ROW;

	if (!note->start_boottime_ns)
		return KVMLOG_NO_ROW;
	for (__u32 i = 0; i < guests; i++) {
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
	__u32 before = kvmlog_statistics_guest_find(statistics, note->source, note->guest);
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
			kvmlog_statistics_merge_guests(statistics, before, guest);
	} else if (before != KVMLOG_NO_ROW) {
		kvmlog_statistics_fold_all(statistics);
		statistics->stale[before] = 1;
	}
	if (guest == KVMLOG_NO_ROW)
		guest = kvmlog_statistics_guest_new(statistics, note->source, note->guest);
	if (guest == KVMLOG_NO_ROW)
		return;
	describe(statistics, guest, note);
	kvmlog_statistics_number_set(statistics, note->source, note->guest, guest);
}

/* All were announced before; @fresh: by a source that is gone, whose numbers begin again. */
void kvmlog_statistics_retire_guests(struct kvmlog_statistics *statistics, int fresh)
{
	__u32 capacity = statistics->map.layout.guests_capacity;

	memset(statistics->retired, 1, capacity);
	if (fresh) {
		memset(statistics->stale, 1, capacity);
		kvmlog_statistics_numbers_again(statistics);
	}
}
