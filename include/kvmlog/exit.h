/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How an exit is sampled, timed and completed; inlined into the probes of the module,
 * into the BPF programs and into the engine, so that a record means the same whichever
 * wrote it.
 * Nothing here reads a clock, takes a lock or counts: that is the caller's part.
 *
 * Who includes this defines before:
 *   kvmlog_exit_t  the struct that keeps an exit until the vCPU re-enters, with
 *                    record           struct kvmlog_record
 *                    delay_exit_ns    __u64, run delay of the thread at the exit ...
 *                    delay_user_ns    __u64, ... and at the first return from KVM_RUN
 *                    user_since_ns    __u64, time of that return
 *                    paused_since_ns  __u64, time of the last return, if it was with
 *                                     -EINTR; 0: it was not
 *
 * Times are CLOCK_MONOTONIC. A thread's run delay is the time that it has stood
 * runnable without a CPU.
 */
#ifndef _KVMLOG_EXIT_H
#define _KVMLOG_EXIT_H

#include <kvmlog/record.h>

enum {
	KVMLOG_NS_PER_US = 1000,
	KVMLOG_EINTR = 4, /* in every ISA that KVM knows */
};

/* Clocks read on two CPUs may disagree by a hair. */
static __always_inline __u64 kvmlog_elapsed_ns(__u64 from_ns, __u64 to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

static __always_inline __u32 kvmlog_saturated_us(__u64 ns)
{
	__u64 us = ns / KVMLOG_NS_PER_US;

	return us > 0xffffffffULL ? 0xffffffff : us;
}

/*
 * One exit in @one_in: whether this one is left out. When it is not, the caller draws the
 * next gap. A gap that is longer than any of @one_in is of an earlier configuration.
 */
static __always_inline bool kvmlog_sampler_skips(__u32 *gap, __u32 one_in)
{
	if (*gap < 2 || *gap >= 2 * one_in)
		return false;
	--*gap;
	return true;
}

/*
 * The next gap, drawn with @random, which is uniform over 32 bits: uniform over 1 to 2N - 1,
 * so that it is N on average, but a guest whose exits alternate does not hide one kind of
 * them from the sample.
 */
static __always_inline __u32 kvmlog_sampler_gap(__u32 one_in, __u32 random)
{
	return 1 + ((__u64)random * (2 * one_in - 1) >> 32);
}

/*
 * The exit has happened. Sets every field but those that say why and where (reason to
 * detail, flags), whose vCPU it is and on which CPU it ran, and total_ns, which is the
 * business of kvmlog_exit_complete(): one by one is quicker than clearing the whole first.
 */
static __always_inline void kvmlog_exit_begin(struct kvmlog_record *record, __u32 isa, __u32 source,
					      __u32 epoch, __u64 now_ns)
{
	record->type = KVMLOG_RECORD_EXIT;
	record->isa = isa;
	record->source = source;
	record->reserved = 0;
	record->user_exits = 0;
	record->exit_ns = now_ns;
	record->user_ns = 0;
	record->halt_ns = 0;
	record->paused_ns = 0;
	record->delay_kernel_us = 0;
	record->delay_user_us = 0;
	record->config_epoch = epoch;
	record->user_reason = 0;
	record->user_errno = 0;
}

/* From a return with -EINTR on, if that was the last one, the vCPU is paused. */
static __always_inline void kvmlog_exit_add_pause(const kvmlog_exit_t *exit,
						  struct kvmlog_record *record, __u64 now_ns)
{
	if (exit->paused_since_ns)
		record->paused_ns += kvmlog_elapsed_ns(exit->paused_since_ns, now_ns);
}

/* Why KVM_RUN returned. With -EINTR the reason may still be that of an earlier return. */
static __always_inline void kvmlog_exit_set_user_reason(struct kvmlog_record *record, __u32 reason,
							int error)
{
	if (error == -KVMLOG_EINTR) {
		record->flags |= KVMLOG_F_USER_EINTR;
	} else if (!(record->flags & KVMLOG_F_USER_REASON)) {
		record->flags |= KVMLOG_F_USER_REASON;
		record->user_reason = reason;
		record->user_errno = error; /* at most MAX_ERRNO */
	}
}

/* KVM_RUN returns to user space, now; @delay_ns: run delay of the thread. */
static __always_inline void kvmlog_exit_returned(kvmlog_exit_t *exit, __u32 reason, int error,
						 __u64 now_ns, __u64 delay_ns)
{
	struct kvmlog_record *record = &exit->record;

	if (!record->user_exits) {
		exit->user_since_ns = now_ns;
		exit->delay_user_ns = delay_ns;
	} else if (record->flags & KVMLOG_F_USER_EINTR) {
		kvmlog_exit_add_pause(exit, record, now_ns);
	}
	if (record->user_exits != 0xffff)
		record->user_exits++;
	exit->paused_since_ns = error == -KVMLOG_EINTR ? now_ns : 0;
	kvmlog_exit_set_user_reason(record, reason, error);
}

/* The vCPU has been halted for @ns, or polled that long for the end of its halt. */
static __always_inline void kvmlog_exit_halted(kvmlog_exit_t *exit, __u64 ns, bool slept)
{
	struct kvmlog_record *record = &exit->record;

	record->halt_ns += ns;
	if (record->user_exits) {
		/* Interrupted in its halt it goes on halting: that is no time of the VMM. */
		exit->user_since_ns += ns;
		if (exit->paused_since_ns)
			exit->paused_since_ns += ns;
	}
	if (slept)
		record->flags |= KVMLOG_F_HALT_SLEPT;
}

/* Sets the address of a VMX exit with this reason, whose own information lacks it. */
static __always_inline void kvmlog_exit_set_address(struct kvmlog_record *record, __u32 vmx_reason,
						    __u64 address)
{
	if (record->isa != KVMLOG_ISA_VMX || record->reason != vmx_reason ||
	    record->flags & KVMLOG_F_DETAIL_VALID)
		return;
	record->detail = address;
	record->flags |= KVMLOG_F_DETAIL_VALID;
}

/*
 * The hypervisor in the guest is given an exit of the guest in it. Not every one is of an exit
 * of that guest: it may have been about to be entered.
 */
static __always_inline void kvmlog_exit_to_l1(struct kvmlog_record *record)
{
	if (record->flags & KVMLOG_F_NESTED)
		record->flags = (record->flags & ~KVMLOG_F_NESTED_L0) | KVMLOG_F_NESTED_L1;
}

/* Written before the re-entry: who handles it is not known, unless it is L1. */
static __always_inline void kvmlog_exit_not_reentered(struct kvmlog_record *record)
{
	record->flags = (record->flags & ~KVMLOG_F_NESTED_L0) | KVMLOG_F_NO_REENTRY;
}

/* Times up to now. @record: that of @exit, or a copy of it. */
static __always_inline void kvmlog_exit_complete(const kvmlog_exit_t *exit,
						 struct kvmlog_record *record, __u64 now_ns)
{
	record->total_ns = kvmlog_elapsed_ns(record->exit_ns, now_ns);
	if (record->user_exits)
		record->user_ns = kvmlog_elapsed_ns(exit->user_since_ns, now_ns);
	if (record->flags & KVMLOG_F_USER_EINTR) {
		kvmlog_exit_add_pause(exit, record, now_ns);
		if (record->paused_ns > record->user_ns)
			record->paused_ns = record->user_ns;
	}
}

/* Time without a CPU; @delay_ns: run delay of the thread now, which it tells only itself. */
static __always_inline void kvmlog_exit_add_delay(const kvmlog_exit_t *exit,
						  struct kvmlog_record *record, __u64 delay_ns)
{
	__u64 kernel_until_ns = record->user_exits ? exit->delay_user_ns : delay_ns;

	record->flags |= KVMLOG_F_DELAY_VALID;
	/* Nearly always nothing: a division costs more than the test. */
	if (delay_ns == exit->delay_exit_ns)
		return;
	record->delay_kernel_us = kvmlog_saturated_us(kernel_until_ns - exit->delay_exit_ns);
	record->delay_user_us = kvmlog_saturated_us(delay_ns - kernel_until_ns);
}

#endif
