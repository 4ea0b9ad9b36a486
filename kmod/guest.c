// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which struct kvm is which guest.
 *
 * A struct kvm is known by its address while one of its vCPUs has a state. KVM
 * tells nobody when it frees one, and a process may make a new VM at the same
 * address: then either another vCPU has the index of the one that the guest was
 * first seen by, or that vCPU counts its exits from 0 again.
 */
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "compat/kernel.h"
#include "compat/kvm.h"
#include "guest.h"
#include "note.h"
#include "vcpu_state.h"

struct kvmlog_guest {
	/* By its kvm; by nothing when no vCPU may join any more; unused: in that list. */
	struct hlist_node link;
	struct kvm *kvm;
	u32 number;
	u32 refs; /* vCPU states; 0: free */
	bool announced;

	const struct kvmlog_vcpu_state *witness_state; /* of the vCPU it was first seen by */
	const struct kvm_vcpu *witness;
	int witness_index;

	u32 tgid;
	u32 tid;
	u64 start_boottime_ns;
	u64 cgroup;
	u8 comm[KVMLOG_COMM_BYTES];
};

/*
 * Covers the table, which is a hash: the lock is held no longer for many guests than
 * for one. Taken when a vCPU is seen first or last, below a vCPU state's lock; with
 * interrupts off, as probes wait for it that have them off.
 */
static DEFINE_RAW_SPINLOCK(guests_lock);
static struct kvmlog_guest *guests;
static struct hlist_head *by_kvm; /* as many */
static HLIST_HEAD(unused);
static unsigned int guests_bits; /* log2 of how many */
static u32 last_number;		 /* never given twice while the module is loaded */

static bool still_the_same(const struct kvmlog_guest *guest)
{
	const struct task_struct *leader = current->group_leader;

	if (guest->tgid != current->tgid || guest->start_boottime_ns != leader->start_boottime)
		return false;
	if (READ_ONCE(guest->witness_state->vcpu) != guest->witness)
		return true; /* its thread has ended: nothing to compare with */
	if (kvmlog_vcpu_at(guest->kvm, guest->witness_index) != guest->witness)
		return false;
	/* One less while it is between its tracepoint and its count. */
	return kvmlog_vcpu_exits(guest->witness) + 1 >= READ_ONCE(guest->witness_state->exits);
}

static void describe(struct kvmlog_guest *guest, const struct kvmlog_vcpu_state *state)
{
	struct task_struct *leader = current->group_leader;

	guest->kvm = kvmlog_vcpu_kvm(state->vcpu);
	guest->number = ++last_number;
	guest->announced = false;
	guest->witness_state = state;
	guest->witness = state->vcpu;
	guest->witness_index = kvmlog_vcpu_index(state->vcpu);
	guest->tgid = current->tgid;
	guest->tid = current->pid;
	guest->start_boottime_ns = leader->start_boottime;
	guest->cgroup = kvmlog_cgroup_id(current);
	BUILD_BUG_ON(sizeof(guest->comm) != sizeof(leader->comm));
	memcpy(guest->comm, leader->comm, sizeof(guest->comm));
	guest->comm[sizeof(guest->comm) - 1] = 0;
}

/* Lock held: the guest that vCPUs of @kvm join, or NULL. */
static struct kvmlog_guest *find_guest(const struct kvm *kvm)
{
	struct kvmlog_guest *guest;

	/* At most one has this address: the one that was there before is taken out. */
	hlist_for_each_entry(guest, &by_kvm[hash_ptr(kvm, guests_bits)], link)
	{
		if (guest->kvm != kvm)
			continue;
		if (still_the_same(guest))
			return guest;
		hlist_del_init(&guest->link);
		return NULL;
	}
	return NULL;
}

/* Lock held: a new one for @state's vCPU, or NULL when there are too many. */
static struct kvmlog_guest *add_guest(const struct kvmlog_vcpu_state *state)
{
	struct kvmlog_guest *guest = hlist_entry_safe(unused.first, struct kvmlog_guest, link);

	if (!guest)
		return NULL;
	hlist_del(&guest->link);
	describe(guest, state);
	hlist_add_head(&guest->link, &by_kvm[hash_ptr(guest->kvm, guests_bits)]);
	return guest;
}

bool kvmlog_guest_get(struct kvmlog_vcpu_state *state)
{
	struct kvmlog_guest *guest;
	unsigned long flags;

	raw_spin_lock_irqsave(&guests_lock, flags);
	guest = find_guest(kvmlog_vcpu_kvm(state->vcpu)) ?: add_guest(state);
	state->guest = guest;
	state->announced = false;
	if (guest) {
		guest->refs++;
		state->record.guest = guest->number;
	}
	raw_spin_unlock_irqrestore(&guests_lock, flags);
	return guest;
}

void kvmlog_guest_put(struct kvmlog_guest *guest)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&guests_lock, flags);
	if (!--guest->refs) {
		hlist_del_init(&guest->link);
		hlist_add_head(&guest->link, &unused);
	}
	raw_spin_unlock_irqrestore(&guests_lock, flags);
}

bool kvmlog_guest_announce(struct kvmlog_guest *guest, u8 isa, u64 exit_ns)
{
	struct kvmlog_record_guest note = {
		.isa = isa,
		.ns = exit_ns,
		.start_boottime_ns = guest->start_boottime_ns,
		.cgroup = guest->cgroup,
		.tgid = guest->tgid,
		.tid = guest->tid,
		.guest = guest->number,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = raw_smp_processor_id(),
	};
	unsigned long flags;
	bool announced;

	memcpy(note.comm, guest->comm, sizeof(note.comm));
	raw_spin_lock_irqsave(&guests_lock, flags);
	if (!guest->announced)
		guest->announced = kvmlog_note_write(&note, KVMLOG_RECORD_GUEST);
	announced = guest->announced;
	raw_spin_unlock_irqrestore(&guests_lock, flags);
	return announced;
}

int kvmlog_guest_start(unsigned int capacity)
{
	unsigned int i;

	guests = kvcalloc(capacity, sizeof(*guests), GFP_KERNEL);
	by_kvm = kvcalloc(capacity, sizeof(*by_kvm), GFP_KERNEL);
	if (!guests || !by_kvm) {
		kvmlog_guest_stop();
		return -ENOMEM;
	}
	guests_bits = ilog2(capacity);
	INIT_HLIST_HEAD(&unused);
	for (i = 0; i < capacity; i++)
		hlist_add_head(&guests[i].link, &unused);
	return 0;
}

void kvmlog_guest_stop(void)
{
	kvfree(by_kvm);
	kvfree(guests);
	by_kvm = NULL;
	guests = NULL;
}
