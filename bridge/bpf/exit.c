// SPDX-License-Identifier: GPL-2.0-only
/* An exit: why, and where in the guest. */

#ifdef KVMLOG_VCPU
#define kvmlog_vcpu_t u64
#if defined(KVMLOG_REASON_VCPU)
#define kvmlog_guest_register(vcpu, number) kvmlog_load(u64, vcpu, KVMLOG_AT_REGS + 8 * (number))
#else
/* The event's program has the vCPU as a number only. */
static __always_inline u64 kvmlog_guest_register(u64 vcpu, int number)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(vcpu + KVMLOG_AT_REGS + 8 * number));
	return value;
}
#endif
#else
#define kvmlog_vcpu_t u64
#define kvmlog_guest_register(vcpu, number) 0
#endif
#define kvmlog_has_decode_assists() KVMLOG_DECODE_ASSISTS
#include <kvmlog/detail.h>

#ifdef KVMLOG_AT_VMCB
/* svm->vmcb, and behind it svm->vmcb01.ptr: another one is in use for a nested guest. */
struct kvmlog_vmcbs {
	u64 used;
	u64 own;
};

static __always_inline bool kvmlog_read_vmcbs(u64 vcpu, struct kvmlog_vmcbs *vmcbs)
{
	return !bpf_probe_read_kernel(vmcbs, sizeof(*vmcbs), (void *)(vcpu + KVMLOG_AT_VMCB));
}
#endif

#ifdef KVMLOG_REASON_VCPU
/* The VMCB in use, 0 if it cannot be had; tells in *flags when it is a nested guest's. */
static __always_inline u64 kvmlog_vmcb(struct kvmlog_bpf_slot *slot, u64 vcpu, u32 *flags)
{
	struct kvmlog_vmcbs vmcbs;

#ifdef KVMLOG_HFLAGS_IDLE
	/* Without a flag that could mean a nested guest it is the one found before. */
	if (slot->vmcb && !(kvmlog_load(u32, vcpu, KVMLOG_AT_HFLAGS) & ~KVMLOG_HFLAGS_IDLE))
		return slot->vmcb;
#endif
	if (!kvmlog_read_vmcbs(vcpu, &vmcbs))
		return 0;
	slot->vmcb = vmcbs.own;
	if (vmcbs.used != vmcbs.own)
		*flags |= KVMLOG_F_NESTED;
	return vmcbs.used;
}

/* As svm_get_exit_info() reads it. */
int kvmlog_kvm_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 vcpu = ctx->args[KVMLOG_ARGUMENT_VCPU];
	struct {
		u64 code;
		u64 info1;
		u64 info2;
	} control;
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_record *record;
	struct kvmlog_here here;
	u64 vmcb;
	u32 flags;

	/* It is never 0, but the verifier of recent kernels asks. */
	if (!vcpu || !kvmlog_find_here(&here))
		return 0;
	slot = kvmlog_open(&here, vcpu, KVMLOG_ISA_SVM);
	if (!slot)
		return 0;
	record = &slot->record;
	flags = slot->vcpu_flags;
	vmcb = kvmlog_vmcb(slot, vcpu, &flags);
	if (vmcb && !bpf_probe_read_kernel(&control, sizeof(control),
					   (void *)(vmcb + KVMLOG_AT_EXIT_CODE))) {
		record->reason = control.code;
		record->info1 = control.info1;
		record->info2 = control.info2;
		flags |= KVMLOG_F_INFO_VALID;
		if (kvmlog_detail_get(KVMLOG_ISA_SVM, record, vcpu, 0, flags & KVMLOG_F_PROTECTED))
			flags |= KVMLOG_F_DETAIL_VALID;
	} else {
		record->reason = 0;
		record->info1 = 0;
		record->info2 = 0;
		record->detail = 0;
	}
	record->rip = 0;
	if (!(flags & KVMLOG_F_PROTECTED)) {
		record->rip = kvmlog_load(u64, vcpu, KVMLOG_AT_REGS + 8 * KVMLOG_RIP);
		flags |= KVMLOG_F_RIP_VALID;
	}
	record->flags = flags;
	kvmlog_take(&here, slot);
	return 0;
}
#endif

#ifdef KVMLOG_REASON_EVENT
#ifdef KVMLOG_VCPU
static __always_inline u32 kvmlog_nested(u64 vcpu)
{
	bool nested = false;
#ifdef KVMLOG_AT_VMCB
	struct kvmlog_vmcbs vmcbs;

	nested = kvmlog_read_vmcbs(vcpu, &vmcbs) && vmcbs.used != vmcbs.own;
#else
	u64 vmcs = 0;

	nested = !bpf_probe_read_kernel(&vmcs, sizeof(vmcs),
					(void *)(vcpu + KVMLOG_AT_LOADED_VMCS)) &&
		 vmcs != vcpu + KVMLOG_AT_VMCS01;
#endif
	return nested ? KVMLOG_F_NESTED : 0;
}

/* Runs before the event's program, which has no vCPU. */
int kvmlog_kvm_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 vcpu = ctx->args[KVMLOG_ARGUMENT_VCPU];
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_here here;

	/* It is never 0, but the verifier of recent kernels asks. */
	if (!vcpu || !kvmlog_find_here(&here))
		return 0;
	slot = kvmlog_open(&here, vcpu, ctx->args[KVMLOG_ARGUMENT_ISA]);
	if (!slot)
		return 0;
	slot->record.flags = slot->vcpu_flags | kvmlog_nested(vcpu);
	slot->opened = 1;
	return 0;
}
#endif

/* Returns 1: with 0 the event would vanish for everybody else on the machine. */
int kvmlog_event_exit(void *ctx)
{
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_here here;
	struct kvmlog_record *record;
	bool unreadable = true;
	u32 intr_info = 0;
	u32 flags = 0;

	if (!kvmlog_find_here(&here))
		return 1;
#ifdef KVMLOG_VCPU
	slot = kvmlog_slot_find(&here);
	if (!slot || !slot->opened)
		return 1;
	slot->opened = 0;
	record = &slot->record;
	flags = record->flags;
	unreadable = flags & KVMLOG_F_PROTECTED;
#else
	slot = kvmlog_open(&here, 0, *(u32 *)(ctx + KVMLOG_AT_EVENT_ISA));
	if (!slot)
		return 1;
	record = &slot->record;
	record->vcpu = *(u32 *)(ctx + KVMLOG_AT_EVENT_VCPU_ID);
#endif
	record->reason = *(u32 *)(ctx + KVMLOG_AT_EVENT_REASON);
	record->info1 = *(u64 *)(ctx + KVMLOG_AT_EVENT_INFO1);
	record->info2 = *(u64 *)(ctx + KVMLOG_AT_EVENT_INFO2);
	record->rip = 0;
	intr_info = *(u32 *)(ctx + KVMLOG_AT_EVENT_INTR_INFO);
	flags |= KVMLOG_F_INFO_VALID;
	if (!(flags & KVMLOG_F_PROTECTED)) {
		record->rip = *(u64 *)(ctx + KVMLOG_AT_EVENT_RIP);
		flags |= KVMLOG_F_RIP_VALID;
	}
	if (kvmlog_detail_get(record->isa, record, slot->vcpu, intr_info, unreadable))
		flags |= KVMLOG_F_DETAIL_VALID;
	record->flags = flags;
	kvmlog_take(&here, slot);
	return 1;
}
#endif
