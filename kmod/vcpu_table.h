/* SPDX-License-Identifier: GPL-2.0-only */
/* Exits whose re-entry has not come yet: one slot for each vCPU that runs. */
#ifndef _KVMLOG_VCPU_TABLE_H
#define _KVMLOG_VCPU_TABLE_H

#include <linux/cache.h>
#include <linux/percpu.h>
#include <linux/types.h>

#include <kvmlog/record.h>

#include "lock.h"

struct kvm_vcpu;
struct kvmlog_guest;
struct task_struct;

struct kvmlog_slot {
	/*
	 * Covers all below. Nearly always taken by the vCPU's own thread only
	 * (KVM holds vcpu->mutex around every probe but sched_process_exit);
	 * others are the end of a thread that ran the vCPU before, and the dump.
	 * Taken with preemption disabled, never from an interrupt.
	 */
	struct kvmlog_lock lock;
	bool pending;
	bool announced;		     /* the guest's record stands in the stream */
	struct kvm_vcpu *vcpu;	     /* NULL: free */
	struct task_struct *task;    /* ran the vCPU last; only compared, never followed */
	struct kvmlog_slot **thread; /* that task's entry: the slot it works on */
	struct kvmlog_guest *guest;
	u64 exits; /* least that vcpu->stat.exits can be at the next exit of the same vCPU */
	u64 delay_exit_ns; /* run delay of the task at the exit ... */
	u64 delay_user_ns; /* ... and at the first return from KVM_RUN */
	union {
		u64 user_since_ns; /* that return */
		/* Until then, of the exit as is: on the stack they would call for a canary. */
		struct {
			u32 intr_info;
			u32 error_code;
		};
	};
	u64 paused_since_ns;	     /* last return, if it was with -EINTR; 0: it was not */
	struct kvmlog_record record; /* `guest` stays while `guest` above does */
} ____cacheline_aligned_in_smp;

int kvmlog_pending_init(void);
unsigned int kvmlog_pending_slots(void);

/* Process context, session.c's mutex held; no probe runs. */
int kvmlog_pending_start(void);
void kvmlog_pending_stop(void);
/* Writes out everything that is pending. Until @deadline it waits where buffers are full. */
void kvmlog_pending_drain(unsigned long deadline);

/* The slot that this CPU worked on last, or NULL: nearly always the one that is looked for. */
DECLARE_PER_CPU(struct kvmlog_slot *, kvmlog_last_slot);

/* Through the hash tables; locked, or NULL. */
struct kvmlog_slot *kvmlog_pending_find_vcpu(struct kvm_vcpu *vcpu);
struct kvmlog_slot *kvmlog_pending_find_current(void);
/* The vCPU has no slot, or another thread runs it now. Locked, or NULL when there is no room. */
struct kvmlog_slot *kvmlog_pending_take(struct kvm_vcpu *vcpu, struct kvmlog_slot *slot);

static inline void kvmlog_pending_unlock(struct kvmlog_slot *slot)
{
	kvmlog_unlock(&slot->lock);
}

/*
 * Preemption disabled. These return the slot locked, or NULL; give it back with
 * kvmlog_pending_unlock() or kvmlog_pending_free().
 */
static __always_inline struct kvmlog_slot *kvmlog_pending_of_vcpu(struct kvm_vcpu *vcpu)
{
	struct kvmlog_slot *slot = this_cpu_read(kvmlog_last_slot);

	if (unlikely(!slot || READ_ONCE(slot->vcpu) != vcpu))
		return kvmlog_pending_find_vcpu(vcpu);
	kvmlog_lock(&slot->lock);
	if (likely(slot->vcpu == vcpu))
		return slot;
	kvmlog_unlock(&slot->lock);
	return NULL;
}

static __always_inline struct kvmlog_slot *kvmlog_pending_of_current(void)
{
	struct kvmlog_slot *slot = this_cpu_read(kvmlog_last_slot);

	if (unlikely(!slot || READ_ONCE(slot->task) != current || *slot->thread != slot))
		return kvmlog_pending_find_current();
	kvmlog_lock(&slot->lock);
	if (likely(slot->task == current))
		return slot;
	kvmlog_unlock(&slot->lock);
	return NULL;
}

/* The vCPU's slot, made when there is none yet; the current thread runs it from here. */
static __always_inline struct kvmlog_slot *kvmlog_pending_claim(struct kvm_vcpu *vcpu)
{
	struct kvmlog_slot *slot = kvmlog_pending_of_vcpu(vcpu);

	if (likely(slot && slot->task == current && *slot->thread == slot))
		return slot;
	return kvmlog_pending_take(vcpu, slot);
}

/* Unlocks it and gives it up: its vCPU has none from here. */
void kvmlog_pending_free(struct kvmlog_slot *slot);

/* Preemption disabled: the current thread ends; writes out and frees what it had. */
void kvmlog_pending_thread_ends(void);

/*
 * Copies the next pending exit from slot *index on, its times as of now, and
 * moves *index behind it. False: there is none. Process context, mutex held.
 */
bool kvmlog_pending_next(unsigned int *index, struct kvmlog_record *record);

#endif
