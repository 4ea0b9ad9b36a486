// SPDX-License-Identifier: GPL-2.0-or-later
/* What the programs counted on each CPU, added up. */
#include <string.h>

#include "api.h"

/*
 * Where all exits went, but for what the engine itself did. What ends an exit is read
 * before what begins one, so that the sum holds while programs run.
 */
void kvmlog_bpf_counters(const struct kvmlog_bpf_maps *maps, struct kvmlog_counters *counters)
{
	__u64 taken = 0, full = 0;

	memset(counters, 0, sizeof(*counters));
	for (__u32 i = 0; i < maps->count; i++) {
		const struct kvmlog_bpf_cpu *cpu = &maps->cpus[i];
		__u64 head = __atomic_load_n(&cpu->head, __ATOMIC_ACQUIRE);
		__u64 notes = __atomic_load_n(&cpu->notes, __ATOMIC_ACQUIRE);

		counters->emitted += head > notes ? head - notes : 0;
		counters->notes += notes;
		full += __atomic_load_n(&cpu->dropped_full, __ATOMIC_ACQUIRE);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (__u32 i = 0; i < maps->count; i++) {
		const struct kvmlog_bpf_cpu *cpu = &maps->cpus[i];

		taken += __atomic_load_n(&cpu->taken, __ATOMIC_RELAXED);
		counters->filtered += __atomic_load_n(&cpu->filtered, __ATOMIC_RELAXED);
		counters->sampled += __atomic_load_n(&cpu->sampled, __ATOMIC_RELAXED);
		counters->dropped_table += __atomic_load_n(&cpu->dropped_table, __ATOMIC_RELAXED);
	}
	counters->pending = taken - counters->emitted - full;
	counters->dropped = full + counters->dropped_table;
	counters->seen = taken + counters->filtered + counters->sampled + counters->dropped_table;
}
