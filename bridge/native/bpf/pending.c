// SPDX-License-Identifier: GPL-2.0-or-later
/* Exits that the programs know of and have not written yet: one in each slot. */
#include <string.h>

#include "api.h"
#include "clock.h"

static __u32 slots_used(const struct kvmlog_bpf_maps *maps)
{
	__u64 used = __atomic_load_n(&maps->control->slots_used, __ATOMIC_ACQUIRE);

	/* Threads that come at once may count past the last one. */
	return used < KVMLOG_BPF_THREADS ? (__u32)used : KVMLOG_BPF_THREADS;
}

static __u64 elapsed_ns(__u64 from_ns, __u64 to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* The pending exit of one slot, with times up to now. 0: it has none. */
static int read_pending(const struct kvmlog_bpf_slot *shared, struct kvmlog_record *record)
{
	struct kvmlog_bpf_slot slot, again;
	__u64 now;

	/* A program may be writing it; what two readings agree on stood still. */
	do {
		slot = *shared;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		__asm__ volatile("" ::: "memory");
		again = *shared;
	} while (memcmp(&slot, &again, sizeof(slot)));
	if (!slot.tid || !slot.pending)
		return 0;
	now = kvmlog_clock_ns(CLOCK_MONOTONIC);
	*record = slot.record;
	record->total_ns = elapsed_ns(record->exit_ns, now);
	if (record->user_exits)
		record->user_ns = elapsed_ns(slot.user_since_ns, now);
	if (record->flags & KVMLOG_F_USER_EINTR) {
		if (slot.paused_since_ns)
			record->paused_ns += elapsed_ns(slot.paused_since_ns, now);
		if (record->paused_ns > record->user_ns)
			record->paused_ns = record->user_ns;
	}
	record->flags |= KVMLOG_F_NO_REENTRY;
	return 1;
}

/* Exits that wait for their re-entry: at most KVMLOG_BPF_THREADS records; how many. */
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
