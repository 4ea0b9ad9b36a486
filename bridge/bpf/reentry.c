// SPDX-License-Identifier: GPL-2.0-only
/* What happens between an exit and the re-entry, and the re-entry itself. */

static __always_inline struct kvmlog_bpf_slot *kvmlog_slot_here(struct kvmlog_here *here)
{
	return kvmlog_find_here(here) ? kvmlog_slot_find(here) : 0;
}

#ifndef KVMLOG_REASON_NONE
int kvmlog_kvm_entry(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvmlog_here here;
	struct kvmlog_bpf_slot *slot = kvmlog_slot_here(&here);
	u32 flags = 0;

	if (!slot || !slot->pending)
		return 0;
#ifdef KVMLOG_VCPU
	/* The thread enters another vCPU than it left. */
	if (slot->vcpu != ctx->args[0])
		flags = KVMLOG_F_NO_REENTRY;
#endif
	kvmlog_finish(&here, slot, flags);
	return 0;
}

int kvmlog_kvm_userspace_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvmlog_here here;
	struct kvmlog_bpf_slot *slot = kvmlog_slot_here(&here);

	if (slot && slot->pending)
		kvmlog_exit_returned(slot, ctx->args[0], ctx->args[1], bpf_ktime_get_ns(),
				     kvmlog_run_delay_ns());
	return 0;
}

int kvmlog_kvm_vcpu_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvmlog_here here;
	struct kvmlog_bpf_slot *slot = kvmlog_slot_here(&here);

	if (slot && slot->pending)
		kvmlog_exit_halted(slot, ctx->args[0], (u8)ctx->args[1]);
	return 0;
}
#else

/*
 * No exits are traced here, so a return from KVM_RUN is a record of its own: that it
 * was, when, and why KVM gave the vCPU back; nothing tells of the way in again.
 */
int kvmlog_kvm_userspace_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_record *record;
	struct kvmlog_here here;

	if (!kvmlog_find_here(&here))
		return 0;
	slot = kvmlog_open(&here, 0, KVMLOG_ISA_NONE);
	if (!slot)
		return 0;
	record = &slot->record;
	record->vcpu = KVMLOG_NO_VCPU;
	record->user_exits = 1;
	record->total_ns = 0;
	record->flags = KVMLOG_F_NO_REENTRY;
	kvmlog_exit_set_user_reason(record, ctx->args[0], ctx->args[1]);
	kvmlog_take(&here, slot);
	kvmlog_emit(&here, slot);
	return 0;
}
#endif

#ifdef KVMLOG_VMX_ADDRESSES
static __always_inline void kvmlog_set_address(u32 vmx_reason, u64 address)
{
	struct kvmlog_here here;
	struct kvmlog_bpf_slot *slot = kvmlog_slot_here(&here);

	if (slot && slot->pending)
		kvmlog_exit_set_address(&slot->record, vmx_reason, address);
}

int kvmlog_kvm_page_fault(struct bpf_raw_tracepoint_args *ctx)
{
	kvmlog_set_address(KVMLOG_VMX_EPT_VIOLATION, ctx->args[KVMLOG_ARGUMENT_FAULT_ADDRESS]);
	return 0;
}

/* By an ioeventfd that wants no value: the instruction is not looked at. */
int kvmlog_kvm_fast_mmio(struct bpf_raw_tracepoint_args *ctx)
{
	kvmlog_set_address(KVMLOG_VMX_EPT_MISCONFIG, ctx->args[0]);
	return 0;
}

/* By emulating the instruction. Of several accesses, the record keeps the first. */
int kvmlog_kvm_mmio(struct bpf_raw_tracepoint_args *ctx)
{
	kvmlog_set_address(KVMLOG_VMX_EPT_MISCONFIG, ctx->args[2]);
	return 0;
}
#endif

#ifdef KVMLOG_TELLS_L1
/* KVM gives L1, the hypervisor in the guest, an exit. */
int kvmlog_kvm_nested_vmexit_inject(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvmlog_here here;
	struct kvmlog_bpf_slot *slot = kvmlog_slot_here(&here);

	if (slot && slot->pending)
		kvmlog_exit_to_l1(&slot->record);
	return 0;
}
#endif

/* The thread ends: what it left unfinished is written, its slot and its guest given back. */
int kvmlog_sched_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvmlog_here here;
	struct kvmlog_bpf_slot *slot = kvmlog_slot_here(&here);

	if (!slot)
		return 0;
	if (slot->pending)
		kvmlog_finish(&here, slot, KVMLOG_F_NO_REENTRY);
	if (slot->record.guest)
		kvmlog_guest_put(slot);
	kvmlog_slot_free(&here, slot);
	return 0;
}
