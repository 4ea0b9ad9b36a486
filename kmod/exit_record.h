/* SPDX-License-Identifier: GPL-2.0-only */
/* An exit's record, from the exit to the re-entry; what each exit takes is inlined. */
#ifndef _KVMLOG_EXIT_RECORD_H
#define _KVMLOG_EXIT_RECORD_H

#include <linux/cpufeature.h>
#include <linux/ktime.h>
#include <linux/sched.h>

#include "buffer.h"
#include "compat/kernel.h"
#include "compat/kvm.h"
#include "vcpu_state.h"
#include "vendor.h"

#define kvmlog_vcpu_t const struct kvm_vcpu *
#define kvmlog_guest_register(vcpu, number) kvmlog_vcpu_register(vcpu, number)
#define kvmlog_has_decode_assists() boot_cpu_has(X86_FEATURE_DECODEASSISTS)
#include <kvmlog/detail.h>

#define kvmlog_exit_t struct kvmlog_vcpu_state
#include <kvmlog/exit.h>

/*
 * The flags of an exit that left a nested guest: that its own KVM handles it, as long as nobody
 * says that L1 does, or not so where nobody could say it.
 */
extern u16 kvmlog_exit_record_nested;

/* Why and where the vCPU left its guest, as the vendor's KVM knows it, or kvm_exit told. */
static __always_inline void kvmlog_exit_record_fill_reason(struct kvmlog_vcpu_state *state,
							   struct kvm_vcpu *vcpu, u32 isa,
							   u32 passed_reason)
{
	struct kvmlog_record *record = &state->record;
	const bool protected = kvmlog_vcpu_protected(vcpu);
	u16 flags = KVMLOG_F_INFO_VALID;

	if (unlikely(isa != kvmlog_vendor.isa)) {
		/* Cannot be; but the other vendor's function would read what is not there. */
		record->reason = 0;
		record->info1 = record->info2 = 0;
		record->rip = record->detail = 0;
		record->flags = 0;
		return;
	}
	kvmlog_vendor_exit_info(vcpu, passed_reason, &record->reason, &record->info1,
				&record->info2, &state->intr_info, &state->error_code);
	record->rip = 0;
	if (unlikely(kvmlog_vcpu_nested(vcpu)))
		flags |= READ_ONCE(kvmlog_exit_record_nested);
	if (unlikely(protected)) {
		flags |= KVMLOG_F_PROTECTED;
	} else if (likely(kvmlog_vendor_cache_rip(vcpu))) {
		record->rip = kvmlog_vcpu_rip(vcpu);
		flags |= KVMLOG_F_RIP_VALID;
	}
	if (kvmlog_detail_get(isa, record, vcpu, state->intr_info, protected))
		flags |= KVMLOG_F_DETAIL_VALID;
	record->flags = flags;
}

/* @state locked, not pending: the vCPU has exited just now; it is pending after. */
static __always_inline void kvmlog_exit_record_open(struct kvmlog_vcpu_state *state,
						    struct kvm_vcpu *vcpu, u32 isa,
						    u32 passed_reason, u32 epoch, u64 now_ns)
{
	struct kvmlog_record *record = &state->record;

	kvmlog_exit_begin(record, isa, KVMLOG_SOURCE_KMOD, epoch, now_ns);
	record->tid = current->pid;
	record->vcpu = kvmlog_vcpu_id(vcpu);
	record->cpu = raw_smp_processor_id();
	kvmlog_exit_record_fill_reason(state, vcpu, isa, passed_reason);
	state->delay_exit_ns = kvmlog_run_delay_ns();
	state->pending = true;
}

/* Times up to now. The run delay can only be read in the thread itself. */
static __always_inline void kvmlog_exit_record_fill_times(const struct kvmlog_vcpu_state *state,
							  struct kvmlog_record *record)
{
	kvmlog_exit_complete(state, record, ktime_get_mono_fast_ns());
	if (IS_ENABLED(CONFIG_SCHED_INFO) && state->task == current)
		kvmlog_exit_add_delay(state, record, kvmlog_run_delay_ns());
}

/* @state locked and pending: completes its record, with @flags, and writes it; not pending after. */
static __always_inline void kvmlog_exit_record_finish(struct kvmlog_vcpu_state *state, u16 flags)
{
	struct kvmlog_record *record = &state->record;

	kvmlog_exit_record_fill_times(state, record);
	record->flags |= flags;
	state->pending = false;
	kvmlog_buffer_write(record, false);
}

/* @state locked and pending: writes its record without a re-entry; it is not pending after. */
void kvmlog_exit_record_give_up(struct kvmlog_vcpu_state *state);
/* @state locked and pending: the record as it stands now. */
void kvmlog_exit_record_peek(const struct kvmlog_vcpu_state *state, struct kvmlog_record *record);

#endif
