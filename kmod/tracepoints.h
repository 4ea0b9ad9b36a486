/* SPDX-License-Identifier: GPL-2.0-only */
/* Attaches the probes to KVM's tracepoints while KVM is there and tracing is on. */
#ifndef _KVMLOG_TRACEPOINTS_H
#define _KVMLOG_TRACEPOINTS_H

#include <linux/types.h>

struct netlink_ext_ack;

/*
 * KVM came or went while tracing is on: probes were attached, or detached with none of them
 * running any more. Process context, below the lock of tracepoints.c.
 */
struct kvmlog_tracepoints_callbacks {
	void (*attached)(void);
	void (*detached)(void);
};

int kvmlog_tracepoints_init(const struct kvmlog_tracepoints_callbacks *owner);
void kvmlog_tracepoints_exit(void);

/*
 * Process context. enable() attaches now or, when KVM is not loaded yet, as soon
 * as it is. disable() returns when no probe runs any more.
 */
int kvmlog_tracepoints_enable(void);
void kvmlog_tracepoints_disable(void);

bool kvmlog_tracepoints_attached(void);
/* What is missing before probes can be attached; NULL: nothing. */
const char *kvmlog_tracepoints_waiting_for(void);

/* The prototypes this module was compiled for. False: no such index. */
bool kvmlog_tracepoints_prototype(unsigned int index, const char **name, const char **signature);
/* Forgets what the checks before found of optional ones. */
void kvmlog_tracepoints_begin_check(void);
/* -EPROTOTYPE when the running kernel's @name takes other arguments. Unknown names pass. */
int kvmlog_tracepoints_check(const char *name, const char *signature,
			     struct netlink_ext_ack *extack);

#endif
