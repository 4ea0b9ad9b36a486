/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel's KVM looks like from outside. kvm.ko keeps its trace.h and
 * kvm_cache_regs.h to itself, so the few facts needed of them are told here,
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

/* is_guest_mode() of kvm_cache_regs.h; the mask's value moved in v6.4, its name stayed. */
static inline bool kvmlog_vcpu_nested(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.hflags & HF_GUEST_MASK;
}

/* SEV-ES, SEV-SNP, TDX: what stands in regs[] is not the guest's. */
static inline bool kvmlog_vcpu_protected(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.guest_state_protected;
}

/* kvm_register_is_available() of kvm_cache_regs.h. SVM has all of them at every exit. */
static inline bool kvmlog_vcpu_has_rip(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.regs_avail & BIT(VCPU_REGS_RIP);
}

/* Grows by at least one from exit to exit of one vCPU, and starts at 0 with the next one. */
static inline u64 kvmlog_vcpu_exits(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->stat.exits);
}

/* The vCPU that stands at @idx of @kvm now, or NULL. */
static inline const struct kvm_vcpu *kvmlog_vcpu_at(struct kvm *kvm, int idx)
{
	return xa_load(&kvm->vcpu_array, idx);
}

#endif
