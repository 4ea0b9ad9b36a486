// SPDX-License-Identifier: GPL-2.0-only
/*
 * The thread's slot. All programs that touch it run in the thread itself, outside of
 * interrupts, so that they never meet: no lock.
 */

/* The thread's slot, or none. Nearly always the one that this CPU looked for last. */
static __always_inline struct kvmlog_bpf_slot *kvmlog_slot_find(const struct kvmlog_here *here)
{
	u32 index = here->cpu->last_slot;
	struct kvmlog_bpf_slot *slot;
	u32 tid = here->tid;
	u32 *found;

	if (here->cpu->last_tid == tid) {
		slot = kvmlog_slots.lookup(&index);
		if (slot && slot->tid == tid)
			return slot;
	}
	found = kvmlog_threads.lookup(&tid);
	if (!found)
		return 0;
	index = *found;
	slot = kvmlog_slots.lookup(&index);
	if (!slot || slot->tid != tid)
		return 0;
	here->cpu->last_slot = index;
	here->cpu->last_tid = tid;
	return slot;
}

/* A slot of its own for a thread that has none; none when all are taken. */
static __always_inline struct kvmlog_bpf_slot *kvmlog_slot_make(const struct kvmlog_here *here,
								struct kvmlog_bpf_control *control)
{
	struct kvmlog_bpf_slot *slot;
	u32 tid = here->tid;
	u32 index = 0;

	if (kvmlog_free.pop(&index)) {
		if (control->slots_used >= control->slots)
			return 0;
		index = kvmlog_add(control->slots_used, 1);
	}
	slot = kvmlog_slots.lookup(&index);
	if (!slot)
		return 0;
	if (kvmlog_threads.update(&tid, &index)) {
		kvmlog_free.push(&index, 0);
		return 0;
	}
	slot->record.guest = 0;
	slot->vcpu = 0;
	slot->kvm = 0;
	slot->exits = 0;
	slot->pending = 0;
	slot->index = index;
	kvmlog_barrier();
	slot->tid = tid;
	return slot;
}

/* The thread ends. */
static __always_inline void kvmlog_slot_free(const struct kvmlog_here *here,
					     struct kvmlog_bpf_slot *slot)
{
	u32 tid = here->tid;
	u32 index = slot->index;

	slot->tid = 0;
	kvmlog_threads.delete(&tid);
	kvmlog_free.push(&index, 0);
}

/* In the closed phase of the sampling window the programs stay, and return after this test. */
static __always_inline bool kvmlog_window_closed(const struct kvmlog_bpf_config *config, u64 now_ns)
{
	return config->period_ns &&
	       (now_ns - config->window_ns) % config->period_ns >= config->open_ns;
}

/* One exit in @one_in: whether this one is kept. */
static __always_inline bool kvmlog_sampler_keeps(struct kvmlog_bpf_cpu *cpu, u32 one_in)
{
	if (kvmlog_sampler_skips(&cpu->skip, one_in))
		return false;
	cpu->skip = kvmlog_sampler_gap(one_in, bpf_get_prandom_u32());
	return true;
}

/* Whether filter and sampling let this exit pass; counts those that they do not. */
static __always_inline bool kvmlog_exit_passes(const struct kvmlog_here *here,
					       const struct kvmlog_bpf_config *config,
					       u32 config_number, u64 now_ns)
{
	struct kvmlog_bpf_cpu *cpu = here->cpu;

	if (config->tgids) {
		struct kvmlog_bpf_tgid key = { .config = config_number, .tgid = here->tgid };

		if (!kvmlog_tgids.lookup(&key)) {
			kvmlog_add(cpu->filtered, 1);
			return false;
		}
	}
	if (kvmlog_window_closed(config, now_ns) ||
	    (config->one_in > 1 && !kvmlog_sampler_keeps(cpu, config->one_in))) {
		kvmlog_add(cpu->sampled, 1);
		return false;
	}
	return true;
}

/*
 * An exit begins: the slot with a record that lacks only what is known of the reason,
 * or none: off, or (counted) filtered, sampled out, or without room. @vcpu: 0 where it
 * is not known.
 */
static __always_inline struct kvmlog_bpf_slot *kvmlog_open(const struct kvmlog_here *here, u64 vcpu,
							   u32 isa)
{
#ifdef KVMLOG_VCPU
	u64 exits = kvmlog_load(u64, vcpu, KVMLOG_AT_EXITS);
#else
	u64 exits = 0;
#endif
	u64 now_ns = bpf_ktime_get_ns();
	int zero = 0;
	struct kvmlog_bpf_control *control = kvmlog_control.lookup(&zero);
	const struct kvmlog_bpf_config *config;
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_record *record;
	u32 active;

	if (!control)
		return 0;
	active = control->active & 1;
	config = &control->configs[active];
	if (config->until_ns && now_ns >= config->until_ns)
		return 0;
	if (!kvmlog_exit_passes(here, config, active, now_ns))
		return 0;
	slot = kvmlog_slot_find(here);
	if (!slot) {
		slot = kvmlog_slot_make(here, control);
		if (!slot)
			goto lost;
	}
	record = &slot->record;
	/* KVM re-enters before it exits again, unless a program missed it. */
	if (slot->pending)
		kvmlog_finish(here, slot, KVMLOG_F_NO_REENTRY);
	if (slot->vcpu != vcpu || (vcpu && exits < slot->exits) || !record->guest) {
		if (!kvmlog_guest_get(control, slot, vcpu, here->tgid))
			goto lost;
	}
#ifdef KVMLOG_VCPU
	/* Some went by unseen, and another vCPU may have come to stand at its address. */
	if (exits != slot->exits)
		kvmlog_vcpu_read(slot, vcpu);
#endif
	slot->exits = exits + 1;
	if (!slot->announced)
		kvmlog_guest_announce(here, slot, isa, config->epoch, now_ns);

	kvmlog_exit_begin(record, isa, KVMLOG_SOURCE_BPF, config->epoch, now_ns);
	record->tid = here->tid;
	record->cpu = here->number;
	slot->delay_exit_ns = kvmlog_run_delay_ns();
	return slot;

lost:
	kvmlog_count_lost(here->cpu);
	return 0;
}

/* The record that kvmlog_open() began is whole: from here it is one to be written. */
static __always_inline void kvmlog_take(const struct kvmlog_here *here,
					struct kvmlog_bpf_slot *slot)
{
	kvmlog_add(here->cpu->taken, 1);
	kvmlog_barrier();
	slot->pending = 1;
}
