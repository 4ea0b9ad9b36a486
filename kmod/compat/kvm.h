/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel's KVM looks like from outside. kvm.ko keeps its trace.h and
 * kvm_cache_regs.h to itself, so the few facts needed of them are stated here,
 * with the kernel release that changed them.
 *
 * Distributions port KVM back, so that a version tells little: types that public headers
 * have are compared, and members are looked for (probe.c). Signatures are written as BTF
 * writes them: parameter types only, typedefs resolved, joined by ", "; user space
 * confirms them. The running kernel may pass more arguments than the probe takes (the ABI
 * lets a callee ignore them), never other ones:
 *
 *   kvm_exit            (unsigned int reason, vcpu, isa) before v5.16; (vcpu, isa) since
 *                       "KVM: x86: Get exit_reason as part of kvm_x86_ops.get_exit_info",
 *                       which gave get_exit_info its reason: the one tells the other
 *   kvm_entry           (unsigned int vcpu_id) before v5.10; (vcpu) since "KVM: x86: Add RIP
 *                       to the kvm_entry, i.e. VM-Enter, tracepoint";
 *                       (vcpu, bool force_immediate_exit) since v6.8 and in the
 *                       6.1 and 6.6 stable trees
 *   kvm_page_fault      (address, error_code) before v6.2; with the vCPU before them since,
 *                       and in 6.1 stable
 *   sched_process_exit  (task); (task, bool group_dead) since v6.15
 *   get_exit_info       (vcpu, info1, info2, intr_info, error_code) since v5.10, "KVM: x86:
 *                       Add intr/vectoring info and error code to kvm_exit tracepoint";
 *                       a pointer to the reason before info1 since v5.16
 */
#ifndef _KVMLOG_COMPAT_KVM_H
#define _KVMLOG_COMPAT_KVM_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/kvm_host.h>
#include <linux/version.h>

#include "generated/features.h"

/* A probe of the wrong type would be refused by the first call: better not to build at all. */
#if defined(CONFIG_CFI_CLANG) || defined(CONFIG_CFI)
#error "kvmlog calls KVM's get_exit_info by address, which a kernel with kCFI does not allow"
#endif

#ifdef KVMLOG_HAVE_EXIT_INFO_REASON
typedef void (*kvmlog_get_exit_info_t)(struct kvm_vcpu *vcpu, u32 *reason, u64 *info1, u64 *info2,
				       u32 *intr_info, u32 *error_code);
#define KVMLOG_SIGNATURE_GET_EXIT_INFO                                  \
	"struct kvm_vcpu *, unsigned int *, long long unsigned int *, " \
	"long long unsigned int *, unsigned int *, unsigned int *"
#define KVMLOG_SIGNATURE_KVM_EXIT "struct kvm_vcpu *, unsigned int"
/* What kvm_exit passes; how it is passed on; and of it the reason. */
#define KVMLOG_KVM_EXIT_PROTO struct kvm_vcpu *vcpu, u32 isa
#define KVMLOG_KVM_EXIT_ARGS vcpu, isa
#define KVMLOG_KVM_EXIT_REASON 0
/*
 * Nothing public tells what kvm_page_fault passes. From v5.16 to v6.1 it may lack the vCPU yet:
 * then BTF says so, and detail of an EPT violation is left out.
 */
#define KVMLOG_SIGNATURE_KVM_PAGE_FAULT "struct kvm_vcpu *, long long unsigned int"
#define KVMLOG_KVM_PAGE_FAULT_PROTO struct kvm_vcpu *vcpu, u64 address, u64 error_code
#else
typedef void (*kvmlog_get_exit_info_t)(struct kvm_vcpu *vcpu, u64 *info1, u64 *info2,
				       u32 *intr_info, u32 *error_code);
#define KVMLOG_SIGNATURE_GET_EXIT_INFO                                            \
	"struct kvm_vcpu *, long long unsigned int *, long long unsigned int *, " \
	"unsigned int *, unsigned int *"
#define KVMLOG_SIGNATURE_KVM_EXIT "unsigned int, struct kvm_vcpu *, unsigned int"
#define KVMLOG_KVM_EXIT_PROTO unsigned int passed_reason, struct kvm_vcpu *vcpu, u32 isa
#define KVMLOG_KVM_EXIT_ARGS passed_reason, vcpu, isa
#define KVMLOG_KVM_EXIT_REASON passed_reason
#define KVMLOG_SIGNATURE_KVM_PAGE_FAULT "long unsigned int, unsigned int"
#define KVMLOG_KVM_PAGE_FAULT_PROTO unsigned long address, unsigned int error_code
#endif
typedef void (*kvmlog_cache_reg_t)(struct kvm_vcpu *vcpu, enum kvm_reg reg);

