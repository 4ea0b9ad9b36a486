// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which struct kvm is which guest.
 *
 * A struct kvm is known by its address while one of its vCPUs has a state. KVM
 * tells nobody when it frees one, and a process may make a new VM at the same
 * address: then either another vCPU has the index of the one that the guest was
 * first seen by, or that vCPU counts its exits from 0 again.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "compat/kernel.h"
#include "compat/kvm.h"
#include "guest.h"
#include "note.h"
#include "vcpu_state.h"

struct kvmlog_guest {
	struct kvm *kvm; /* NULL: no vCPU of it may join any more */
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
 * Covers the table. Taken when a vCPU is seen first or last, preemption
 * disabled, below a vCPU state's lock.
 */
static DEFINE_RAW_SPINLOCK(guests_lock);
static struct kvmlog_guest *guests;
static unsigned int guests_capacity;
static unsigned int guests_used; /* entries that were ever in use: how far to search */
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

bool kvmlog_guest_get(struct kvmlog_vcpu_state *state)
{
	const struct kvm *kvm = kvmlog_vcpu_kvm(state->vcpu);
	struct kvmlog_guest *guest, *unused = NULL;
	unsigned int i;

	raw_spin_lock(&guests_lock);
	for (i = 0; i < guests_used; i++) {
		guest = &guests[i];
		if (!guest->refs) {
			unused = unused ?: guest;
			continue;
		}
		if (guest->kvm != kvm)
			continue;
		if (still_the_same(guest))
			goto out;
		guest->kvm = NULL;
	}
	if (!unused && guests_used < guests_capacity)
		unused = &guests[guests_used++];
	guest = unused;
	if (guest)
		describe(guest, state);
out:
	state->guest = guest;
	state->announced = false;
	if (guest) {
		guest->refs++;
		state->record.guest = guest->number;
	}
	raw_spin_unlock(&guests_lock);
	return guest;
}

void kvmlog_guest_put(struct kvmlog_guest *guest)
{
	raw_spin_lock(&guests_lock);
	guest->refs--;
	raw_spin_unlock(&guests_lock);
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
	bool announced;

	memcpy(note.comm, guest->comm, sizeof(note.comm));
	raw_spin_lock(&guests_lock);
	if (!guest->announced)
		guest->announced = kvmlog_note_write(&note, KVMLOG_RECORD_GUEST);
	announced = guest->announced;
	raw_spin_unlock(&guests_lock);
	return announced;
}

int kvmlog_guest_start(unsigned int capacity)
{
	guests = kvcalloc(capacity, sizeof(*guests), GFP_KERNEL);
	if (!guests)
		return -ENOMEM;
	guests_capacity = capacity;
	guests_used = 0;
	return 0;
}

void kvmlog_guest_stop(void)
{
	kvfree(guests);
	guests = NULL;
	guests_capacity = 0;
}
