/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This host's time zone. */
#ifndef KVMLOG_NATIVE_ZONE_H
#define KVMLOG_NATIVE_ZONE_H

#include <linux/types.h>

/* Seconds that local time is east of UTC, and when that changes next. */
struct kvmlog_zone {
	__s32 offset_s;
	__s32 next_offset_s;
	__u64 next_from_s; /* CLOCK_REALTIME; 0: not within the next seconds */
};

struct kvmlog_zone kvmlog_zone_at(__u64 realtime_ns);

#endif
