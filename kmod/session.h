/* SPDX-License-Identifier: GPL-2.0-only */
/* The one state: off, or on with a configuration. */
#ifndef _KVMLOG_SESSION_H
#define _KVMLOG_SESSION_H

#include <linux/mutex.h>
#include <linux/types.h>

#include <kvmlog/record.h>

struct kvmlog_config;
struct netlink_ext_ack;

/*
 * Covers the state, the configuration's publication, and starting and stopping
 * of everything that runs only while on. Never taken by probes, notifiers of
 * CPU hotplug, or work items that its holder waits for.
 */
extern struct mutex kvmlog_switch_mutex;

void kvmlog_switch_init(void);

/*
 * Process context, mutex held. Takes @config over, in case of an error too. Off again by
 * itself after @lease_ms, unless that is 0. -EALREADY when on with the same
 * configuration, and neither it nor this call has a lease.
 */
int kvmlog_switch_on(struct kvmlog_config *config, u32 lease_ms, struct netlink_ext_ack *extack);
/* -EALREADY when off. Returns when no probe runs any more and all was handed over. */
int kvmlog_switch_off(enum kvmlog_switch_cause cause);

/* Refuses to be switched on from here; switches off. For the module's end. */
void kvmlog_switch_close(void);

/* Mutex held. */
const struct kvmlog_config *kvmlog_switch_config(void);
u32 kvmlog_switch_epoch(void);
u32 kvmlog_switch_lease_ms(void); /* what is left of the lease, 0 without one */

/* Probes came or went while on; writes the SWITCH record. Any process context. */
void kvmlog_switch_note(enum kvmlog_switch_cause cause, bool on);

#endif
