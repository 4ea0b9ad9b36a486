// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sampling the probes' time. Reading a clock twice would double a probe's cost, so
 * that one in KVMLOG_COST_ONE_IN is timed: it is the probe itself, called again from
 * a function of its own, which runs the same instructions as all the others do.
 *
 * Interrupts are off meanwhile, but a hypervisor below may take the CPU away, and so
 * may SMM: a sample that contains that would be multiplied by KVMLOG_COST_ONE_IN. No
 * sample counts as more than a bound, which follows what probes have taken of late.
 */
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "compat/kernel.h"
#include "cost.h"
#include "random.h"

DEFINE_PER_CPU(struct kvmlog_cpu_cost, kvmlog_costs);

/*
 * One of each KVMLOG_COST_ONE_IN probes on this CPU, at an offset drawn anew each time:
 * their number is then exact, and a guest whose exits alternate has no kind of them
 * timed alone.
 */
static s32 next_gap(struct kvmlog_cpu_cost *cost)
{
	const u32 before = cost->offset;

	cost->offset = kvmlog_random_below(&cost->random, KVMLOG_COST_ONE_IN);
	return KVMLOG_COST_ONE_IN + cost->offset - before;
}

void kvmlog_cost_begin(struct kvmlog_cost_timing *timing)
{
	struct kvmlog_cpu_cost *cost;
	u64 begin_ns;

	/* An interrupt's time is not ours. */
	local_irq_save(timing->flags);
	cost = this_cpu_ptr(&kvmlog_costs);
	/* The probe that is called now takes one off. */
	cost->until_timed = next_gap(cost);
	begin_ns = ktime_get_mono_fast_ns();
	timing->begin_ns = ktime_get_mono_fast_ns();
	timing->clock_ns = timing->begin_ns - begin_ns;
}

enum {
	FEW_SAMPLES = 8,	 /* too few to say what is typical: */
	FIRST_BOUND_BUCKET = 17, /* then 128 us, more than any probe */
	BOUND_BUCKETS = 6,	 /* else 64 times the median */
	RECENT_SAMPLES = 128,	 /* of which the median is, older ones count less and less */
};

static unsigned int bucket_of(u64 ns)
{
	return min_t(unsigned int, fls64(ns), KVMLOG_COST_BUCKETS - 1);
}

/* Where the middle one of this CPU's recent samples lies. */
static unsigned int median_bucket(const struct kvmlog_cpu_cost *cost)
{
	unsigned int bucket;
	u32 below = 0;

	for (bucket = 0; bucket < KVMLOG_COST_BUCKETS - 1; bucket++) {
		below += cost->recent[bucket];
		if (2 * below > cost->nr_recent)
			break;
	}
	return bucket;
}

static void add_recent(struct kvmlog_cpu_cost *cost, unsigned int bucket)
{
	unsigned int i;

	cost->recent[bucket]++;
	if (++cost->nr_recent < RECENT_SAMPLES)
		return;
	cost->nr_recent = 0;
	for (i = 0; i < KVMLOG_COST_BUCKETS; i++) {
		cost->recent[i] /= 2;
		cost->nr_recent += cost->recent[i];
	}
}

/* This CPU's, interrupts off. */
static void add_sample(struct kvmlog_cpu_cost *cost, u64 ns)
{
	u64 bound_ns = 1ULL << FIRST_BOUND_BUCKET;

	if (cost->nr_recent >= FEW_SAMPLES)
		bound_ns = 1ULL << (median_bucket(cost) + BOUND_BUCKETS);
	cost->timed++;
	cost->samples[bucket_of(ns)]++;
	add_recent(cost, bucket_of(ns));
	cost->timed_ns += min(ns, bound_ns);
	if (ns > bound_ns) {
		cost->outliers++;
		cost->outlier_ns += ns;
	}
}

void kvmlog_cost_end(const struct kvmlog_cost_timing *timing)
{
	const u64 ns = ktime_get_mono_fast_ns() - timing->begin_ns;
	struct kvmlog_cpu_cost *cost = this_cpu_ptr(&kvmlog_costs);

	/* The fast clock may step back by a hair. */
	add_sample(cost, (s64)(ns - timing->clock_ns) > 0 ? ns - timing->clock_ns : 0);
	local_irq_restore(timing->flags);
}

void kvmlog_cost_work_begin(struct kvmlog_cost_work *work)
{
	work->delay_ns = kvmlog_run_delay_ns();
	work->begin_ns = ktime_get_mono_fast_ns();
}

/* May end on another CPU than it began on: time and delay are the thread's. */
void kvmlog_cost_work_end(const struct kvmlog_cost_work *work)
{
	s64 ns = ktime_get_mono_fast_ns() - work->begin_ns;

	ns -= kvmlog_run_delay_ns() - work->delay_ns;
	if (ns > 0)
		this_cpu_add(kvmlog_costs.worker_ns, ns);
}

void kvmlog_cost_read(struct kvmlog_cost *sum)
{
	int cpu, i;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct kvmlog_cpu_cost *cost = per_cpu_ptr(&kvmlog_costs, cpu);

		sum->timed += READ_ONCE(cost->timed);
		sum->timed_ns += READ_ONCE(cost->timed_ns);
		sum->worker_ns += READ_ONCE(cost->worker_ns);
		sum->outliers += READ_ONCE(cost->outliers);
		sum->outlier_ns += READ_ONCE(cost->outlier_ns);
		for (i = 0; i < KVMLOG_COST_BUCKETS; i++)
			sum->samples[i] += READ_ONCE(cost->samples[i]);
	}
}
