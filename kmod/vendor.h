/* SPDX-License-Identifier: GPL-2.0-only */
/* kvm_amd's or kvm_intel's own knowledge of an exit, found by symbol. */
#ifndef _KVMLOG_VENDOR_H
#define _KVMLOG_VENDOR_H

#include <linux/types.h>

#include "compat/kvm.h"

struct module;

struct kvmlog_vendor {
	u8 isa; /* KVMLOG_ISA_NONE: none is there */
	const char *module;
	kvmlog_get_exit_info_t get_exit_info;
	kvmlog_cache_reg_t cache_reg; /* NULL where registers are never cached */
};

/* Written under tracepoints.c's mutex while no probe is attached; read by probes. */
extern struct kvmlog_vendor kvmlog_vendor;

/* Whether this kernel has what they are found by: kprobes. */
bool kvmlog_vendor_findable(void);

/*
 * Process context. @name: "kvm_amd" or "kvm_intel", loaded or built in. 0 or -errno: -ENODEV is
 * the other vendor's, -ENOENT is not loaded, or has no such functions, -ENOMEM may be tried again.
 */
int kvmlog_vendor_resolve(const char *name);
void kvmlog_vendor_forget(void);
bool kvmlog_vendor_is(const char *name);

/* @passed: KVMLOG_KVM_EXIT_REASON. */
static inline void kvmlog_vendor_exit_info(struct kvm_vcpu *vcpu, u32 passed, u32 *reason,
					   u64 *info1, u64 *info2, u32 *intr_info, u32 *error_code)
{
	kvmlog_vcpu_exit_info(kvmlog_vendor.get_exit_info, vcpu, passed, reason, info1, info2,
			      intr_info, error_code);
}

/* False: the guest's instruction pointer cannot be had at this exit. */
static inline bool kvmlog_vendor_cache_rip(struct kvm_vcpu *vcpu)
{
	if (likely(kvmlog_vcpu_has_rip(vcpu)))
		return true;
	if (!kvmlog_vendor.cache_reg)
		return false;
	kvmlog_vendor.cache_reg(vcpu, KVMLOG_REG_RIP);
	return kvmlog_vcpu_has_rip(vcpu);
}

#endif
