/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers for guests: one for each struct kvm, announced in the stream. */
#ifndef _KVMLOG_GUEST_H
#define _KVMLOG_GUEST_H

#include <linux/types.h>

struct kvm_vcpu;
struct kvmlog_guest;
struct kvmlog_vcpu_state;

/* Process context; @capacity guests at most, as many as there are vCPU states: a power of two. */
int kvmlog_guest_start(unsigned int capacity);
void kvmlog_guest_stop(void);

/*
 * Preemption disabled, @state locked and its vcpu set: gives it the guest that its
 * vCPU belongs to. False: there are too many; state->guest is NULL then.
 */
bool kvmlog_guest_get(struct kvmlog_vcpu_state *state);
void kvmlog_guest_put(struct kvmlog_guest *guest);

/*
 * Puts the GUEST record into the stream, once, with the time of the exit that it
 * stands before. False: no room, try again.
 */
bool kvmlog_guest_announce(struct kvmlog_guest *guest, u8 isa, u64 exit_ns);

#endif
