// SPDX-License-Identifier: GPL-2.0-or-later
/* What an entry's exits are: their reason, a halt or none, who spent the time. */
#include <linux/kvm.h>

#include <kvmlog/reasons.h>

#include "statistics/entry.h"
#include "statistics/map.h"

enum {
	NS_PER_US = 1000,
};

struct kvmlog_alike kvmlog_alike_of(const struct kvmlog_statistics_entry *entry)
{
	struct kvmlog_alike alike = {
		.isa = (__u8)(entry->kind >> 8),
		.source = (__u8)(entry->kind >> 16),
		.flags = (__u16)(entry->kind >> 32),
		.reason = (__u32)(entry->why >> 16),
		.user_reason = (__u16)(entry->why >> 48),
		.guest_number = (__u32)(entry->who >> 16),
		.vcpu = (__u16)(entry->who >> 48),
	};

	if (alike.isa == KVMLOG_ISA_VMX)
		alike.reason &= KVMLOG_VMX_BASIC_MASK;
	if (alike.flags & KVMLOG_F_USER_EINTR && !(alike.flags & KVMLOG_F_USER_REASON))
		alike.user_reason = KVM_EXIT_INTR;
	else if (!(alike.flags & KVMLOG_F_USER_REASON))
		alike.user_reason = KVMLOG_NO_RETURN;
	return alike;
}

static int is_halt(const struct kvmlog_alike *alike)
{
	if (alike->flags & KVMLOG_F_HALT_SLEPT || alike->user_reason == KVM_EXIT_HLT)
		return 1;
	/* A nested guest that halts leaves the CPU to its hypervisor. */
	if (alike->flags & KVMLOG_F_NESTED_L1)
		return 0;
	switch (alike->isa) {
	case KVMLOG_ISA_VMX:
		return alike->reason == KVMLOG_VMX_HLT;
	case KVMLOG_ISA_SVM:
		return alike->reason == KVMLOG_SVM_HLT || alike->reason == KVMLOG_SVM_IDLE_HLT;
	case KVMLOG_ISA_ARM64:
		return alike->reason == KVMLOG_ARM64_WFX;
	}
	return 0;
}

/* What rows tell apart of them: enum kvmlog_statistics_flag. */
__u8 kvmlog_alike_flags(const struct kvmlog_alike *alike)
{
	return (__u8)((alike->flags & KVMLOG_F_NESTED ? KVMLOG_STATISTICS_NESTED : 0) |
		      (alike->flags & KVMLOG_F_NESTED_L0 ? KVMLOG_STATISTICS_L0 : 0) |
		      (alike->flags & KVMLOG_F_NESTED_L1 ? KVMLOG_STATISTICS_L1 : 0) |
		      (is_halt(alike) ? KVMLOG_STATISTICS_HALT : 0));
}

/*
 * Written in the middle of a halt. KVM tells only at its end how long it was and whether
 * it slept: it did, but for the polling of a halt that had just begun.
 */
static int is_under_way(const struct kvmlog_alike *alike)
{
	return alike->flags & KVMLOG_F_NO_REENTRY && alike->user_reason == KVMLOG_NO_RETURN &&
	       is_halt(alike);
}

static __u64 at_most(__u64 value, __u64 limit)
{
	return value < limit ? value : limit;
}

/*
 * Who spent the time. A wait for a CPU after a halt that slept lies inside the halt as
 * KVM measures it; one in user space inside the VMM's time.
 */
void kvmlog_alike_split(const struct kvmlog_alike *alike,
			const struct kvmlog_statistics_entry *entry,
			struct kvmlog_statistics_sums *sums)
{
	__u64 user = at_most(entry->total_user_ns[1], sums->total_ns);
	__u64 kernel = sums->total_ns - user;
	__u64 wait_kernel = at_most(entry->delay_kernel_us * NS_PER_US, kernel);
	__u64 wait_user;

	if (is_under_way(alike)) {
		sums->idle_ns = kernel - wait_kernel;
	} else if (alike->flags & KVMLOG_F_HALT_SLEPT) {
		__u64 halted = at_most(entry->halt_paused_ns[0], kernel);

		sums->idle_ns = halted > wait_kernel ? halted - wait_kernel : 0;
	}
	sums->kvm_ns = kernel - wait_kernel - sums->idle_ns;
	sums->paused_ns = at_most(entry->halt_paused_ns[1], user);
	user -= sums->paused_ns;
	wait_user = at_most(entry->delay_user_us * NS_PER_US, user);
	sums->wait_ns = wait_kernel + wait_user;
	/* An interrupt controller in the VMM: it is the VMM that sleeps for the guest. */
	if (alike->user_reason == KVM_EXIT_HLT)
		sums->idle_ns += user - wait_user;
	else
		sums->vmm_ns = user - wait_user;
}
