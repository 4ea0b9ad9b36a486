// SPDX-License-Identifier: GPL-2.0-only
/*
 * What not all kernels have: Kbuild compiles this once for each, and what compiles is
 * KVMLOG_HAVE_ that in generated/features.h. Distributions port KVM back: a version would not
 * tell.
 */
#include <linux/build_bug.h>
#include <linux/kvm_host.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#if defined(PROBE_NOTHING)
/* Compiles on all. */

#elif defined(PROBE_EXIT_INFO_REASON)
/* v5.16; before, kvm_exit passed it. */
static_assert(__same_type(((struct kvm_x86_ops *)NULL)->get_exit_info,
			  (void (*)(struct kvm_vcpu *, u32 *, u64 *, u64 *, u32 *, u32 *))NULL));

#elif defined(PROBE_VCPU_RIP)
/* v7.2; before it was the last one of arch.regs. */
unsigned long *probe(struct kvm_vcpu *vcpu);
unsigned long *probe(struct kvm_vcpu *vcpu)
{
	return &vcpu->arch.rip;
}

#elif defined(PROBE_VCPU_PROTECTED)
/* v5.11, SEV-ES: before, no guest hides its registers. */
bool probe(struct kvm_vcpu *vcpu);
bool probe(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.guest_state_protected;
}

#elif defined(PROBE_VCPU_ARRAY)
/* v5.17; before, a plain array, kvm->vcpus. */
struct xarray *probe(struct kvm *kvm);
struct xarray *probe(struct kvm *kvm)
{
	return &kvm->vcpu_array;
}

#elif defined(PROBE_TRACEPOINT_SRCU)
/*
 * v7.0: tracepoints call their probes preemptible, under SRCU alone, and say so by offering
 * this; before, with preemption disabled.
 */
void probe(struct rcu_head *head, rcu_callback_t function);
void probe(struct rcu_head *head, rcu_callback_t function)
{
	call_tracepoint_unregister_atomic(head, function);
}

#elif defined(PROBE_GENL_RESV_START_OP)
/* v6.1. */
unsigned int probe(const struct genl_family *family);
unsigned int probe(const struct genl_family *family)
{
	return family->resv_start_op;
}

#elif defined(PROBE_SYSTEM_DFL_WQ)
/* v6.17, and ported back: the new name of system_unbound_wq, whose users 7.2 warns of. */
struct workqueue_struct *probe(void);
struct workqueue_struct *probe(void)
{
	return system_dfl_wq;
}

#else
#error "no such feature"
#endif
