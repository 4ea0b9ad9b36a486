// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vCPU table: fixed capacity, allocated while tracing is on.
 *
 * Two hash tables of the same size, both of buckets of eight keys that share a
 * cache line: vCPU -> its state, and thread -> the state that it works on (KVM's
 * userspace_exit and vcpu_wakeup do not say which vCPU they speak of). A key is
 * searched in PROBE_BUCKETS buckets and no further, so that a miss is bounded
 * too. In the common case neither is searched: each CPU remembers the state
 * that it used last.
 *
 * Keyed by vCPU, not by thread: some VMMs run one vCPU on changing threads, or
 * several on one, and an exit belongs to the vCPU that re-enters.
 *
 * A state stays with its vCPU until the thread that ran it last ends. A thread's
 * entry is only ever written by that thread; the list of the states that it ran last
 * also by a thread that takes one of them over.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include "exit_record.h"
#include "guest.h"
#include "vcpu_table.h"

static unsigned int max_vcpus = 4096;
module_param(max_vcpus, uint, 0444);
MODULE_PARM_DESC(max_vcpus,
		 "vCPUs traced at once, rounded up to a power of two (16 to 65536, default 4096)");

enum {
	BUCKET_KEYS = 8,
	PROBE_BUCKETS = 4,
	/* More keys than vCPUs keeps buckets from filling up long before the table does. */
	KEYS_PER_VCPU = 2,
};

struct hash_table {
	void **keys;
	u32 mask; /* of key indices */
};

static struct hash_table vcpus, threads;
static struct kvmlog_vcpu_state *states;	 /* beside vcpus.keys */
static u32 drained;				 /* of them, from 0 on, when switching off */
static struct kvmlog_vcpu_state **thread_states; /* beside threads.keys */

/*
 * The states that a thread ran last, beside threads.keys: nearly always one. The lock
 * is taken when a vCPU is first seen, changes its thread or goes; below a state's lock,
 * with interrupts off, as probes wait for it that have them off.
 */
static struct list_head *owned_states;
static DEFINE_RAW_SPINLOCK(owned_lock);

DEFINE_PER_CPU(struct kvmlog_vcpu_state *, kvmlog_last_vcpu_state);

static u32 first_key(const struct hash_table *table, const void *key)
{
	return hash_ptr(key, 32) & table->mask & ~(BUCKET_KEYS - 1);
}

/* Index of @key, or -1. */
static int find_key(const struct hash_table *table, const void *key)
{
	u32 start = first_key(table, key);
	u32 i;

	for (i = 0; i < BUCKET_KEYS * PROBE_BUCKETS; i++) {
		u32 index = (start + i) & table->mask;

		if (READ_ONCE(table->keys[index]) == key)
			return index;
	}
	return -1;
}

/* Index of an entry that is @key's from now on, or -1. */
static int insert_key(const struct hash_table *table, void *key)
{
	u32 start = first_key(table, key);
	u32 i;

	for (i = 0; i < BUCKET_KEYS * PROBE_BUCKETS; i++) {
		u32 index = (start + i) & table->mask;

		if (!READ_ONCE(table->keys[index]) && !cmpxchg(&table->keys[index], NULL, key))
			return index;
	}
	return -1;
}

struct kvmlog_vcpu_state *kvmlog_vcpu_table_search(struct kvm_vcpu *vcpu)
{
	int index = find_key(&vcpus, vcpu);
	struct kvmlog_vcpu_state *state;

	if (index < 0)
		return NULL;
	state = &states[index];
	this_cpu_write(kvmlog_last_vcpu_state, state);
	kvmlog_vcpu_state_lock(state);
	if (likely(state->vcpu == vcpu))
		return state;
	kvmlog_vcpu_state_unlock(state);
	return NULL;
}

struct kvmlog_vcpu_state *kvmlog_vcpu_table_search_current(void)
{
	int index = find_key(&threads, current);
	struct kvmlog_vcpu_state *state;

	if (index < 0)
		return NULL;
	state = thread_states[index];
	if (!state)
		return NULL;
	kvmlog_vcpu_state_lock(state);
	if (likely(state->task == current))
		return state;
	kvmlog_vcpu_state_unlock(state);
	return NULL;
}

/* State locked. The current thread works on it from here; false: no room for its entry. */
static bool attach_thread(struct kvmlog_vcpu_state *state)
{
	int index = find_key(&threads, current);
	unsigned long flags;

	if (index < 0)
		index = insert_key(&threads, current);
	if (index < 0)
		return false;
	thread_states[index] = state;
	state->thread = &thread_states[index];
	if (state->task == current)
		return true;
	raw_spin_lock_irqsave(&owned_lock, flags);
	list_move(&state->owned, &owned_states[index]);
	raw_spin_unlock_irqrestore(&owned_lock, flags);
	WRITE_ONCE(state->task, current);
	return true;
}

void kvmlog_vcpu_table_remove(struct kvmlog_vcpu_state *state)
{
	u32 index = state - states;
	unsigned long flags;

	if (state->guest)
		kvmlog_guest_put(state->guest);
	state->guest = NULL;
	state->pending = false;
	WRITE_ONCE(state->vcpu, NULL);
	WRITE_ONCE(state->task, NULL);
	raw_spin_lock_irqsave(&owned_lock, flags);
	list_del_init(&state->owned);
	raw_spin_unlock_irqrestore(&owned_lock, flags);
	kvmlog_vcpu_state_unlock(state);
	/* Last: whoever takes the key then waits for no lock and finds the state clean. */
	smp_store_release(&vcpus.keys[index], NULL);
}

