/* SPDX-License-Identifier: GPL-2.0-only */
/* The one state: off, or on with a configuration. */
#ifndef _KVMLOG_SESSION_H
#define _KVMLOG_SESSION_H

#include <linux/mutex.h>
#include <linux/types.h>

#include <kvmlog/record.h>

struct kvmlog_config;
struct kvmlog_tracepoints_callbacks;
struct netlink_ext_ack;

/*
 * Covers the state, the configuration's publication, and starting and stopping
 * of everything that runs only while on. Never taken by probes, notifiers of
 * CPU hotplug, or work items that its holder waits for.
 */
extern struct mutex kvmlog_session_mutex;

void kvmlog_session_init(void);

/*
 * Process context, mutex held. Takes @config over, in case of an error too. Off again by
 * itself after @lease_ms, unless that is 0. -EALREADY when on with the same
 * configuration, and neither it nor this call has a lease.
 */
int kvmlog_session_start(struct kvmlog_config *config, u32 lease_ms,
			 struct netlink_ext_ack *extack);
/*
 * -EALREADY when off, or being switched off. Returns when no probe runs any more. All is handed
 * over then, too, unless the receiver is slow: that goes on for some seconds at most, in which
 * the session is stopping.
 */
int kvmlog_session_stop(enum kvmlog_switch_cause cause);

/* Refuses to be switched on from here; switches off. For the module's end. */
void kvmlog_session_close(void);

/* Mutex held. */
const struct kvmlog_config *kvmlog_session_config(void); /* NULL: off */
bool kvmlog_session_stopping(void);
u32 kvmlog_session_epoch(void);
u32 kvmlog_session_lease_ms(void); /* what is left of the lease, 0 without one */

/* For kvmlog_tracepoints_init(): each coming and going of the probes is a SWITCH record. */
extern const struct kvmlog_tracepoints_callbacks kvmlog_session_tracepoints;
/* For kvmlog_receiver_init(): nobody receives, so tracing ends. */
void kvmlog_session_receiver_gone(void);

#endif
