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

static __always_inline void kvmlog_lose(struct kvmlog_bpf_cpu *cpu)
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

/* From a return with -EINTR on, if that was the last one, the vCPU is paused. */
static __always_inline void kvmlog_add_pause(struct kvmlog_bpf_slot *slot, u64 now_ns)
{
	if (slot->paused_since_ns)
		slot->record.paused_ns += kvmlog_elapsed_ns(slot->paused_since_ns, now_ns);
}

/* Completes the slot's record with the times up to now and writes it. */
static __always_inline void kvmlog_finish(const struct kvmlog_here *here,
					  struct kvmlog_bpf_slot *slot, u32 flags)
{
	struct kvmlog_record *record = &slot->record;
	u64 now_ns = bpf_ktime_get_ns();

	record->total_ns = kvmlog_elapsed_ns(record->exit_ns, now_ns);
	if (record->user_exits)
		record->user_ns = kvmlog_elapsed_ns(slot->user_since_ns, now_ns);
	if (record->flags & KVMLOG_F_USER_EINTR) {
		kvmlog_add_pause(slot, now_ns);
		if (record->paused_ns > record->user_ns)
			record->paused_ns = record->user_ns;
	}
#ifdef KVMLOG_AT_RUN_DELAY
	u64 delay_ns = kvmlog_run_delay_ns();
	u64 kernel_until_ns = record->user_exits ? slot->delay_user_ns : delay_ns;

	/* Nearly always nothing: a division costs more than the test. */
	if (delay_ns != slot->delay_exit_ns) {
		record->delay_kernel_us =
			kvmlog_saturated_us(kernel_until_ns - slot->delay_exit_ns);
		record->delay_user_us = kvmlog_saturated_us(delay_ns - kernel_until_ns);
	}
	flags |= KVMLOG_F_DELAY_VALID;
#endif
	if (record->cpu != here->number && !(flags & KVMLOG_F_NO_REENTRY))
		flags |= KVMLOG_F_MIGRATED;
	record->flags |= flags;
	kvmlog_emit(here, slot);
}
