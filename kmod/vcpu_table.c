// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pending table: fixed capacity, allocated while tracing is on.
 *
 * Two hash tables of the same size, both of buckets of eight keys that share a
 * cache line: vCPU -> slot, and thread -> the slot that it works on (KVM's
 * userspace_exit and vcpu_wakeup do not say which vCPU they speak of). A key is
 * looked for in PROBE_BUCKETS buckets and no further, so that a miss is bounded
 * too. In the common case neither is looked at: each CPU remembers the slot
 * that it used last.
 *
 * Keyed by vCPU, not by thread: some VMMs run one vCPU on changing threads, or
 * several on one, and an exit belongs to the vCPU that re-enters.
 *
 * A slot stays with its vCPU until the thread that ran it last ends. A thread's
 * entry is only ever written by that thread.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include "flush.h"
#include "guest.h"
#include "vcpu_table.h"
#include "trace.h"

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
static struct kvmlog_slot *slots;	  /* beside vcpus.keys */
static struct task_struct **owners;	  /* beside vcpus.keys: slot->task, close together */
static struct kvmlog_slot **thread_slots; /* beside threads.keys */

DEFINE_PER_CPU(struct kvmlog_slot *, kvmlog_last_slot);

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

/* Index of a place that is @key's from now on, or -1. */
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

static u32 slot_index(const struct kvmlog_slot *slot)
{
	return slot - slots;
}

struct kvmlog_slot *kvmlog_pending_find_vcpu(struct kvm_vcpu *vcpu)
{
	int index = find_key(&vcpus, vcpu);
	struct kvmlog_slot *slot;

	if (index < 0)
		return NULL;
	slot = &slots[index];
	this_cpu_write(kvmlog_last_slot, slot);
	kvmlog_lock(&slot->lock);
	if (likely(slot->vcpu == vcpu))
		return slot;
	kvmlog_unlock(&slot->lock);
	return NULL;
}

struct kvmlog_slot *kvmlog_pending_find_current(void)
{
	int index = find_key(&threads, current);
	struct kvmlog_slot *slot;

	if (index < 0)
		return NULL;
	slot = thread_slots[index];
	if (!slot)
		return NULL;
	kvmlog_lock(&slot->lock);
	if (likely(slot->task == current))
		return slot;
	kvmlog_unlock(&slot->lock);
	return NULL;
}

/* Slot locked. The current thread works on it from here; false: no room for its entry. */
static bool attach_thread(struct kvmlog_slot *slot)
{
	int index = find_key(&threads, current);

	if (index < 0)
		index = insert_key(&threads, current);
	if (index < 0)
		return false;
	thread_slots[index] = slot;
	slot->thread = &thread_slots[index];
	WRITE_ONCE(slot->task, current);
	WRITE_ONCE(owners[slot_index(slot)], current);
	return true;
}

void kvmlog_pending_free(struct kvmlog_slot *slot)
{
	u32 index = slot_index(slot);

	if (slot->guest)
		kvmlog_guest_put(slot->guest);
	slot->guest = NULL;
	slot->pending = false;
	WRITE_ONCE(slot->vcpu, NULL);
	WRITE_ONCE(slot->task, NULL);
	WRITE_ONCE(owners[index], NULL);
	kvmlog_unlock(&slot->lock);
	/* Last: whoever takes the key then waits for no lock and finds the slot clean. */
	smp_store_release(&vcpus.keys[index], NULL);
}

static struct kvmlog_slot *take_slot(struct kvm_vcpu *vcpu)
{
	int index = insert_key(&vcpus, vcpu);
	struct kvmlog_slot *slot;

	if (index < 0)
		return NULL;
	slot = &slots[index];
	kvmlog_lock(&slot->lock);
	WRITE_ONCE(slot->vcpu, vcpu);
	slot->exits = 0;
	slot->pending = false;
	if (kvmlog_guest_get(slot) && attach_thread(slot)) {
		this_cpu_write(kvmlog_last_slot, slot);
		return slot;
	}
	kvmlog_pending_free(slot);
	return NULL;
}

