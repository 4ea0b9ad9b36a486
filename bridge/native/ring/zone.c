// SPDX-License-Identifier: GPL-2.0-or-later
/* Summer time begins at a second that is known before: so readers know it in time, too. */
#include <time.h>

#include "ring/zone.h"

enum {
	KVMLOG_ZONE_AHEAD_S = 4, /* several heartbeats */
	KVMLOG_ZONE_MOST_S = 86400,
};

static __s32 offset_s(__u64 realtime_s)
{
	time_t at = (time_t)realtime_s;
	struct tm local;

	if (!localtime_r(&at, &local) || local.tm_gmtoff >= KVMLOG_ZONE_MOST_S ||
	    local.tm_gmtoff <= -KVMLOG_ZONE_MOST_S)
		return 0;
	return (__s32)local.tm_gmtoff;
}

/* The zone at a time of CLOCK_REALTIME. Reads a file: under no lock. */
struct kvmlog_zone kvmlog_zone_at(__u64 realtime_ns)
{
	__u64 now_s = realtime_ns / 1000000000;
	struct kvmlog_zone zone;

	/* localtime_r() looks at /etc/localtime only once: the zone may be another now. */
	tzset();
	zone.offset_s = offset_s(now_s);
	zone.next_offset_s = zone.offset_s;
	zone.next_from_s = 0;
	for (__u64 s = now_s + 1; s <= now_s + KVMLOG_ZONE_AHEAD_S; s++) {
		__s32 next_s = offset_s(s);

		if (next_s == zone.offset_s)
			continue;
		zone.next_offset_s = next_s;
		zone.next_from_s = s;
		break;
	}
	return zone;
}
