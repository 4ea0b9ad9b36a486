// SPDX-License-Identifier: GPL-2.0-only
/*
 * The thread's slot. All programs that touch it run in the thread itself, outside of
 * interrupts, so that they never meet: no lock.
 */

static __always_inline struct kvmlog_bpf_slot *kvmlog_slot_of_current(void)
{
	u32 tid = bpf_get_current_pid_tgid();

	return kvmlog_slots.lookup(&tid);
}

static __always_inline struct kvmlog_bpf_slot *kvmlog_slot_make(void)
{
	u32 tid = bpf_get_current_pid_tgid();
	int zero = 0;
	struct kvmlog_bpf_slot *fresh = kvmlog_zero.lookup(&zero);

	if (!fresh || kvmlog_slots.update(&tid, fresh))
		return 0;
	return kvmlog_slots.lookup(&tid);
}

/* In the closed phase of the sampling window the programs stay, and return after this test. */
static __always_inline bool kvmlog_window_closed(const struct kvmlog_bpf_config *config, u64 now_ns)
{
	return config->period_ns &&
	       (now_ns - config->window_ns) % config->period_ns >= config->open_ns;
}

/* Gaps are even over 1 to 2N - 1: N on average, and alternating exits do not hide. */
static __always_inline bool kvmlog_leave_out(struct kvmlog_bpf_cpu *cpu, u32 one_in)
{
	u32 skip = cpu->skip;

	if (skip && skip < 2 * one_in) {
		cpu->skip = --skip;
		if (skip)
			return true;
	}
	cpu->skip = 1 + ((u64)bpf_get_prandom_u32() * (2 * one_in - 1) >> 32);
	return false;
}

static __always_inline bool kvmlog_wanted(const struct kvmlog_bpf_control *control,
					  const struct kvmlog_bpf_config *config,
					  struct kvmlog_bpf_cpu *cpu, u64 now_ns)
{
	if (config->tgids) {
		struct kvmlog_bpf_tgid key = { .config = control->active & 1,
					       .tgid = bpf_get_current_pid_tgid() >> 32 };

		if (!kvmlog_tgids.lookup(&key)) {
			kvmlog_add(cpu->filtered, 1);
			return false;
		}
	}
	if (kvmlog_window_closed(config, now_ns) ||
	    (config->one_in > 1 && kvmlog_leave_out(cpu, config->one_in))) {
		kvmlog_add(cpu->sampled, 1);
		return false;
	}
	return true;
}

/*
 * An exit begins: the slot with a record that lacks only what is known of the reason,
 * or none: off, not wanted, no room (and counted). @vcpu: 0 where it is not known.
 */
static __always_inline struct kvmlog_bpf_slot *kvmlog_open(u64 vcpu, u64 kvm, u64 exits,
							   u32 vcpu_id, u32 isa)
{
	u64 now_ns = bpf_ktime_get_ns();
	u32 number = bpf_get_smp_processor_id();
	u64 pid_tgid = bpf_get_current_pid_tgid();
	int zero = 0;
	struct kvmlog_bpf_control *control = kvmlog_control.lookup(&zero);
	struct kvmlog_bpf_cpu *cpu = kvmlog_cpus.lookup(&number);
	const struct kvmlog_bpf_config *config;
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_record *record;

	if (!control || !cpu || !control->on)
		return 0;
	config = &control->configs[control->active & 1];
	if (config->until_ns && now_ns >= config->until_ns)
		return 0;
	if (!kvmlog_wanted(control, config, cpu, now_ns))
		return 0;
	slot = kvmlog_slot_of_current();
	if (!slot) {
		slot = kvmlog_slot_make();
		if (!slot)
			goto lost;
	}
	record = &slot->record;
	/* KVM re-enters before it exits again, unless a program missed it. */
	if (slot->pending)
		kvmlog_finish(slot, KVMLOG_F_NO_REENTRY);
	else if (slot->opened)
		kvmlog_lose(cpu); /* the event that should have told the reason was missed */
	slot->opened = 0;
	if (slot->vcpu != vcpu || (vcpu && exits < slot->exits) || !record->guest) {
		if (!kvmlog_guest_get(control, slot, vcpu, kvm, pid_tgid >> 32))
			goto lost;
	}
	slot->exits = exits + 1;
	if (!slot->announced)
		kvmlog_guest_announce(cpu, number, slot, isa, config->epoch, now_ns);

	record->type = KVMLOG_RECORD_EXIT;
	record->isa = isa;
	record->source = KVMLOG_SOURCE_BPF;
	record->flags = 0;
	record->user_exits = 0;
	record->exit_ns = now_ns;
	record->user_ns = 0;
	record->halt_ns = 0;
	record->delay_kernel_us = 0;
	record->delay_user_us = 0;
	record->config_epoch = config->epoch;
	record->user_reason = 0;
	record->user_errno = 0;
	record->tid = (u32)pid_tgid;
	record->vcpu = vcpu_id;
	record->cpu = number;
	slot->delay_exit_ns = kvmlog_run_delay_ns();
	return slot;

lost:
	kvmlog_lose(cpu);
	return 0;
}

/* The record that kvmlog_open() began is whole: from here it is one to be written. */
static __always_inline void kvmlog_take(struct kvmlog_bpf_slot *slot)
{
	u32 number = slot->record.cpu;
	struct kvmlog_bpf_cpu *cpu = kvmlog_cpus.lookup(&number);

	if (!cpu)
		return;
	kvmlog_add(cpu->taken, 1);
	kvmlog_barrier();
	slot->pending = 1;
}
