// SPDX-License-Identifier: GPL-2.0-or-later
/* What the pump does with records beside writing them: statistics, and guests for Python. */
#include <string.h>

#include "pump/pump.h"
#include "statistics/statistics.h"

/* Guests first: their exits in the same batch are counted under them. */
static void take_guests(struct kvmlog_pump *pump, const struct kvmlog_record *records, __u64 count)
{
	for (__u64 i = 0; i < count; i++) {
		struct kvmlog_record_guest note;

		if (records[i].type != KVMLOG_RECORD_GUEST)
			continue;
		memcpy(&note, &records[i], sizeof(note));
		kvmlog_pump_tell_guest(pump, &note);
		if (pump->counted)
			kvmlog_statistics_guest_seen(pump->counted, &note);
	}
}

void kvmlog_pump_take_from(struct kvmlog_pump *pump, const struct kvmlog_record *records,
			   __u64 count, __u64 exits)
{
	if (exits != count)
		take_guests(pump, records, count);
	if (pump->counted)
		kvmlog_statistics_take(pump->counted, records, count);
}

void kvmlog_pump_take(struct kvmlog_pump *pump, __u64 first, __u64 count, __u64 exits)
{
	const struct kvmlog_ring *ring = &pump->writer->ring;
	__u64 part = kvmlog_ring_until_wrap(ring, first, count);

	/* Exits on both sides of the wrap: either part may hold what is none. */
	kvmlog_pump_take_from(pump, (const void *)kvmlog_ring_slot(ring, first), part,
			      exits == count ? part : 0);
	if (part < count)
		kvmlog_pump_take_from(pump, (const void *)ring->slots, count - part,
				      exits == count ? count - part : 0);
}

void kvmlog_pump_fold(struct kvmlog_pump *pump)
{
	pthread_mutex_lock(&pump->writer->lock);
	if (pump->counted)
		kvmlog_statistics_fold_all(pump->counted);
	pthread_mutex_unlock(&pump->writer->lock);
}

/* From any thread: count in these statistics from here on, NULL: in none. */
void kvmlog_pump_count(struct kvmlog_pump *pump, struct kvmlog_statistics *statistics)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->counted = statistics;
	pthread_mutex_unlock(&pump->writer->lock);
}
