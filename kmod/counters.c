// SPDX-License-Identifier: GPL-2.0-only
/* Reading the counters: seen = emitted + filtered + sampled + dropped + pending, always. */
#include <linux/string.h>

#include "counters.h"

DEFINE_PER_CPU(struct kvmlog_cpu_counters, kvmlog_counters);

/* What left the sum is read before what entered it: see struct kvmlog_cpu_counters. */
void kvmlog_counters_read(struct kvmlog_counters *sum)
{
	u64 taken = 0, discarded = 0;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct kvmlog_cpu_counters *counters = per_cpu_ptr(&kvmlog_counters, cpu);

		discarded += READ_ONCE(counters->discarded);
	}
	smp_rmb();
	for_each_possible_cpu(cpu) {
		const struct kvmlog_cpu_counters *counters = per_cpu_ptr(&kvmlog_counters, cpu);

		sum->emitted += READ_ONCE(counters->emitted);
		sum->dropped += READ_ONCE(counters->dropped_buffer);
	}
	smp_rmb();
	for_each_possible_cpu(cpu) {
		const struct kvmlog_cpu_counters *counters = per_cpu_ptr(&kvmlog_counters, cpu);

		taken += READ_ONCE(counters->taken);
		sum->filtered += READ_ONCE(counters->filtered);
		sum->sampled += READ_ONCE(counters->sampled);
		sum->dropped_table += READ_ONCE(counters->dropped_table);
		sum->notes += READ_ONCE(counters->notes);
	}
	sum->pending = taken - sum->emitted - sum->dropped;
	sum->emitted -= discarded;
	sum->dropped += discarded + sum->dropped_table;
	sum->seen = taken + sum->filtered + sum->sampled + sum->dropped_table;
}

u64 kvmlog_counters_notes_lost(void)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(kvmlog_counters, cpu).notes_lost);
	return sum;
}

u64 kvmlog_counters_dropped(int cpu)
{
	const struct kvmlog_cpu_counters *counters = per_cpu_ptr(&kvmlog_counters, cpu);

	return READ_ONCE(counters->dropped_buffer) + READ_ONCE(counters->dropped_table) +
	       READ_ONCE(counters->discarded);
}
