// SPDX-License-Identifier: GPL-2.0-only
/* One record into this CPU's part of kvmlog_records; see shared.h. */

static __always_inline bool kvmlog_write(const struct kvmlog_here *here,
					 const struct kvmlog_record *record)
{
	struct kvmlog_bpf_cpu *cpu = here->cpu;
	struct kvmlog_record *to;
	u64 head;
	u32 index;
	bool room;

	if (!__sync_bool_compare_and_swap(&cpu->busy, 0, 1))
		return false;
	head = cpu->head;
	room = head - *(volatile u64 *)&cpu->tail < KVMLOG_BPF_CPU_RECORDS;
	index = here->number * KVMLOG_BPF_CPU_RECORDS + (head & (KVMLOG_BPF_CPU_RECORDS - 1));
	to = kvmlog_records.lookup(&index);
	if (room && to) {
		*to = *record;
		kvmlog_barrier();
		__sync_lock_test_and_set(&cpu->head, head + 1);
	}
	kvmlog_barrier();
	*(volatile u64 *)&cpu->busy = 0;
	return room && to;
}

static __always_inline void kvmlog_count_lost(struct kvmlog_bpf_cpu *cpu)
{
	kvmlog_add(cpu->dropped_table, 1);
	kvmlog_add(cpu->lost, 1);
}

/* The slot's record as it is; dropped, and counted, where there is no room. */
static __always_inline void kvmlog_emit(const struct kvmlog_here *here,
					struct kvmlog_bpf_slot *slot)
{
	slot->pending = 0;
	kvmlog_barrier();
	if (!kvmlog_write(here, &slot->record)) {
		kvmlog_add(here->cpu->dropped_full, 1);
		kvmlog_add(here->cpu->lost, 1);
	}
}

/* Completes the slot's record with the times up to now and writes it. */
static __always_inline void kvmlog_finish(const struct kvmlog_here *here,
					  struct kvmlog_bpf_slot *slot, u32 flags)
{
	struct kvmlog_record *record = &slot->record;

	kvmlog_exit_complete(slot, record, bpf_ktime_get_ns());
#ifdef KVMLOG_AT_RUN_DELAY
	kvmlog_exit_add_delay(slot, record, kvmlog_run_delay_ns());
#endif
	if (flags & KVMLOG_F_NO_REENTRY)
		kvmlog_exit_not_reentered(record);
	else if (record->cpu != here->number)
		record->flags |= KVMLOG_F_MIGRATED;
	kvmlog_emit(here, slot);
}
