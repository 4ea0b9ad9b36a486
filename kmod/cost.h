/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tracing costs, measured by itself: one probe in KVMLOG_COST_ONE_IN is timed,
 * each run of the flush worker and each wakeup of it.
 */
#ifndef _KVMLOG_COST_H
#define _KVMLOG_COST_H

#include <linux/percpu.h>
#include <linux/types.h>

#include <kvmlog/netlink.h>

/* Written by probes on this CPU only, but for `worker_ns`: see cost.c. */
struct kvmlog_cpu_cost {
	s32 until_timed; /* probes until one is timed; below 0: this one is */
	u32 offset;	 /* of the timed one among the KVMLOG_COST_ONE_IN that it stands for */
	u32 random;
	u64 timed_ns;
	u64 timed;
	u64 outliers;
	u64 outlier_ns;
	u64 samples[KVMLOG_COST_BUCKETS]; /* as in struct kvmlog_cost */
	u32 nr_recent;
	u16 recent[KVMLOG_COST_BUCKETS]; /* the same of the newest ones, see cost.c */
	u64 worker_ns;
};

DECLARE_PER_CPU(struct kvmlog_cpu_cost, kvmlog_costs);

/* In a probe, preemption disabled: whether this one is timed. Four instructions. */
static __always_inline bool kvmlog_cost_is_timed(void)
{
	this_cpu_dec(kvmlog_costs.until_timed);
	return unlikely(this_cpu_read(kvmlog_costs.until_timed) < 0);
}

/* Around a probe that is called a second time to be timed; what it did before is not in it. */
struct kvmlog_cost_timing {
	unsigned long flags;
	u64 clock_ns; /* what reading the clock takes */
	u64 begin_ns;
};

void kvmlog_cost_begin(struct kvmlog_cost_timing *timing);
void kvmlog_cost_end(const struct kvmlog_cost_timing *timing);

/*
 * Around a run of the worker. Time in which it stood runnable without a CPU is taken
 * out; interrupts on its CPU, and waiting for memory or a mutex, are not.
 */
struct kvmlog_cost_work {
	u64 begin_ns;
	u64 delay_ns;
};

void kvmlog_cost_work_begin(struct kvmlog_cost_work *work);
void kvmlog_cost_work_end(const struct kvmlog_cost_work *work);

/* Since the module was loaded. */
void kvmlog_cost_read(struct kvmlog_cost *cost);

#endif