static struct kvmlog_vcpu_state *insert_vcpu(struct kvm_vcpu *vcpu)
{
	int index = insert_key(&vcpus, vcpu);
	struct kvmlog_vcpu_state *state;

	if (index < 0)
		return NULL;
	state = &states[index];
	kvmlog_vcpu_state_lock(state);
	WRITE_ONCE(state->vcpu, vcpu);
	state->exits = 0;
	state->pending = false;
	if (kvmlog_guest_get(state) && attach_thread(state)) {
		this_cpu_write(kvmlog_last_vcpu_state, state);
		return state;
	}
	kvmlog_vcpu_table_remove(state);
	return NULL;
}

struct kvmlog_vcpu_state *kvmlog_vcpu_table_assign(struct kvm_vcpu *vcpu,
						   struct kvmlog_vcpu_state *state)
{
	if (!state)
		return insert_vcpu(vcpu);
	if (attach_thread(state))
		return state;
	kvmlog_vcpu_state_unlock(state);
	return NULL;
}

static struct kvmlog_vcpu_state *first_owned(int thread)
{
	struct kvmlog_vcpu_state *state;
	unsigned long flags;

	raw_spin_lock_irqsave(&owned_lock, flags);
	state = list_first_entry_or_null(&owned_states[thread], struct kvmlog_vcpu_state, owned);
	raw_spin_unlock_irqrestore(&owned_lock, flags);
	return state;
}

void kvmlog_vcpu_table_thread_exit(void)
{
	int thread = find_key(&threads, current);
	struct kvmlog_vcpu_state *state;

	if (likely(thread < 0))
		return;
	while ((state = first_owned(thread))) {
		kvmlog_vcpu_state_lock(state);
		/* Taken over meanwhile: then it stands in another list. */
		if (state->task != current) {
			kvmlog_vcpu_state_unlock(state);
			continue;
		}
		if (state->pending)
			kvmlog_exit_record_give_up(state);
		kvmlog_vcpu_table_remove(state);
	}
	thread_states[thread] = NULL;
	smp_store_release(&threads.keys[thread], NULL);
}

bool kvmlog_vcpu_table_drain(bool patient)
{
	for (; drained <= vcpus.mask; drained++) {
		struct kvmlog_vcpu_state *state = &states[drained];

		if (!READ_ONCE(state->pending))
			continue;
		preempt_disable();
		if (patient && !kvmlog_buffer_has_room()) {
			preempt_enable();
			return false;
		}
		kvmlog_vcpu_state_lock(state);
		if (state->pending)
			kvmlog_exit_record_give_up(state);
		kvmlog_vcpu_state_unlock(state);
		preempt_enable();
		cond_resched();
	}
	return true;
}

bool kvmlog_vcpu_table_next_pending(unsigned int *index, struct kvmlog_record *record)
{
	if (!states)
		return false;
	for (; *index <= vcpus.mask; (*index)++) {
		struct kvmlog_vcpu_state *state = &states[*index];
		bool found;

		if (!READ_ONCE(state->pending))
			continue;
		preempt_disable();
		kvmlog_vcpu_state_lock(state);
		found = state->pending;
		if (found)
			kvmlog_exit_record_peek(state, record);
		kvmlog_vcpu_state_unlock(state);
		preempt_enable();
		if (found) {
			(*index)++;
			return true;
		}
	}
	return false;
}

int kvmlog_vcpu_table_start(void)
{
	u32 keys = max_vcpus * KEYS_PER_VCPU;
	u32 i;

	vcpus.mask = keys - 1;
	threads.mask = keys - 1;
	vcpus.keys = kvcalloc(keys, sizeof(*vcpus.keys), GFP_KERNEL);
	threads.keys = kvcalloc(keys, sizeof(*threads.keys), GFP_KERNEL);
	states = kvcalloc(keys, sizeof(*states), GFP_KERNEL);
	owned_states = kvcalloc(keys, sizeof(*owned_states), GFP_KERNEL);
	thread_states = kvcalloc(keys, sizeof(*thread_states), GFP_KERNEL);
	if (!vcpus.keys || !threads.keys || !states || !owned_states || !thread_states ||
	    kvmlog_guest_start(keys)) {
		kvmlog_vcpu_table_stop();
		return -ENOMEM;
	}
	for (i = 0; i < keys; i++) {
		kvmlog_lock_init(&states[i].lock);
		INIT_LIST_HEAD(&states[i].owned);
		INIT_LIST_HEAD(&owned_states[i]);
	}
	drained = 0;
	return 0;
}

void kvmlog_vcpu_table_stop(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(kvmlog_last_vcpu_state, cpu) = NULL;
	kvmlog_guest_stop();
	kvfree(thread_states);
	kvfree(owned_states);
	kvfree(states);
	kvfree(threads.keys);
	kvfree(vcpus.keys);
	thread_states = NULL;
	owned_states = NULL;
	states = NULL;
	threads.keys = NULL;
	vcpus.keys = NULL;
}

unsigned int kvmlog_vcpu_table_capacity(void)
{
	return max_vcpus * KEYS_PER_VCPU;
}

void kvmlog_vcpu_table_init(void)
{
	max_vcpus = roundup_pow_of_two(clamp(max_vcpus, 16U, 65536U));
}
