/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's clocks against CLOCK_MONOTONIC, watched for wall time that is set, and sleep. */
#ifndef KVMLOG_NATIVE_WATCH_H
#define KVMLOG_NATIVE_WATCH_H

#include <linux/types.h>

/* Where an offset between two clocks lies. */
struct kvmlog_interval {
	__s64 low;
	__s64 high;
};

struct kvmlog_clock_watch {
	struct kvmlog_interval real, boot; /* offsets to CLOCK_MONOTONIC */
	__s64 real_told_ns, boot_told_ns;  /* the same, as told to readers: fixed until a change */
};

/* What happened since the last look, 0 where nothing did. */
struct kvmlog_clock_change {
	__s64 slept_ns;
	__s64 stepped_ns;
};

void kvmlog_watch_begin(struct kvmlog_clock_watch *watch);
void kvmlog_watch_continue(struct kvmlog_clock_watch *watch, __s64 told_before_ns);
int kvmlog_watch_look(struct kvmlog_clock_watch *watch, struct kvmlog_clock_change *change);

#endif
