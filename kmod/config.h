/* SPDX-License-Identifier: GPL-2.0-only */
/* What the operator asked for, and where exits went: the state the probes read. */
#ifndef _KVMLOG_CONFIG_H
#define _KVMLOG_CONFIG_H

#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

#include <kvmlog/netlink.h>

/*
 * One configuration, never changed once published. Readers: probes and
 * kvmlog_emit(), preemption disabled. Writer: session.c, under its mutex.
 */
struct kvmlog_config {
	struct rcu_head rcu;
	u32 epoch;
	u32 one_in;
	u32 on_ms;
	u32 off_ms;
	u32 nr_tgids;
	u32 tgids[]; /* ascending */
};

/* NULL while tracing is off. */
extern struct kvmlog_config __rcu *kvmlog_config;

/* False in the closed phase of the sampling window; written by session.c only. */
extern bool kvmlog_window_open;

bool kvmlog_config_traces(const struct kvmlog_config *config, u32 tgid);

/*
 * Each exit adds one to exactly one of the first four, and each that was taken
 * later adds one to exactly one of the next two; so whoever reads the latter
 * before the former sees a sum that holds at every moment. Added to with
 * this_cpu_inc(), which an interrupt cannot tear.
 */
struct kvmlog_count {
	u64 taken; /* has a pending slot, or came through kvmlog_emit() */
	u64 filtered;
	u64 sampled;
	u64 dropped_table; /* no slot was free */

	u64 emitted;	    /* stands in a buffer, or was delivered */
	u64 dropped_buffer; /* no buffer had room */
	u64 discarded;	    /* of emitted: could not be delivered; written by the flush worker */

	u64 notes;
};

DECLARE_PER_CPU(struct kvmlog_count, kvmlog_counts);

#endif
