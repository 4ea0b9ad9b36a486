// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes: an exit opens a record in the vCPU's state, returns to user space
 * and halts add to it, the re-entry completes and writes it.
 *
 * Nothing here allocates, sleeps, prints or formats. All run in the vCPU's
 * thread; kvm_entry with interrupts off, kvm_exit with them on up to v6.2 and
 * off since.
 */
#include <linux/jump_label.h>
#include <linux/kvm_host.h>
#include <linux/ktime.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>
#include <trace/events/kvm.h>

#include <kvmlog/kvmlog.h>

#include "buffer.h"
#include "compat/kernel.h"
#include "compat/kvm.h"
#include "config.h"
#include "cost.h"
#include "counters.h"
#include "exit_record.h"
#include "flush.h"
#include "guest.h"
#include "random.h"
#include "trace.h"
#include "vcpu_table.h"

DEFINE_STATIC_KEY_FALSE(kvmlog_key);
EXPORT_SYMBOL_GPL(kvmlog_key);

/* For one-in-N, this CPU's. */
struct sampler {
	u32 gap;    /* exits up to the next one that is kept, with it */
	u32 random; /* state of kvmlog_random() */
};

static DEFINE_PER_CPU(struct sampler, samplers);

static bool sampler_keeps(u32 one_in)
{
	struct sampler *sampler = this_cpu_ptr(&samplers);

	if (kvmlog_sampler_skips(&sampler->gap, one_in))
		return false;
	sampler->gap = kvmlog_sampler_gap(one_in, kvmlog_random(&sampler->random));
	return true;
}

/* Whether filter and sampling let this exit pass; counts those that they do not. */
static bool exit_passes(const struct kvmlog_config *config)
{
	if (unlikely(config->nr_tgids) && !kvmlog_config_traces(config, current->tgid)) {
		this_cpu_inc(kvmlog_counters.filtered);
		return false;
	}
	if (unlikely(!READ_ONCE(kvmlog_window_open)) ||
	    (unlikely(config->one_in > 1) && !sampler_keeps(config->one_in))) {
		this_cpu_inc(kvmlog_counters.sampled);
		return false;
	}
	return true;
}

/* Another vCPU stands at the address of one that is gone (see guest.c). */
static bool replace_vcpu(struct kvmlog_vcpu_state *state)
{
	if (state->pending)
		kvmlog_exit_record_give_up(state);
	kvmlog_guest_put(state->guest);
	return kvmlog_guest_get(state);
}

static noinline void time_kvm_exit(KVMLOG_KVM_EXIT_PROTO)
{
	struct kvmlog_cost_timing timing;

	kvmlog_cost_begin(&timing);
	kvmlog_probe_kvm_exit(NULL, KVMLOG_KVM_EXIT_ARGS);
	kvmlog_cost_end(&timing);
}

