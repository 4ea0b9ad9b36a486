// SPDX-License-Identifier: GPL-2.0-only
/* An exit: why, and where in the guest. */

#define kvmlog_vcpu_t u64
#ifdef KVMLOG_VCPU
#define kvmlog_guest_register(vcpu, number) kvmlog_load(u64, vcpu, KVMLOG_AT_REGS + 8 * (number))
#else
#define kvmlog_guest_register(vcpu, number) 0
#endif
#define kvmlog_has_decode_assists() KVMLOG_DECODE_ASSISTS
#include <kvmlog/detail.h>

/* What is known of the reason goes into the slot's record; its flags. */
static __always_inline u32 kvmlog_fill(struct kvmlog_bpf_slot *slot, u64 vcpu, u32 flags,
				       u32 reason, u64 info1, u64 info2, u32 intr_info)
{
	struct kvmlog_record *record = &slot->record;
#ifdef KVMLOG_VCPU
	bool unreadable = flags & KVMLOG_F_PROTECTED;
#else
	bool unreadable = true;
#endif

	record->reason = reason;
	record->info1 = info1;
	record->info2 = info2;
	flags |= KVMLOG_F_INFO_VALID;
	if (kvmlog_detail_get(KVMLOG_ISA, record, vcpu, intr_info, unreadable))
		flags |= KVMLOG_F_DETAIL_VALID;
	return flags;
}

/* The reason could not be had: no ISA, so that no table gives it a name. */
static __always_inline void kvmlog_fill_unknown(struct kvmlog_bpf_slot *slot)
{
	slot->record.isa = KVMLOG_ISA_NONE;
	slot->record.reason = 0;
	slot->record.info1 = 0;
	slot->record.info2 = 0;
	slot->record.detail = 0;
}

/* Of an exit that left a nested guest: this host handles it, unless L1 turns out to. */
#ifdef KVMLOG_TELLS_L1
#define KVMLOG_NESTED (KVMLOG_F_NESTED | KVMLOG_F_NESTED_L0)
#else
#define KVMLOG_NESTED KVMLOG_F_NESTED
#endif

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
		*flags |= KVMLOG_NESTED;
	return vmcbs.used;
}

/* As svm_get_exit_info() reads it. */
static __always_inline u32 kvmlog_reason(const struct kvmlog_here *here,
					 struct kvmlog_bpf_slot *slot, u64 vcpu)
{
	struct {
		u64 code;
		u64 info1;
		u64 info2;
	} control;
	u32 flags = slot->vcpu_flags;
	u64 vmcb = kvmlog_vmcb(slot, vcpu, &flags);

	if (!vmcb || bpf_probe_read_kernel(&control, sizeof(control),
					   (void *)(vmcb + KVMLOG_AT_EXIT_CODE))) {
		kvmlog_fill_unknown(slot);
		return flags;
	}
	flags = kvmlog_fill(slot, vcpu, flags, control.code, control.info1, control.info2, 0);
	if (!(flags & KVMLOG_F_PROTECTED)) {
		slot->record.rip = kvmlog_load(u64, vcpu, KVMLOG_AT_REGS + 8 * KVMLOG_RIP);
		flags |= KVMLOG_F_RIP_VALID;
	}
	return flags;
}
#endif

#ifdef KVMLOG_REASON_EVENT
/*
 * The event kvm_exit tells what its fields say, to the program on the tracepoint itself,
 * which runs next on the same CPU: probes run in the order of their coming, and this one
 * is attached first. Returns 1: with 0 the event would vanish for everybody else.
 */
int kvmlog_event_exit(void *ctx)
{
	struct kvmlog_bpf_cpu *cpu;
	struct kvmlog_here here;

	if (!kvmlog_find_here(&here))
		return 1;
	cpu = here.cpu;
	cpu->reason = *(u32 *)(ctx + KVMLOG_AT_EVENT_REASON);
	cpu->info1 = *(u64 *)(ctx + KVMLOG_AT_EVENT_INFO1);
	cpu->info2 = *(u64 *)(ctx + KVMLOG_AT_EVENT_INFO2);
	cpu->rip = *(u64 *)(ctx + KVMLOG_AT_EVENT_RIP);
	cpu->intr_info = *(u32 *)(ctx + KVMLOG_AT_EVENT_INTR_INFO);
	cpu->vcpu_id = *(u32 *)(ctx + KVMLOG_AT_EVENT_VCPU_ID);
	kvmlog_barrier();
	cpu->event_tid = here.tid;
	return 1;
}

static __always_inline u32 kvmlog_nested(u64 vcpu)
{
	bool nested = false;
#if defined(KVMLOG_AT_VMCB)
	struct kvmlog_vmcbs vmcbs;

	nested = kvmlog_read_vmcbs(vcpu, &vmcbs) && vmcbs.used != vmcbs.own;
#elif defined(KVMLOG_AT_LOADED_VMCS)
	u64 vmcs = 0;

	nested = !bpf_probe_read_kernel(&vmcs, sizeof(vmcs),
					(void *)(vcpu + KVMLOG_AT_LOADED_VMCS)) &&
		 vmcs != vcpu + KVMLOG_AT_VMCS01;
#endif
	return nested ? KVMLOG_NESTED : 0;
}

static __always_inline u32 kvmlog_reason(const struct kvmlog_here *here,
					 struct kvmlog_bpf_slot *slot, u64 vcpu)
{
	const struct kvmlog_bpf_cpu *cpu = here->cpu;
	u32 flags = slot->vcpu_flags | kvmlog_nested(vcpu);

#ifndef KVMLOG_VCPU
	slot->record.vcpu = here->has_event ? cpu->vcpu_id : KVMLOG_NO_VCPU;
#endif
	if (!here->has_event) { /* the kernel left the event's program out */
		kvmlog_fill_unknown(slot);
		return flags;
	}
	flags = kvmlog_fill(slot, vcpu, flags, cpu->reason, cpu->info1, cpu->info2, cpu->intr_info);
#ifndef KVMLOG_RIP_UNSURE
	if (!(flags & KVMLOG_F_PROTECTED)) {
		slot->record.rip = cpu->rip;
		flags |= KVMLOG_F_RIP_VALID;
	}
#endif
	return flags;
}
#endif

#ifndef KVMLOG_REASON_NONE
int kvmlog_kvm_exit(struct bpf_raw_tracepoint_args *ctx)
{
#ifdef KVMLOG_VCPU
	u64 vcpu = ctx->args[KVMLOG_ARGUMENT_VCPU];
#else
	u64 vcpu = 0;
#endif
	struct kvmlog_bpf_slot *slot;
	struct kvmlog_here here;

#ifdef KVMLOG_VCPU
	if (!vcpu) /* never, but the verifier of recent kernels asks */
		return 0;
#endif
	if (!kvmlog_find_here(&here))
		return 0;
#ifdef KVMLOG_REASON_EVENT
	here.has_event = here.cpu->event_tid == here.tid;
	here.cpu->event_tid = 0;
#endif
	slot = kvmlog_open(&here, vcpu, KVMLOG_ISA);
	if (!slot)
		return 0;
	slot->record.rip = 0;
	slot->record.flags = kvmlog_reason(&here, slot, vcpu);
	kvmlog_take(&here, slot);
	return 0;
}
#endif
