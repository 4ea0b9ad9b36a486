// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes: an exit opens a record in the vCPU's slot, returns to user space
 * and halts add to it, the re-entry completes and writes it.
 *
 * Nothing here allocates, sleeps, prints or formats. All run in the vCPU's
 * thread; kvm_entry with interrupts off, kvm_exit with them on up to v6.2 and
 * off since.
 */
#include <linux/cpufeature.h>
#include <linux/kvm_host.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/ktime.h>
#include <linux/tracepoint.h>
#include <trace/events/kvm.h>

#include <kvmlog/kvmlog.h>

#include "compat/kernel.h"
#include "compat/kvm.h"
#include "config.h"
#include "cost.h"
#include "guest.h"
#include "vcpu_table.h"
#include "random.h"
#include "stage.h"
#include "trace.h"
#include "vendor.h"

#define kvmlog_vcpu_t const struct kvm_vcpu *
#define kvmlog_guest_register(vcpu, number) ((vcpu)->arch.regs[number])
#define kvmlog_has_decode_assists() boot_cpu_has(X86_FEATURE_DECODEASSISTS)
#include <kvmlog/detail.h>

static_assert((int)KVMLOG_RAX == (int)VCPU_REGS_RAX && (int)KVMLOG_RCX == (int)VCPU_REGS_RCX);

/* For one-in-N: how many exits this CPU still leaves out, and its random state. */
struct sampler {
	u32 skip;
	u32 random;
};

static DEFINE_PER_CPU(struct sampler, samplers);

static u32 ns_to_saturated_us(u64 ns)
{
	return ns ? min_t(u64, div_u64(ns, NSEC_PER_USEC), U32_MAX) : 0;
}

