/* SPDX-License-Identifier: GPL-2.0-only */
/* Where every exit went, counted on the CPU where it happened. */
#ifndef _KVMLOG_COUNTERS_H
#define _KVMLOG_COUNTERS_H

#include <linux/percpu.h>
#include <linux/types.h>

#include <kvmlog/record.h>

/*
 * Each exit adds one to exactly one of the first four, and each that was taken
 * later adds one to exactly one of the next two; so whoever reads the latter
 * before the former sees a sum that holds at every moment. Added to with
 * this_cpu_inc(), which an interrupt cannot tear.
 */
struct kvmlog_cpu_counters {
	u64 taken; /* is pending in the vCPU table, or came through kvmlog_emit() */
	u64 filtered;
	u64 sampled;
	u64 dropped_table; /* the vCPU table was full */

	u64 emitted;	    /* stands in a buffer, or was delivered */
	u64 dropped_buffer; /* no buffer had room */
	u64 discarded;	    /* of emitted: could not be delivered; written by the flush worker */

	u64 notes;
	u64 notes_lost; /* had no room, and are not tried again */
};

DECLARE_PER_CPU(struct kvmlog_cpu_counters, kvmlog_counters);

/* Sums of all CPUs, since the module was loaded. */
void kvmlog_counters_read(struct kvmlog_counters *sum);
u64 kvmlog_counters_notes_lost(void);
/* Exits that were dropped on @cpu, since the module was loaded. */
u64 kvmlog_counters_dropped(int cpu);

#endif
