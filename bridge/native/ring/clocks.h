/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header's pairs of clocks: from a record's time to the time of day that held then. */
#ifndef KVMLOG_NATIVE_CLOCKS_H
#define KVMLOG_NATIVE_CLOCKS_H

#include <kvmlog/ring.h>

#include "ring/zone.h"

struct kvmlog_clock_pair kvmlog_clocks_at(const struct kvmlog_ring_header *header, __u64 ns);

/* The writer's, inside an update of the header. */
void kvmlog_clocks_begin(struct kvmlog_ring_header *header, int same_boot);
void kvmlog_clocks_set(struct kvmlog_ring_header *header, __u64 now_ns, __s64 realtime_offset_ns,
		       const struct kvmlog_zone *zone);

#endif
