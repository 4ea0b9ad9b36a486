/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one number that says most about an exit of a given reason; inlined into the
 * probe of the module and into the BPF program. Sources: Intel SDM vol. 3, 28.2.1
 * (exit qualification) and appendix C (reasons); AMD APM vol. 2, 15.7 and
 * following, and appendix C (intercept codes). Registers are those of the guest at
 * the exit: KVM stores all general ones at each exit, on both vendors.
 *
 * Who includes this defines before:
 *   kvmlog_vcpu_t                        how it holds a vCPU
 *   kvmlog_guest_register(vcpu, number)  enum kvmlog_guest_register_number
 *   kvmlog_has_decode_assists()          the CPU tells INVLPG's address (SVM)
 */
#ifndef _KVMLOG_DETAIL_H
#define _KVMLOG_DETAIL_H

#include <kvmlog/reasons.h>
#include <kvmlog/record.h>

/* As KVM numbers them (asm/kvm_vcpu_regs.h). */
enum kvmlog_guest_register_number {
	KVMLOG_RAX = 0,
	KVMLOG_RCX = 1,
	KVMLOG_RIP = 16,
};

enum {
	VMX_INTR_INFO_VALID = 1U << 31,
};

static __always_inline __u64 leaf_and_subleaf(kvmlog_vcpu_t vcpu)
{
	return (__u32)kvmlog_guest_register(vcpu, KVMLOG_RAX) |
	       (__u64)(__u32)kvmlog_guest_register(vcpu, KVMLOG_RCX) << 32;
}

static __always_inline bool from_register(struct kvmlog_record *record, __u64 value, bool protected)
{
	if (protected)
		return false;
	record->detail = value;
	return true;
}

static __always_inline bool vmx_detail(struct kvmlog_record *record, kvmlog_vcpu_t vcpu,
				       __u32 intr_info, bool protected)
{
	/* Flags come with another kind of information. */
	if (record->reason & ~KVMLOG_VMX_BASIC_MASK)
		return false;
	switch (record->reason) {
	case KVMLOG_VMX_EXCEPTION_NMI:
	case KVMLOG_VMX_EXTERNAL_INTERRUPT:
		record->detail = intr_info & 0xff;
		return intr_info & VMX_INTR_INFO_VALID;
	case KVMLOG_VMX_CPUID:
		return from_register(record, leaf_and_subleaf(vcpu), protected);
	case KVMLOG_VMX_INVLPG:
		record->detail = record->info1;
		return true;
	case KVMLOG_VMX_VMCALL:
		return from_register(record, kvmlog_guest_register(vcpu, KVMLOG_RAX), protected);
	case KVMLOG_VMX_CR_ACCESS:
		record->detail = record->info1 & 0xf;
		return true;
	case KVMLOG_VMX_DR_ACCESS:
		record->detail = record->info1 & 0x7;
		return true;
	case KVMLOG_VMX_IO_INSTRUCTION:
		record->detail = record->info1 >> 16 & 0xffff;
		return true;
	case KVMLOG_VMX_MSR_READ:
	case KVMLOG_VMX_MSR_WRITE:
		return from_register(record, (__u32)kvmlog_guest_register(vcpu, KVMLOG_RCX),
				     protected);
	case KVMLOG_VMX_EOI_INDUCED:
		record->detail = record->info1 & 0xff;
		return true;
	}
	return false;
}

static __always_inline bool svm_detail(struct kvmlog_record *record, kvmlog_vcpu_t vcpu,
				       bool protected)
{
	switch (record->reason) {
	case KVMLOG_SVM_CPUID:
		return from_register(record, leaf_and_subleaf(vcpu), protected);
	case KVMLOG_SVM_IOIO:
		record->detail = record->info1 >> 16 & 0xffff;
		return true;
	case KVMLOG_SVM_MSR:
		return from_register(record, (__u32)kvmlog_guest_register(vcpu, KVMLOG_RCX),
				     protected);
	case KVMLOG_SVM_NPF:
		record->detail = record->info2;
		return true;
	case KVMLOG_SVM_VMMCALL:
		return from_register(record, kvmlog_guest_register(vcpu, KVMLOG_RAX), protected);
	case KVMLOG_SVM_INVLPG:
		record->detail = record->info1;
		return kvmlog_has_decode_assists();
	case KVMLOG_SVM_READ_CR0 ... KVMLOG_SVM_EXCP_BASE - 1:
		record->detail = record->reason & 0xf;
		return true;
	case KVMLOG_SVM_EXCP_BASE ... KVMLOG_SVM_LAST_EXCP:
		record->detail = record->reason - KVMLOG_SVM_EXCP_BASE;
		return true;
	}
	return false;
}

/*
 * Sets record->detail from its reason and infos, and the vCPU's registers unless
 * they are @protected. False: this exit has none, or it cannot be had.
 */
static __always_inline bool kvmlog_detail_get(__u32 isa, struct kvmlog_record *record,
					      kvmlog_vcpu_t vcpu, __u32 intr_info, bool protected)
{
	bool valid = false;

	if (isa == KVMLOG_ISA_SVM)
		valid = svm_detail(record, vcpu, protected);
	else if (isa == KVMLOG_ISA_VMX)
		valid = vmx_detail(record, vcpu, intr_info, protected);
	if (!valid)
		record->detail = 0;
	return valid;
}

#endif
