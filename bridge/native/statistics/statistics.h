/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The statistics of the log engine, as the pump uses them: per exit an entry of a cache
 * takes the durations in (take.c); an entry that is full, or a second old, is folded into
 * the rows of the file (fold.c). So an exit costs a few dozen instructions, whatever number
 * of rows it counts in.
 *
 * The lock is the ring writer's, and is held. Python's side is in api.h (statistics.c).
 */
#ifndef KVMLOG_STATISTICS_H
#define KVMLOG_STATISTICS_H

#include "api.h"

void kvmlog_statistics_take(struct kvmlog_statistics *statistics,
			    const struct kvmlog_record *records, __u64 count);
void kvmlog_statistics_guest_seen(struct kvmlog_statistics *statistics,
				  const struct kvmlog_record_guest *note);
void kvmlog_statistics_fold_all(struct kvmlog_statistics *statistics);

#endif
