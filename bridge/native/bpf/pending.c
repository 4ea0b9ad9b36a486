// SPDX-License-Identifier: GPL-2.0-or-later
/* Exits that the programs know of and have not written yet: one in each slot. */
#include <stdbool.h>
#include <string.h>

#include "api.h"
#include "clock.h"
#include "racing.h"

typedef struct kvmlog_bpf_slot kvmlog_exit_t;
#include <kvmlog/exit.h>

static __u32 slots_used(const struct kvmlog_bpf_maps *maps)
{
	__u64 used = __atomic_load_n(&maps->control->slots_used, __ATOMIC_ACQUIRE);

	/* Threads that come at once may count past the last one. */
	return used < maps->slot_count ? (__u32)used : maps->slot_count;
}

/* The pending exit of one slot, with times up to now. 0: it has none. */
static int read_pending(const struct kvmlog_bpf_slot *shared, struct kvmlog_record *record)
{
	struct kvmlog_bpf_slot slot, again;

	/* A program may be writing it; what two readings agree on stood still. */
	do {
		kvmlog_racing_copy(&slot, shared, sizeof(slot));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		kvmlog_racing_copy(&again, shared, sizeof(again));
	} while (memcmp(&slot, &again, sizeof(slot)));
	if (!slot.tid || !slot.pending)
		return 0;
	*record = slot.record;
	kvmlog_exit_complete(&slot, record, kvmlog_clock_ns(CLOCK_MONOTONIC));
	kvmlog_exit_not_reentered(record);
	return 1;
}

/* Exits that wait for their re-entry: at most as many as there are slots; how many. */
int kvmlog_bpf_pending(const struct kvmlog_bpf_maps *maps, struct kvmlog_record *records)
{
	int count = 0;

	for (__u32 i = 0; i < slots_used(maps); i++)
		count += read_pending(&maps->slots[i], &records[count]);
	return count;
}

/* No program runs: forgets all slots. */
void kvmlog_bpf_forget(const struct kvmlog_bpf_maps *maps)
{
	memset(maps->slots, 0, slots_used(maps) * sizeof(*maps->slots));
	maps->control->slots_used = 0;
}
