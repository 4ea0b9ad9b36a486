/* SPDX-License-Identifier: GPL-2.0-only */
/* The states of all vCPUs that run, found by vCPU and by the thread that runs it. */
#ifndef _KVMLOG_VCPU_TABLE_H
#define _KVMLOG_VCPU_TABLE_H

#include <linux/percpu.h>
#include <linux/sched.h>

#include "vcpu_state.h"

void kvmlog_vcpu_table_init(void);
unsigned int kvmlog_vcpu_table_capacity(void);

/* Process context, the session's mutex held; no probe runs. */
int kvmlog_vcpu_table_start(void);
void kvmlog_vcpu_table_stop(void);
/*
 * No probe runs any more: writes out every exit that is pending. False: buffers are full,
 * and as it is @patient it wants to be called again.
 */
bool kvmlog_vcpu_table_drain(bool patient);

/* The state that this CPU worked on last, or NULL: nearly always the one that is needed. */
DECLARE_PER_CPU(struct kvmlog_vcpu_state *, kvmlog_last_vcpu_state);

/* Through the hash tables; locked, or NULL. */
struct kvmlog_vcpu_state *kvmlog_vcpu_table_search(struct kvm_vcpu *vcpu);
struct kvmlog_vcpu_state *kvmlog_vcpu_table_search_current(void);
/*
 * The vCPU has no state (@state is NULL), or another thread runs it now: from here the
 * current one does. Locked, or NULL when there is no room.
 */
struct kvmlog_vcpu_state *kvmlog_vcpu_table_assign(struct kvm_vcpu *vcpu,
						   struct kvmlog_vcpu_state *state);

/*
 * Preemption disabled. These return the state locked, or NULL; give it back with
 * kvmlog_vcpu_state_unlock() or kvmlog_vcpu_table_remove().
 */
static __always_inline struct kvmlog_vcpu_state *kvmlog_vcpu_table_find(struct kvm_vcpu *vcpu)
{
	struct kvmlog_vcpu_state *state = this_cpu_read(kvmlog_last_vcpu_state);

	if (unlikely(!state || READ_ONCE(state->vcpu) != vcpu))
		return kvmlog_vcpu_table_search(vcpu);
	kvmlog_vcpu_state_lock(state);
	if (likely(state->vcpu == vcpu))
		return state;
	kvmlog_vcpu_state_unlock(state);
	return NULL;
}

static __always_inline struct kvmlog_vcpu_state *kvmlog_vcpu_table_find_current(void)
{
	struct kvmlog_vcpu_state *state = this_cpu_read(kvmlog_last_vcpu_state);

	if (unlikely(!state || READ_ONCE(state->task) != current || *state->thread != state))
		return kvmlog_vcpu_table_search_current();
	kvmlog_vcpu_state_lock(state);
	if (likely(state->task == current))
		return state;
	kvmlog_vcpu_state_unlock(state);
	return NULL;
}

/* The vCPU's state, made when there is none yet; the current thread runs it from here. */
static __always_inline struct kvmlog_vcpu_state *kvmlog_vcpu_table_claim(struct kvm_vcpu *vcpu)
{
	struct kvmlog_vcpu_state *state = kvmlog_vcpu_table_find(vcpu);

	if (likely(state && state->task == current && *state->thread == state))
		return state;
	return kvmlog_vcpu_table_assign(vcpu, state);
}

/* Unlocks the state and gives it up: its vCPU has none from here. */
void kvmlog_vcpu_table_remove(struct kvmlog_vcpu_state *state);

/* Preemption disabled: the current thread ends; writes out and removes what it had. */
void kvmlog_vcpu_table_thread_exit(void);

/*
 * Copies the next pending exit from state *index on, its times as of now, and
 * moves *index behind it. False: there is none. Process context, mutex held.
 */
bool kvmlog_vcpu_table_next_pending(unsigned int *index, struct kvmlog_record *record);

#endif