static_assert(__same_type(typeof_member(struct kvm_x86_ops, get_exit_info), kvmlog_get_exit_info_t),
	      "kvmlog knows no such get_exit_info: it needs the KVM of Linux 5.10 or newer");
static_assert(__same_type(typeof_member(struct kvm_x86_ops, cache_reg), kvmlog_cache_reg_t),
	      "kvmlog knows no such cache_reg");

#define KVMLOG_SIGNATURE_KVM_ENTRY "struct kvm_vcpu *"
#define KVMLOG_SIGNATURE_KVM_USERSPACE_EXIT "unsigned int, int"
#define KVMLOG_SIGNATURE_KVM_VCPU_WAKEUP "long long unsigned int, _Bool"
#define KVMLOG_SIGNATURE_KVM_FAST_MMIO "long long unsigned int"
#define KVMLOG_SIGNATURE_KVM_MMIO "int, int, long long unsigned int, void *"
#define KVMLOG_SIGNATURE_KVM_NESTED_VMEXIT_INJECT "unsigned int"
#define KVMLOG_SIGNATURE_SCHED_PROCESS_EXIT "struct task_struct *"
#define KVMLOG_SIGNATURE_CACHE_REG "struct kvm_vcpu *, enum kvm_reg"

#ifdef KVMLOG_HAVE_VCPU_RIP
#define KVMLOG_RIP_FIELD(X) X(rip, kvm_vcpu, arch.rip)
#else
#define KVMLOG_RIP_FIELD(X)
#endif
#ifdef KVMLOG_HAVE_VCPU_PROTECTED
#define KVMLOG_PROTECTED_FIELD(X) X(guest_state_protected, kvm_vcpu, arch.guest_state_protected)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
/* Without it registers that are hidden would be told as if they were the guest's. */
#error "kvmlog does not find how this kernel marks guests whose registers are hidden"
#else
#define KVMLOG_PROTECTED_FIELD(X)
#endif
#ifdef KVMLOG_HAVE_VCPU_ARRAY
#define KVMLOG_VCPUS_FIELD(X) X(vcpu_array, kvm, vcpu_array)
#else
#define KVMLOG_VCPUS_FIELD(X) X(vcpus, kvm, vcpus)
#endif

/*
 * Every member of KVM's structures that kvmlog reads: X(name, struct, member). Whatever reads
 * one does so through its accessor, so that nothing is read that this list does not name.
 */
#define KVMLOG_KVM_FIELDS(X)                     \
	X(kvm, kvm_vcpu, kvm)                    \
	X(vcpu_id, kvm_vcpu, vcpu_id)            \
	X(vcpu_idx, kvm_vcpu, vcpu_idx)          \
	X(exits, kvm_vcpu, stat.exits)           \
	X(regs, kvm_vcpu, arch.regs)             \
	X(regs_avail, kvm_vcpu, arch.regs_avail) \
	X(hflags, kvm_vcpu, arch.hflags)         \
	KVMLOG_RIP_FIELD(X)                      \
	KVMLOG_PROTECTED_FIELD(X)                \
	KVMLOG_VCPUS_FIELD(X)

/* And of the scheduler's and the cgroups': X(struct, member). */
#ifdef CONFIG_SCHED_INFO
#define KVMLOG_DELAY_FIELDS(X) X(task_struct, sched_info.run_delay)
#else
#define KVMLOG_DELAY_FIELDS(X)
#endif
#ifdef CONFIG_CGROUPS
#define KVMLOG_CGROUP_FIELDS(X) \
	X(task_struct, cgroups) \
	X(css_set, dfl_cgrp)    \
	X(cgroup, kn)           \
	X(kernfs_node, id)
#else
#define KVMLOG_CGROUP_FIELDS(X)
#endif
#define KVMLOG_TASK_FIELDS(X)          \
	X(task_struct, pid)            \
	X(task_struct, tgid)           \
	X(task_struct, group_leader)   \
	X(task_struct, start_boottime) \
	X(task_struct, comm)           \
	KVMLOG_DELAY_FIELDS(X)         \
	KVMLOG_CGROUP_FIELDS(X)

