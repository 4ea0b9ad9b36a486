// SPDX-License-Identifier: GPL-2.0-or-later
/* Sums of exits that are alike: one added to another, and an earlier one taken away. */
#include "statistics/map.h"

void kvmlog_sums_add(struct kvmlog_statistics_sums *sums, const struct kvmlog_statistics_sums *more)
{
	sums->count += more->count;
	sums->total_ns += more->total_ns;
	if (more->min_ns < sums->min_ns)
		sums->min_ns = more->min_ns;
	if (more->max_ns > sums->max_ns)
		sums->max_ns = more->max_ns;
	sums->kvm_ns += more->kvm_ns;
	sums->vmm_ns += more->vmm_ns;
	sums->wait_ns += more->wait_ns;
	sums->idle_ns += more->idle_ns;
	sums->paused_ns += more->paused_ns;
}

/* Extremes stay: those of a part of the time are not kept. */
void kvmlog_sums_subtract(struct kvmlog_statistics_sums *sums,
			  const struct kvmlog_statistics_sums *less)
{
	sums->count -= less->count;
	sums->total_ns -= less->total_ns;
	sums->kvm_ns -= less->kvm_ns;
	sums->vmm_ns -= less->vmm_ns;
	sums->wait_ns -= less->wait_ns;
	sums->idle_ns -= less->idle_ns;
	sums->paused_ns -= less->paused_ns;
}
