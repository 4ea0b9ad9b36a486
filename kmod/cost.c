// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sampling the probes' time. Reading a clock twice would double a probe's cost, so
 * that one in KVMLOG_COST_ONE_IN is timed: it is the probe itself, called again from
 * a function of its own, which runs the same instructions as all the others do.
 */
#include <linux/irqflags.h>
#include <linux/ktime.h>
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

void kvmlog_cost_end(const struct kvmlog_cost_timing *timing)
{
	const u64 ns = ktime_get_mono_fast_ns() - timing->begin_ns;
	struct kvmlog_cpu_cost *cost = this_cpu_ptr(&kvmlog_costs);

	cost->timed++;
	/* The fast clock may step back by a hair. */
	if ((s64)(ns - timing->clock_ns) > 0)
		cost->timed_ns += ns - timing->clock_ns;
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
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct kvmlog_cpu_cost *cost = per_cpu_ptr(&kvmlog_costs, cpu);

		sum->timed += READ_ONCE(cost->timed);
		sum->timed_ns += READ_ONCE(cost->timed_ns);
		sum->worker_ns += READ_ONCE(cost->worker_ns);
	}
}