/* kvmlog_field_NAME(base): where the member is. Only for the functions below. */
#define KVMLOG_FIELD_ACCESSOR(name, type, member)                           \
	static __always_inline typeof_member(struct type, member) *         \
		kvmlog_field_##name(const struct type *base)                \
	{                                                                   \
		return (typeof_member(struct type, member) *)&base->member; \
	}
KVMLOG_KVM_FIELDS(KVMLOG_FIELD_ACCESSOR)
#undef KVMLOG_FIELD_ACCESSOR

/* The guest that the vCPU belongs to. */
static __always_inline struct kvm *kvmlog_vcpu_kvm(const struct kvm_vcpu *vcpu)
{
	return *kvmlog_field_kvm(vcpu);
}

/* The number that the VMM gave it, as records carry it. */
static __always_inline u16 kvmlog_vcpu_id(const struct kvm_vcpu *vcpu)
{
	return *kvmlog_field_vcpu_id(vcpu);
}

/* Its index in the guest's array of vCPUs. */
static __always_inline int kvmlog_vcpu_index(const struct kvm_vcpu *vcpu)
{
	return *kvmlog_field_vcpu_idx(vcpu);
}

/* One of the guest's registers as KVM stored it at the exit. */
static __always_inline unsigned long kvmlog_vcpu_register(const struct kvm_vcpu *vcpu,
							  unsigned int number)
{
	return (*kvmlog_field_regs(vcpu))[number];
}

/* is_guest_mode() of kvm_cache_regs.h; the mask's value moved in v6.4, its name stayed. */
static __always_inline bool kvmlog_vcpu_nested(const struct kvm_vcpu *vcpu)
{
	return *kvmlog_field_hflags(vcpu) & HF_GUEST_MASK;
}

/* SEV-ES, SEV-SNP, TDX: what stands in regs[] is not the guest's. */
static __always_inline bool kvmlog_vcpu_protected(const struct kvm_vcpu *vcpu)
{
#ifdef KVMLOG_HAVE_VCPU_PROTECTED
	return *kvmlog_field_guest_state_protected(vcpu);
#else
	return false;
#endif
}

/* The instruction pointer, by KVM's number for it, and as KVM stored it. */
#ifdef KVMLOG_HAVE_VCPU_RIP
#define KVMLOG_REG_RIP VCPU_REG_RIP
#else
#define KVMLOG_REG_RIP VCPU_REGS_RIP
#endif

static __always_inline unsigned long kvmlog_vcpu_rip(const struct kvm_vcpu *vcpu)
{
#ifdef KVMLOG_HAVE_VCPU_RIP
	return *kvmlog_field_rip(vcpu);
#else
	return kvmlog_vcpu_register(vcpu, VCPU_REGS_RIP);
#endif
}

/*
 * kvm_register_is_available() of kvm_cache_regs.h. SVM has all of them at every exit. The
 * registers are bits of a u32 before v7.2, of a bitmap since, whose first 32 lie in the same place.
 */
static __always_inline bool kvmlog_vcpu_has_rip(const struct kvm_vcpu *vcpu)
{
	BUILD_BUG_ON(KVMLOG_REG_RIP >= 32);
	return *(const u32 *)kvmlog_field_regs_avail(vcpu) & BIT(KVMLOG_REG_RIP);
}

/* Why the vCPU left its guest, by the vendor's get_exit_info; @passed is KVMLOG_KVM_EXIT_REASON. */
static __always_inline void kvmlog_vcpu_exit_info(kvmlog_get_exit_info_t get_exit_info,
						  struct kvm_vcpu *vcpu, u32 passed, u32 *reason,
						  u64 *info1, u64 *info2, u32 *intr_info,
						  u32 *error_code)
{
#ifdef KVMLOG_HAVE_EXIT_INFO_REASON
	get_exit_info(vcpu, reason, info1, info2, intr_info, error_code);
#else
	*reason = passed;
	get_exit_info(vcpu, info1, info2, intr_info, error_code);
#endif
}

/* Grows by at least one from exit to exit of one vCPU, and starts at 0 with the next one. */
static __always_inline u64 kvmlog_vcpu_exits(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(*kvmlog_field_exits(vcpu));
}

/* The vCPU that stands at @index of @kvm now, or NULL. */
static __always_inline const struct kvm_vcpu *kvmlog_vcpu_at(const struct kvm *kvm, int index)
{
#ifdef KVMLOG_HAVE_VCPU_ARRAY
	return xa_load(kvmlog_field_vcpu_array(kvm), index);
#else
	return READ_ONCE((*kvmlog_field_vcpus(kvm))[index]);
#endif
}

#endif
