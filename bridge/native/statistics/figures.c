// SPDX-License-Identifier: GPL-2.0-or-later
/* What single exits count for, by the rules of rows: for who looks at records one by one. */
#include "statistics/entry.h"

void kvmlog_exit_figures(const struct kvmlog_record *records, __u64 count,
			 struct kvmlog_exit_figures *figures)
{
	for (__u64 i = 0; i < count; i++) {
		const struct kvmlog_record *record = &records[i];
		struct kvmlog_statistics_entry entry;
		struct kvmlog_statistics_sums sums = { .total_ns = record->total_ns };
		struct kvmlog_alike alike;

		/* Not its counts, which are large and which nothing below reads. */
		kvmlog_statistics_entry_clear(&entry);
		entry.kind = record->type | (__u64)record->isa << 8 | (__u64)record->source << 16 |
			     (__u64)record->flags << 32;
		entry.why = (__u64)record->reason << 16 | (__u64)record->user_reason << 48;
		entry.who = (__u64)record->guest << 16 | (__u64)record->vcpu << 48;
		entry.total_user_ns = (kvmlog_pair){ record->total_ns, record->user_ns };
		entry.halt_paused_ns = (kvmlog_pair){ record->halt_ns, record->paused_ns };
		entry.delay_kernel_us = record->delay_kernel_us;
		entry.delay_user_us = record->delay_user_us;
		alike = kvmlog_alike_of(&entry);
		kvmlog_alike_split(&alike, &entry, &sums);
		figures[i] = (struct kvmlog_exit_figures){
			.kvm_ns = sums.kvm_ns,
			.vmm_ns = sums.vmm_ns,
			.wait_ns = sums.wait_ns,
			.idle_ns = sums.idle_ns,
			.paused_ns = sums.paused_ns,
			.flags = kvmlog_alike_flags(&alike),
		};
	}
}