void kvmlog_probe_kvm_exit(void *data, KVMLOG_KVM_EXIT_PROTO)
{
	const struct kvmlog_config *config;
	struct kvmlog_vcpu_state *state;
	u64 now_ns, exits;

	kvmlog_probe_begin();
	if (kvmlog_cost_is_timed()) {
		time_kvm_exit(KVMLOG_KVM_EXIT_ARGS);
		goto out;
	}
	now_ns = ktime_get_mono_fast_ns();
	config = rcu_dereference_sched(kvmlog_config);
	if (unlikely(!config))
		goto out;
	kvmlog_flush_wake_if_needed();
	if (!exit_passes(config))
		goto out;

	state = kvmlog_vcpu_table_claim(vcpu);
	if (unlikely(!state))
		goto out_lost;
	exits = kvmlog_vcpu_exits(vcpu);
	if (unlikely(exits < state->exits) && !replace_vcpu(state)) {
		kvmlog_vcpu_table_remove(state);
		goto out_lost;
	}
	state->exits = exits + 1;
	/* KVM re-enters before it exits again; a probe attached in between may not have seen it. */
	if (unlikely(state->pending))
		kvmlog_exit_record_give_up(state);
	/* No record of a guest comes before its announcement: with full buffers neither does. */
	if (unlikely(!state->announced)) {
		state->announced = kvmlog_guest_announce(state->guest, isa, now_ns);
		if (!state->announced) {
			this_cpu_inc(kvmlog_counters.taken);
			this_cpu_inc(kvmlog_counters.dropped_buffer);
			kvmlog_buffer_count_lost();
			kvmlog_vcpu_state_unlock(state);
			goto out;
		}
	}
	kvmlog_exit_record_open(state, vcpu, isa, KVMLOG_KVM_EXIT_REASON, config->epoch, now_ns);
	this_cpu_inc(kvmlog_counters.taken);
	kvmlog_vcpu_state_unlock(state);
out:
	kvmlog_probe_end();
	return;

out_lost:
	this_cpu_inc(kvmlog_counters.dropped_table);
	kvmlog_buffer_count_lost();
	kvmlog_probe_end();
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
	struct kvmlog_vcpu_state *state;

	kvmlog_probe_begin();
	if (kvmlog_cost_is_timed()) {
		time_kvm_entry(vcpu);
		goto out;
	}
	state = kvmlog_vcpu_table_find(vcpu);
	if (likely(state)) {
		if (likely(state->pending)) {
			u16 flags = 0;

			if (unlikely(state->record.cpu != raw_smp_processor_id()))
				flags = KVMLOG_F_MIGRATED;
			/* Not the vCPU that left, but a new one at its address. */
			if (unlikely(kvmlog_vcpu_exits(vcpu) + 1 < state->exits))
				kvmlog_exit_record_give_up(state);
			else
				kvmlog_exit_record_finish(state, flags);
		}
		kvmlog_vcpu_state_unlock(state);
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
	struct kvmlog_vcpu_state *state;

	kvmlog_probe_begin();
	if (kvmlog_cost_is_timed()) {
		time_kvm_userspace_exit(reason, error);
		goto out;
	}
	state = kvmlog_vcpu_table_find_current();
	if (state) {
		if (state->pending)
			kvmlog_exit_returned(state, reason, error, ktime_get_mono_fast_ns(),
					     kvmlog_run_delay_ns());
		kvmlog_vcpu_state_unlock(state);
	}
out:
	kvmlog_probe_end();
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
	struct kvmlog_vcpu_state *state;

	kvmlog_probe_begin();
	if (kvmlog_cost_is_timed()) {
		time_kvm_vcpu_wakeup(ns, waited, valid);
		goto out;
	}
	state = kvmlog_vcpu_table_find_current();
	if (state) {
		if (state->pending)
			kvmlog_exit_halted(state, ns, waited);
		kvmlog_vcpu_state_unlock(state);
	}
out:
	kvmlog_probe_end();
}

void kvmlog_probe_kvm_page_fault(void *data, KVMLOG_KVM_PAGE_FAULT_PROTO)
{
	struct kvmlog_vcpu_state *state;

	kvmlog_probe_begin();
#ifdef KVMLOG_HAVE_EXIT_INFO_REASON
	/* A kernel that does not pass the vCPU yet passes an address here, which is no vCPU's. */
	state = kvmlog_vcpu_table_find(vcpu);
#else
	state = kvmlog_vcpu_table_find_current();
#endif
	if (state) {
		if (state->pending)
			kvmlog_exit_set_address(&state->record, KVMLOG_VMX_EPT_VIOLATION, address);
		kvmlog_vcpu_state_unlock(state);
	}
	kvmlog_probe_end();
}

/* An access to a device, wherever it is handled. */
static void take_mmio(u64 gpa)
{
	struct kvmlog_vcpu_state *state;

	kvmlog_probe_begin();
	state = kvmlog_vcpu_table_find_current();
	if (state) {
		if (state->pending)
			kvmlog_exit_set_address(&state->record, KVMLOG_VMX_EPT_MISCONFIG, gpa);
		kvmlog_vcpu_state_unlock(state);
	}
	kvmlog_probe_end();
}

/* By an ioeventfd that wants no value: the instruction is not looked at. */
void kvmlog_probe_kvm_fast_mmio(void *data, u64 gpa)
{
	take_mmio(gpa);
}

/* By emulating the instruction. Of several accesses, the record keeps the first. */
void kvmlog_probe_kvm_mmio(void *data, int type, int len, u64 gpa, void *value)
{
	take_mmio(gpa);
}

void kvmlog_probe_kvm_nested_vmexit_inject(void *data, u32 reason)
{
	struct kvmlog_vcpu_state *state;

	kvmlog_probe_begin();
	state = kvmlog_vcpu_table_find_current();
	if (state) {
		if (state->pending)
			kvmlog_exit_to_l1(&state->record);
		kvmlog_vcpu_state_unlock(state);
	}
	kvmlog_probe_end();
}

void kvmlog_probe_sched_process_exit(void *data, struct task_struct *task)
{
	kvmlog_probe_begin();
	kvmlog_vcpu_table_thread_exit();
	kvmlog_probe_end();
}

/* The tracepoints whose headers are public: their types are checked when this is compiled. */
static void __maybe_unused check_probe_types(void)
{
	check_trace_callback_type_kvm_userspace_exit(kvmlog_probe_kvm_userspace_exit);
	check_trace_callback_type_kvm_vcpu_wakeup(kvmlog_probe_kvm_vcpu_wakeup);
	check_trace_callback_type_kvm_mmio(kvmlog_probe_kvm_mmio);
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
		this_cpu_inc(kvmlog_counters.dropped_table);
		kvmlog_buffer_count_lost();
		result = -EBUSY;
		goto out;
	}
	record = *foreign;
	record.source = KVMLOG_SOURCE_FOREIGN;
	record.reserved = 0;
	record.config_epoch = config->epoch;
	this_cpu_inc(kvmlog_counters.taken);
	result = kvmlog_buffer_write(&record, false) ? 0 : -ENOSPC;
	kvmlog_flush_wake_if_needed();
out:
	preempt_enable_notrace();
	return result;
}
EXPORT_SYMBOL_GPL(kvmlog_emit);
