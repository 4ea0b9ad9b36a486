/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel's KVM looks like from outside. kvm.ko keeps its trace.h and
 * kvm_cache_regs.h to itself, so the few facts needed of them are stated here,
 * with the kernel release that changed them.
 *
 * Signatures are written as BTF writes them: parameter types only, typedefs
 * resolved, joined by ", ". The running kernel may pass more arguments than the
 * probe takes (the ABI lets a callee ignore them), never other ones:
 *
 *   kvm_exit            (unsigned int reason, vcpu, isa) before v5.16, where the
 *                       reason was an argument; (vcpu, isa) since
 *   kvm_entry           (unsigned int vcpu_id) before v5.10; (vcpu) since;
 *                       (vcpu, bool force_immediate_exit) since v6.8 and in the
 *                       6.1 and 6.6 stable trees
 *   sched_process_exit  (task); (task, bool group_dead) since v6.15
 *   get_exit_info       without error codes before v5.6; these six since, in
 *                       v5.11 the reason became a pointer
 */
#ifndef _KVMLOG_COMPAT_KVM_H
#define _KVMLOG_COMPAT_KVM_H

#include <linux/kvm_host.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 17, 0)
#error "kvmlog needs a kernel of 5.17 or newer: kvm_exit carries the vCPU since 5.16, kvm->vcpu_array exists since 5.17"
#endif

/* A probe of the wrong type would be refused by the first call: better not to build at all. */
#if defined(CONFIG_CFI_CLANG) || defined(CONFIG_CFI)
#error "kvmlog calls KVM's get_exit_info by address, which a kernel with kCFI does not allow"
#endif

#define KVMLOG_SIGNATURE_KVM_EXIT "struct kvm_vcpu *, unsigned int"
#define KVMLOG_SIGNATURE_KVM_ENTRY "struct kvm_vcpu *"
#define KVMLOG_SIGNATURE_KVM_USERSPACE_EXIT "unsigned int, int"
#define KVMLOG_SIGNATURE_KVM_VCPU_WAKEUP "long long unsigned int, _Bool"
#define KVMLOG_SIGNATURE_KVM_PAGE_FAULT "struct kvm_vcpu *, long long unsigned int"
#define KVMLOG_SIGNATURE_KVM_FAST_MMIO "long long unsigned int"
#define KVMLOG_SIGNATURE_KVM_MMIO "int, int, long long unsigned int, void *"
#define KVMLOG_SIGNATURE_KVM_NESTED_VMEXIT_INJECT "unsigned int"
#define KVMLOG_SIGNATURE_SCHED_PROCESS_EXIT "struct task_struct *"
#define KVMLOG_SIGNATURE_GET_EXIT_INFO                                  \
	"struct kvm_vcpu *, unsigned int *, long long unsigned int *, " \
	"long long unsigned int *, unsigned int *, unsigned int *"
#define KVMLOG_SIGNATURE_CACHE_REG "struct kvm_vcpu *, enum kvm_reg"

typedef void (*kvmlog_get_exit_info_t)(struct kvm_vcpu *vcpu, u32 *reason, u64 *info1, u64 *info2,
				       u32 *intr_info, u32 *error_code);
typedef void (*kvmlog_cache_reg_t)(struct kvm_vcpu *vcpu, enum kvm_reg reg);

/* kvm_page_fault gained the vCPU in v6.2 and in 6.1 stable; before, detail of an EPT violation is
 * left out. */

/*
 * Every member of KVM's structures that kvmlog reads: X(name, struct, member). Whatever reads
 * one does so through its accessor, so that nothing is read that this list does not name.
 */
#define KVMLOG_KVM_FIELDS(X)                                           \
	X(kvm, kvm_vcpu, kvm)                                          \
	X(vcpu_id, kvm_vcpu, vcpu_id)                                  \
	X(vcpu_idx, kvm_vcpu, vcpu_idx)                                \
	X(exits, kvm_vcpu, stat.exits)                                 \
	X(regs, kvm_vcpu, arch.regs)                                   \
	X(regs_avail, kvm_vcpu, arch.regs_avail)                       \
	X(hflags, kvm_vcpu, arch.hflags)                               \
	X(guest_state_protected, kvm_vcpu, arch.guest_state_protected) \
	X(vcpu_array, kvm, vcpu_array)

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
	return *kvmlog_field_guest_state_protected(vcpu);
}

/* kvm_register_is_available() of kvm_cache_regs.h. SVM has all of them at every exit. */
static __always_inline bool kvmlog_vcpu_has_rip(const struct kvm_vcpu *vcpu)
{
	return *kvmlog_field_regs_avail(vcpu) & BIT(VCPU_REGS_RIP);
}

/* Grows by at least one from exit to exit of one vCPU, and starts at 0 with the next one. */
static __always_inline u64 kvmlog_vcpu_exits(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(*kvmlog_field_exits(vcpu));
}

/* The vCPU that stands at @index of @kvm now, or NULL. */
static __always_inline const struct kvm_vcpu *kvmlog_vcpu_at(const struct kvm *kvm, int index)
{
	return xa_load(kvmlog_field_vcpu_array(kvm), index);
}

#endif