/* Clocks read on two CPUs may disagree by a hair. */
static u64 elapsed_ns(u64 from_ns, u64 to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/*
 * The gap is drawn anew each time, even over 1 to 2N - 1: N on average, but a
 * guest whose exits alternate does not hide one kind of them from the sample.
 */
static bool leave_out(u32 one_in)
{
	struct sampler *sampler = this_cpu_ptr(&samplers);

	if (sampler->skip && sampler->skip < 2 * one_in) {
		sampler->skip--;
		if (sampler->skip)
			return true;
	}
	sampler->skip = 1 + kvmlog_random(&sampler->random, 2 * one_in - 1);
	return false;
}

static bool wanted(const struct kvmlog_config *config)
{
	if (unlikely(config->nr_tgids) && !kvmlog_config_traces(config, current->tgid)) {
		this_cpu_inc(kvmlog_counts.filtered);
		return false;
	}
	if (unlikely(!READ_ONCE(kvmlog_window_open)) ||
	    (unlikely(config->one_in > 1) && leave_out(config->one_in))) {
		this_cpu_inc(kvmlog_counts.sampled);
		return false;
	}
	return true;
}

/* What the vendor's KVM knows of this exit. */
static __always_inline void fill_reason(struct kvmlog_slot *slot, struct kvm_vcpu *vcpu, u32 isa)
{
	struct kvmlog_record *record = &slot->record;
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
	kvmlog_vendor_exit_info(vcpu, &record->reason, &record->info1, &record->info2,
				&slot->intr_info, &slot->error_code);
	record->rip = 0;
	if (unlikely(kvmlog_vcpu_nested(vcpu)))
		flags |= KVMLOG_F_NESTED;
	if (unlikely(protected)) {
		flags |= KVMLOG_F_PROTECTED;
	} else if (likely(kvmlog_vendor_cache_rip(vcpu))) {
		record->rip = vcpu->arch.regs[VCPU_REGS_RIP];
		flags |= KVMLOG_F_RIP_VALID;
	}
	if (kvmlog_detail_get(isa, record, vcpu, slot->intr_info, protected))
		flags |= KVMLOG_F_DETAIL_VALID;
	record->flags = flags;
}

/* Sets every field but total_ns and guest, one by one: quicker than clearing the whole first. */
static __always_inline void open_record(struct kvmlog_slot *slot, struct kvm_vcpu *vcpu, u32 isa,
					u32 epoch, u64 now_ns)
{
	struct kvmlog_record *record = &slot->record;

	record->type = KVMLOG_RECORD_EXIT;
	record->isa = isa;
	record->source = KVMLOG_SOURCE_KMOD;
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
	record->tid = current->pid;
	record->vcpu = vcpu->vcpu_id;
	record->cpu = raw_smp_processor_id();
	fill_reason(slot, vcpu, isa);
	slot->delay_exit_ns = kvmlog_run_delay_ns();
	slot->pending = true;
}

/* Another vCPU stands at the address of one that is gone (see guest.c). */
static bool replace_vcpu(struct kvmlog_slot *slot)
{
	if (slot->pending)
		kvmlog_trace_give_up(slot);
	kvmlog_guest_put(slot->guest);
	return kvmlog_guest_get(slot);
}

static noinline void time_kvm_exit(struct kvm_vcpu *vcpu, u32 isa)
{
	struct kvmlog_cost_timing timing;

	kvmlog_cost_begin(&timing);
	kvmlog_probe_kvm_exit(NULL, vcpu, isa);
	kvmlog_cost_end(&timing);
}

void kvmlog_probe_kvm_exit(void *data, struct kvm_vcpu *vcpu, u32 isa)
{
	const struct kvmlog_config *config;
	struct kvmlog_slot *slot;
	u64 now_ns, exits;

	kvmlog_probe_begin();
	if (kvmlog_cost_due()) {
		time_kvm_exit(vcpu, isa);
		goto out;
	}
	now_ns = ktime_get_mono_fast_ns();
	config = rcu_dereference_sched(kvmlog_config);
	if (unlikely(!config))
		goto out;
	kvmlog_stage_kick_if_due();
	if (!wanted(config))
		goto out;

	slot = kvmlog_pending_claim(vcpu);
	if (unlikely(!slot))
		goto out_lost;
	exits = kvmlog_vcpu_exits(vcpu);
	if (unlikely(exits < slot->exits) && !replace_vcpu(slot)) {
		kvmlog_pending_free(slot);
		goto out_lost;
	}
	slot->exits = exits + 1;
	/* KVM re-enters before it exits again; a probe attached in between may not have seen it. */
	if (unlikely(slot->pending))
		kvmlog_trace_give_up(slot);
	/* With full buffers the guest's next exit tries again. */
	if (unlikely(!slot->announced))
		slot->announced = kvmlog_guest_announce(slot->guest, isa, now_ns);
	open_record(slot, vcpu, isa, config->epoch, now_ns);
	this_cpu_inc(kvmlog_counts.taken);
	kvmlog_pending_unlock(slot);
out:
	kvmlog_probe_end();
	return;

out_lost:
	this_cpu_inc(kvmlog_counts.dropped_table);
	kvmlog_stage_count_lost();
	kvmlog_probe_end();
}

/* From a return with -EINTR on, if that was the last one, the vCPU is paused. */
static void add_pause(const struct kvmlog_slot *slot, struct kvmlog_record *record, u64 now_ns)
{
	if (slot->paused_since_ns)
		record->paused_ns += elapsed_ns(slot->paused_since_ns, now_ns);
}

/* Times up to @now_ns. The run delay can only be told in the thread itself. */
static __always_inline void fill_times(const struct kvmlog_slot *slot, struct kvmlog_record *record,
				       u64 now_ns)
{
	record->total_ns = elapsed_ns(record->exit_ns, now_ns);
	if (record->user_exits)
		record->user_ns = elapsed_ns(slot->user_since_ns, now_ns);
	if (unlikely(record->flags & KVMLOG_F_USER_EINTR)) {
		add_pause(slot, record, now_ns);
		record->paused_ns = min(record->paused_ns, record->user_ns);
	}
	if (IS_ENABLED(CONFIG_SCHED_INFO) && slot->task == current) {
		u64 delay_ns = kvmlog_run_delay_ns();
		u64 kernel_until_ns = record->user_exits ? slot->delay_user_ns : delay_ns;

		record->delay_kernel_us = ns_to_saturated_us(kernel_until_ns - slot->delay_exit_ns);
		record->delay_user_us = ns_to_saturated_us(delay_ns - kernel_until_ns);
		record->flags |= KVMLOG_F_DELAY_VALID;
	}
}

static __always_inline bool write_exit(const struct kvmlog_record *record)
{
	unsigned long flags;
	bool written;

	local_irq_save(flags);
	written = kvmlog_stage_write(record);
	local_irq_restore(flags);
	return written;
}

/* Completes the record of a pending slot, with @flags, and writes it. */
static __always_inline void finish(struct kvmlog_slot *slot, u16 flags)
{
	struct kvmlog_record *record = &slot->record;

	fill_times(slot, record, ktime_get_mono_fast_ns());
	record->flags |= flags;
	slot->pending = false;
	write_exit(record);
}

void kvmlog_trace_give_up(struct kvmlog_slot *slot)
{
	finish(slot, KVMLOG_F_NO_REENTRY);
}

void kvmlog_trace_peek(const struct kvmlog_slot *slot, struct kvmlog_record *record)
{
	*record = slot->record;
	fill_times(slot, record, ktime_get_mono_fast_ns());
	record->flags |= KVMLOG_F_NO_REENTRY;
}

static noinline void time_kvm_entry(struct kvm_vcpu *vcpu)
{
	struct kvmlog_cost_timing timing;

	kvmlog_cost_begin(&timing);
	kvmlog_probe_kvm_entry(NULL, vcpu);
	kvmlog_cost_end(&timing);
}

void kvmlog_probe_kvm_entry(void *data, struct kvm_vcpu *vcpu)
{
	struct kvmlog_slot *slot;

	kvmlog_probe_begin();
	if (kvmlog_cost_due()) {
		time_kvm_entry(vcpu);
		goto out;
	}
	slot = kvmlog_pending_of_vcpu(vcpu);
	if (likely(slot)) {
		if (likely(slot->pending)) {
			u16 flags = 0;

			if (unlikely(slot->record.cpu != raw_smp_processor_id()))
				flags = KVMLOG_F_MIGRATED;
			/* Not the vCPU that left, but a new one at its address. */
			if (unlikely(kvmlog_vcpu_exits(vcpu) + 1 < slot->exits))
				flags = KVMLOG_F_NO_REENTRY;
			finish(slot, flags);
		}
		kvmlog_pending_unlock(slot);
	}
out:
	kvmlog_probe_end();
}

static noinline void time_kvm_userspace_exit(__u32 reason, int error)
{
	struct kvmlog_cost_timing timing;

	kvmlog_cost_begin(&timing);
	kvmlog_probe_kvm_userspace_exit(NULL, reason, error);
	kvmlog_cost_end(&timing);
}

void kvmlog_probe_kvm_userspace_exit(void *data, __u32 reason, int error)
{
	struct kvmlog_record *record;
	struct kvmlog_slot *slot;
	u64 now_ns;

	kvmlog_probe_begin();
	if (kvmlog_cost_due()) {
		time_kvm_userspace_exit(reason, error);
		goto out;
	}
	slot = kvmlog_pending_of_current();
	if (!slot)
		goto out;
	if (!slot->pending)
		goto out_unlock;
	now_ns = ktime_get_mono_fast_ns();
	record = &slot->record;
	if (!record->user_exits) {
		slot->user_since_ns = now_ns;
		slot->delay_user_ns = kvmlog_run_delay_ns();
	} else if (unlikely(record->flags & KVMLOG_F_USER_EINTR)) {
		add_pause(slot, record, now_ns);
	}
	if (likely(record->user_exits != U16_MAX))
		record->user_exits++;
	if (error == -EINTR) {
		/* The reason may still be that of an earlier return. */
		record->flags |= KVMLOG_F_USER_EINTR;
		slot->paused_since_ns = now_ns;
	} else {
		slot->paused_since_ns = 0;
		if (!(record->flags & KVMLOG_F_USER_REASON)) {
			record->flags |= KVMLOG_F_USER_REASON;
			record->user_reason = reason;
			record->user_errno = error; /* at most MAX_ERRNO */
		}
	}
out_unlock:
	kvmlog_pending_unlock(slot);
out:
	kvmlog_probe_end();
}

/* A vCPU that was interrupted in its halt goes on halting: that is no time of the VMM. */
static void skip_halt(struct kvmlog_slot *slot, u64 ns)
{
	if (!slot->record.user_exits)
		return;
	slot->user_since_ns += ns;
	if (slot->paused_since_ns)
		slot->paused_since_ns += ns;
}

static noinline void time_kvm_vcpu_wakeup(__u64 ns, bool waited, bool valid)
{
	struct kvmlog_cost_timing timing;

	kvmlog_cost_begin(&timing);
	kvmlog_probe_kvm_vcpu_wakeup(NULL, ns, waited, valid);
	kvmlog_cost_end(&timing);
}

void kvmlog_probe_kvm_vcpu_wakeup(void *data, __u64 ns, bool waited, bool valid)
{
	struct kvmlog_slot *slot;

	kvmlog_probe_begin();
	if (kvmlog_cost_due()) {
		time_kvm_vcpu_wakeup(ns, waited, valid);
		goto out;
	}
	slot = kvmlog_pending_of_current();
	if (slot) {
		if (slot->pending) {
			slot->record.halt_ns += ns;
			skip_halt(slot, ns);
			if (waited)
				slot->record.flags |= KVMLOG_F_HALT_SLEPT;
		}
		kvmlog_pending_unlock(slot);
	}
out:
	kvmlog_probe_end();
}

/* Sets the address of an exit whose own information lacks it. */
static void add_address(struct kvmlog_slot *slot, u32 vmx_reason, u64 address)
{
	struct kvmlog_record *record = &slot->record;

	if (slot->pending && record->isa == KVMLOG_ISA_VMX && record->reason == vmx_reason &&
	    !(record->flags & KVMLOG_F_DETAIL_VALID)) {
		record->detail = address;
		record->flags |= KVMLOG_F_DETAIL_VALID;
	}
}

void kvmlog_probe_kvm_page_fault(void *data, struct kvm_vcpu *vcpu, u64 address, u64 error_code)
{
	struct kvmlog_slot *slot;

	kvmlog_probe_begin();
	slot = kvmlog_pending_of_vcpu(vcpu);
	if (slot) {
		add_address(slot, KVMLOG_VMX_EPT_VIOLATION, address);
		kvmlog_pending_unlock(slot);
	}
	kvmlog_probe_end();
}

void kvmlog_probe_kvm_fast_mmio(void *data, u64 gpa)
{
	struct kvmlog_slot *slot;

	kvmlog_probe_begin();
	slot = kvmlog_pending_of_current();
	if (slot) {
		add_address(slot, KVMLOG_VMX_EPT_MISCONFIG, gpa);
		kvmlog_pending_unlock(slot);
	}
	kvmlog_probe_end();
}

void kvmlog_probe_sched_process_exit(void *data, struct task_struct *task)
{
	kvmlog_probe_begin();
	kvmlog_pending_thread_ends();
	kvmlog_probe_end();
}

/* The tracepoints whose headers are public: their types are checked when this is compiled. */
static void __maybe_unused check_probe_types(void)
{
	check_trace_callback_type_kvm_userspace_exit(kvmlog_probe_kvm_userspace_exit);
	check_trace_callback_type_kvm_vcpu_wakeup(kvmlog_probe_kvm_vcpu_wakeup);
}

int kvmlog_emit(const struct kvmlog_record *foreign)
{
	const struct kvmlog_config *config;
	struct kvmlog_record record;
	int result = -ENODEV;

	if (foreign->type != KVMLOG_RECORD_EXIT)
		return -EINVAL;
	preempt_disable_notrace();
	config = rcu_dereference_sched(kvmlog_config);
	/* Tested in here: switching off disables the key, then waits for this section. */
	if (!config || !kvmlog_enabled())
		goto out;
	if (in_nmi()) {
		/* The buffer's lock may be held by what the NMI interrupted. */
		this_cpu_inc(kvmlog_counts.dropped_table);
		kvmlog_stage_count_lost();
		result = -EBUSY;
		goto out;
	}
	record = *foreign;
	record.source = KVMLOG_SOURCE_FOREIGN;
	record.reserved = 0;
	record.config_epoch = config->epoch;
	this_cpu_inc(kvmlog_counts.taken);
	result = write_exit(&record) ? 0 : -ENOSPC;
	kvmlog_stage_kick_if_due();
out:
	preempt_enable_notrace();
	return result;
}
EXPORT_SYMBOL_GPL(kvmlog_emit);