struct kvmlog_slot *kvmlog_pending_take(struct kvm_vcpu *vcpu, struct kvmlog_slot *slot)
{
	if (!slot)
		return take_slot(vcpu);
	if (attach_thread(slot))
		return slot;
	kvmlog_unlock(&slot->lock);
	return NULL;
}

void kvmlog_pending_thread_ends(void)
{
	int thread = find_key(&threads, current);
	u32 i;

	if (likely(thread < 0))
		return;
	for (i = 0; i <= vcpus.mask; i++) {
		struct kvmlog_slot *slot = &slots[i];

		if (READ_ONCE(owners[i]) != current)
			continue;
		kvmlog_lock(&slot->lock);
		if (slot->task != current) {
			kvmlog_unlock(&slot->lock);
			continue;
		}
		if (slot->pending)
			kvmlog_trace_give_up(slot);
		kvmlog_pending_free(slot);
	}
	thread_slots[thread] = NULL;
	smp_store_release(&threads.keys[thread], NULL);
}

void kvmlog_pending_drain(unsigned long deadline)
{
	u32 i;

	for (i = 0; i <= vcpus.mask; i++) {
		struct kvmlog_slot *slot = &slots[i];

		if (!READ_ONCE(slot->pending))
			continue;
		kvmlog_batch_wait_for_room(deadline);
		preempt_disable();
		kvmlog_lock(&slot->lock);
		if (slot->pending)
			kvmlog_trace_give_up(slot);
		kvmlog_unlock(&slot->lock);
		preempt_enable();
	}
}

bool kvmlog_pending_next(unsigned int *index, struct kvmlog_record *record)
{
	if (!slots)
		return false;
	for (; *index <= vcpus.mask; (*index)++) {
		struct kvmlog_slot *slot = &slots[*index];
		bool found;

		if (!READ_ONCE(slot->pending))
			continue;
		preempt_disable();
		kvmlog_lock(&slot->lock);
		found = slot->pending;
		if (found)
			kvmlog_trace_peek(slot, record);
		kvmlog_unlock(&slot->lock);
		preempt_enable();
		if (found) {
			(*index)++;
			return true;
		}
	}
	return false;
}

int kvmlog_pending_start(void)
{
	u32 keys = max_vcpus * KEYS_PER_VCPU;
	u32 i;

	vcpus.mask = keys - 1;
	threads.mask = keys - 1;
	vcpus.keys = kvcalloc(keys, sizeof(*vcpus.keys), GFP_KERNEL);
	threads.keys = kvcalloc(keys, sizeof(*threads.keys), GFP_KERNEL);
	slots = kvcalloc(keys, sizeof(*slots), GFP_KERNEL);
	owners = kvcalloc(keys, sizeof(*owners), GFP_KERNEL);
	thread_slots = kvcalloc(keys, sizeof(*thread_slots), GFP_KERNEL);
	if (!vcpus.keys || !threads.keys || !slots || !owners || !thread_slots ||
	    kvmlog_guest_start(keys)) {
		kvmlog_pending_stop();
		return -ENOMEM;
	}
	for (i = 0; i < keys; i++)
		kvmlog_lock_init(&slots[i].lock);
	return 0;
}

void kvmlog_pending_stop(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(kvmlog_last_slot, cpu) = NULL;
	kvmlog_guest_stop();
	kvfree(thread_slots);
	kvfree(owners);
	kvfree(slots);
	kvfree(threads.keys);
	kvfree(vcpus.keys);
	thread_slots = NULL;
	owners = NULL;
	slots = NULL;
	threads.keys = NULL;
	vcpus.keys = NULL;
}

unsigned int kvmlog_pending_slots(void)
{
	return max_vcpus * KEYS_PER_VCPU;
}

int kvmlog_pending_init(void)
{
	max_vcpus = roundup_pow_of_two(clamp(max_vcpus, 16U, 65536U));
	return 0;
}
