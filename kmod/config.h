/* SPDX-License-Identifier: GPL-2.0-only */
/* The configuration that exits are traced under, and the sampling window. */
#ifndef _KVMLOG_CONFIG_H
#define _KVMLOG_CONFIG_H

#include <linux/rcupdate.h>
#include <linux/types.h>

/*
 * One configuration, never changed once published. Readers: probes and
 * kvmlog_emit(), preemption disabled; notes and the window's work, RCU locked. Writer:
 * session.c, under its mutex; it waits for RCU before it frees one.
 */
struct kvmlog_config {
	u32 epoch;
	u32 one_in;
	u32 on_ms;
	u32 off_ms;
	u32 nr_tgids;
	u32 tgids[]; /* ascending */
};

/* NULL while tracing is off. */
extern struct kvmlog_config __rcu *kvmlog_config;

/* False in the closed phase of the sampling window; written by config.c only. */
extern bool kvmlog_window_open;

/* Of the one that is published, 0 without one. Any context. */
u32 kvmlog_config_epoch(void);

bool kvmlog_config_traces(const struct kvmlog_config *config, u32 tgid);
bool kvmlog_config_equal(const struct kvmlog_config *a, const struct kvmlog_config *b);

/*
 * Begins the sampling window of the configuration just published; NULL: tracing is off,
 * the window is left open and no work of it runs any more. Process context, the session's
 * mutex held.
 */
void kvmlog_config_start_window(const struct kvmlog_config *config);

#endif
