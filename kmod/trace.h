/* SPDX-License-Identifier: GPL-2.0-only */
/* The probes. */
#ifndef _KVMLOG_TRACE_H
#define _KVMLOG_TRACE_H

#include <linux/types.h>

#include "compat/kvm.h"

struct task_struct;

/*
 * Probe functions, in the types of the tracepoints (compat/kvm.h). They disable
 * preemption themselves: recent kernels call them preemptible, under SRCU.
 */
void kvmlog_probe_kvm_exit(void *data, KVMLOG_KVM_EXIT_PROTO);
void kvmlog_probe_kvm_entry(void *data, struct kvm_vcpu *vcpu);
void kvmlog_probe_kvm_userspace_exit(void *data, __u32 reason, int error);
void kvmlog_probe_kvm_vcpu_wakeup(void *data, __u64 ns, bool waited, bool valid);
void kvmlog_probe_kvm_page_fault(void *data, KVMLOG_KVM_PAGE_FAULT_PROTO);
void kvmlog_probe_kvm_fast_mmio(void *data, u64 gpa);
void kvmlog_probe_kvm_mmio(void *data, int type, int len, u64 gpa, void *value);
void kvmlog_probe_kvm_nested_vmexit_inject(void *data, u32 reason);
void kvmlog_probe_sched_process_exit(void *data, struct task_struct *task);

#endif
