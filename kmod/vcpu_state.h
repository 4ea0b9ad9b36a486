/* SPDX-License-Identifier: GPL-2.0-only */
/* What is kept of one vCPU: whose it is, and the exit whose re-entry has not come yet. */
#ifndef _KVMLOG_VCPU_STATE_H
#define _KVMLOG_VCPU_STATE_H

#include <linux/cache.h>
#include <linux/list.h>
#include <linux/types.h>

#include <kvmlog/record.h>

#include "lock.h"

struct kvm_vcpu;
struct kvmlog_guest;
struct task_struct;

struct kvmlog_vcpu_state {
	/*
	 * Covers all below. Nearly always taken by the vCPU's own thread only
	 * (KVM holds vcpu->mutex around every probe but sched_process_exit);
	 * others are the end of a thread that ran the vCPU before, and the dump.
	 * Taken with preemption disabled, never from an interrupt.
	 */
	struct kvmlog_lock lock;
	bool pending;			   /* an exit stands in `record` */
	bool announced;			   /* the guest's record stands in the stream */
	struct kvm_vcpu *vcpu;		   /* NULL: free */
	struct task_struct *task;	   /* ran the vCPU last; only compared, never followed */
	struct kvmlog_vcpu_state **thread; /* that task's entry: the state it works on */
	struct list_head owned;		   /* in that task's list, see vcpu_table.c */
	struct kvmlog_guest *guest;
	u64 exits; /* least that vcpu->stat.exits can be at the next exit of the same vCPU */

	/* As <kvmlog/exit.h> describes them. */
	u64 delay_exit_ns;
	u64 delay_user_ns;
	union {
		u64 user_since_ns;
		/* Until then, of the exit as is: on the stack they would call for a canary. */
		struct {
			u32 intr_info;
			u32 error_code;
		};
	};
	u64 paused_since_ns;
	struct kvmlog_record record; /* its guest stays while `guest` above does */
} ____cacheline_aligned_in_smp;

static __always_inline void kvmlog_vcpu_state_lock(struct kvmlog_vcpu_state *state)
{
	kvmlog_lock(&state->lock);
}

static __always_inline void kvmlog_vcpu_state_unlock(struct kvmlog_vcpu_state *state)
{
	kvmlog_unlock(&state->lock);
}

#endif
