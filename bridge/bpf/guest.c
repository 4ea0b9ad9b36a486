// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which struct kvm is which guest. It is known by its address and its process while
 * a slot refers to it; a vCPU whose count of exits has fallen stands at the address
 * of one that is gone, and so does its guest.
 */

#ifdef KVMLOG_VCPU
/* What stays as it is while the vCPU lives. */
static __always_inline void kvmlog_vcpu_read(struct kvmlog_bpf_slot *slot, u64 vcpu)
{
	slot->vmcb = 0;
	slot->record.vcpu = kvmlog_load(u32, vcpu, KVMLOG_AT_VCPU_ID);
	slot->vcpu_flags = kvmlog_load(u8, vcpu, KVMLOG_AT_PROTECTED) ? KVMLOG_F_PROTECTED : 0;
}
#endif

static __always_inline void kvmlog_guest_put(const struct kvmlog_bpf_slot *slot)
{
	struct kvmlog_bpf_guest_key key = { .kvm = slot->kvm, .tgid = slot->tgid };
	struct kvmlog_bpf_guest *guest = kvmlog_guests.lookup(&key);

	if (!guest || guest->number != slot->record.guest)
		return;
	kvmlog_add(guest->refs, -1);
	if (!guest->refs)
		kvmlog_guests.delete(&key);
}

/* Puts the slot to the guest of @vcpu; false: the table of guests is full. */
static __always_inline bool kvmlog_guest_get(struct kvmlog_bpf_control *control,
					     struct kvmlog_bpf_slot *slot, u64 vcpu, u32 tgid)
{
#ifdef KVMLOG_VCPU
	u64 kvm = kvmlog_load(u64, vcpu, KVMLOG_AT_KVM);
#else
	u64 kvm = 0;
#endif
	struct kvmlog_bpf_guest_key key = { .kvm = kvm, .tgid = tgid };
	struct kvmlog_bpf_guest fresh = {};
	struct kvmlog_bpf_guest *guest;
	u32 before = slot->record.guest;
	bool remade = before && slot->vcpu == vcpu;

	if (before && !remade)
		kvmlog_guest_put(slot);
	slot->record.guest = 0;
	guest = kvmlog_guests.lookup(&key);
	if (guest && remade && guest->number == before) {
		kvmlog_guests.delete(&key);
		guest = 0;
	}
	if (!guest) {
		fresh.number = kvmlog_add(control->last_guest, 1) + 1;
		kvmlog_guests.insert(&key, &fresh);
		guest = kvmlog_guests.lookup(&key);
		if (!guest)
			return false;
	}
	kvmlog_add(guest->refs, 1);
	slot->vcpu = vcpu;
	slot->kvm = kvm;
	slot->tgid = tgid;
	slot->record.guest = guest->number;
	slot->announced = 0;
	slot->vcpu_flags = 0;
	slot->exits = ~0ULL; /* nothing of this vCPU has been read yet */
	return true;
}

/* The guest's record into the stream, once; where there is no room the next exit tries again. */
static __always_inline void kvmlog_guest_announce(const struct kvmlog_here *here,
						  struct kvmlog_bpf_slot *slot, u32 isa, u32 epoch,
						  u64 now_ns)
{
	struct kvmlog_bpf_guest_key key = { .kvm = slot->kvm, .tgid = slot->tgid };
	struct kvmlog_bpf_guest *guest = kvmlog_guests.lookup(&key);
	union {
		struct kvmlog_record_guest note;
		struct kvmlog_record record;
	} out = {};

	slot->announced = 1;
	/* It may have just gone with another thread; its number still needs a name. */
	if (guest && !__sync_bool_compare_and_swap(&guest->announced, 0, 1))
		return;
	out.note.type = KVMLOG_RECORD_GUEST;
	out.note.isa = isa;
	out.note.source = KVMLOG_SOURCE_BPF;
	out.note.ns = now_ns;
	out.note.cgroup = bpf_get_current_cgroup_id();
	out.note.config_epoch = epoch;
	out.note.tgid = slot->tgid;
	out.note.tid = here->tid;
	out.note.guest = slot->record.guest;
	out.note.vcpu = KVMLOG_NO_VCPU;
	out.note.cpu = here->number;
#ifdef KVMLOG_TASK
	u64 task = bpf_get_current_task();
	u64 leader = 0;

	bpf_probe_read_kernel(&leader, sizeof(leader), (void *)(task + KVMLOG_AT_GROUP_LEADER));
	bpf_probe_read_kernel(&out.note.start_boottime_ns, sizeof(u64),
			      (void *)(leader + KVMLOG_AT_START_BOOTTIME));
	bpf_probe_read_kernel(&out.note.comm, sizeof(out.note.comm),
			      (void *)(leader + KVMLOG_AT_COMM));
	out.note.comm[KVMLOG_COMM_BYTES - 1] = 0;
#else
	bpf_get_current_comm(&out.note.comm, sizeof(out.note.comm));
#endif
	/* Before the record itself: whoever reads head first counts too few exits, never too many. */
	kvmlog_add(here->cpu->notes, 1);
	if (!kvmlog_write(here, &out.record)) {
		kvmlog_add(here->cpu->notes, -1);
		if (guest)
			guest->announced = 0;
		slot->announced = 0;
	}
}
