// SPDX-License-Identifier: GPL-2.0-or-later
#include "recording/residual.h"

/* Small differences of either sign become small numbers. */
static inline __u64 folded(__u64 difference)
{
	return difference << 1 ^ -(difference >> 63);
}

static inline __u64 unfolded(__u64 number)
{
	return number >> 1 ^ -(number & 1);
}

/* Which is known of a record as soon as these fields are. */
static inline struct kvmlog_record *of_vcpu(struct kvmlog_residual_state *state,
					    const struct kvmlog_record *record)
{
	return &state->of_vcpu[(record->guest * 31 + record->vcpu) % KVMLOG_RESIDUAL_VCPUS];
}

static inline struct kvmlog_record *of_reason(struct kvmlog_residual_state *state,
					      const struct kvmlog_record *record)
{
	__u32 vcpu = record->guest * 31 + record->vcpu;

	return &state->of_reason[(vcpu * 67 + record->reason + record->type) %
				 KVMLOG_RESIDUAL_REASONS];
}

void kvmlog_residual_take(struct kvmlog_residual_state *state, const struct kvmlog_record *record,
			  struct kvmlog_record *residual)
{
	const struct kvmlog_record *last = &state->last;
	struct kvmlog_record *vcpu = of_vcpu(state, record);
	struct kvmlog_record *reason = of_reason(state, record);

	*residual = (struct kvmlog_record){
		.type = record->type ^ last->type,
		.isa = record->isa ^ last->isa,
		.source = record->source ^ last->source,
		.reserved = record->reserved ^ last->reserved,
		.guest = record->guest ^ last->guest,
		.vcpu = record->vcpu ^ last->vcpu,
		.config_epoch = record->config_epoch ^ last->config_epoch,
		.reason = record->reason,
		.cpu = record->cpu ^ vcpu->cpu,
		.tid = record->tid ^ vcpu->tid,
		.exit_ns = folded(record->exit_ns - (vcpu->exit_ns + vcpu->total_ns)),
		.total_ns = record->total_ns - record->user_ns - record->halt_ns,
		.user_ns = record->user_ns - record->paused_ns,
		.halt_ns = record->halt_ns,
		.paused_ns = record->paused_ns,
		.delay_kernel_us = record->delay_kernel_us,
		.delay_user_us = record->delay_user_us,
		.flags = record->flags ^ reason->flags,
		.user_exits = record->user_exits ^ reason->user_exits,
		.user_reason = record->user_reason ^ reason->user_reason,
		.user_errno = record->user_errno ^ reason->user_errno,
		.rip = folded(record->rip - reason->rip),
		.info1 = record->info1 ^ reason->info1,
		.info2 = record->info2 ^ reason->info2,
		.detail = record->detail ^ reason->detail,
	};
	state->last = *vcpu = *reason = *record;
}

void kvmlog_residual_restore(struct kvmlog_residual_state *state,
			     const struct kvmlog_record *residual, struct kvmlog_record *record)
{
	const struct kvmlog_record *last = &state->last;
	struct kvmlog_record *vcpu, *reason;

	record->type = residual->type ^ last->type;
	record->isa = residual->isa ^ last->isa;
	record->source = residual->source ^ last->source;
	record->reserved = residual->reserved ^ last->reserved;
	record->guest = residual->guest ^ last->guest;
	record->vcpu = residual->vcpu ^ last->vcpu;
	record->config_epoch = residual->config_epoch ^ last->config_epoch;
	record->reason = residual->reason;
	vcpu = of_vcpu(state, record);
	reason = of_reason(state, record);
	record->cpu = residual->cpu ^ vcpu->cpu;
	record->tid = residual->tid ^ vcpu->tid;
	record->exit_ns = unfolded(residual->exit_ns) + vcpu->exit_ns + vcpu->total_ns;
	record->halt_ns = residual->halt_ns;
	record->paused_ns = residual->paused_ns;
	record->user_ns = residual->user_ns + record->paused_ns;
	record->total_ns = residual->total_ns + record->user_ns + record->halt_ns;
	record->delay_kernel_us = residual->delay_kernel_us;
	record->delay_user_us = residual->delay_user_us;
	record->flags = residual->flags ^ reason->flags;
	record->user_exits = residual->user_exits ^ reason->user_exits;
	record->user_reason = residual->user_reason ^ reason->user_reason;
	record->user_errno = residual->user_errno ^ reason->user_errno;
	record->rip = unfolded(residual->rip) + reason->rip;
	record->info1 = residual->info1 ^ reason->info1;
	record->info2 = residual->info2 ^ reason->info2;
	record->detail = residual->detail ^ reason->detail;
	state->last = *vcpu = *reason = *record;
}
