// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Statistics in memory, of records that no pump brings: of a recording. They are counted as
 * the pump has them counted (pump/take.c), so that both give the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "statistics/state.h"
#include "statistics/statistics.h"

struct kvmlog_tally {
	struct kvmlog_statistics_map *map;
	struct kvmlog_statistics *statistics;
	pthread_mutex_t lock; /* nobody else has the tally, but all below wants one */
};

/* As large as a file of so many bytes. NULL with @error: -EINVAL, no file has that size. */
struct kvmlog_tally *kvmlog_tally_new(__u64 bytes, int *error)
{
	struct kvmlog_statistics_header layout = { 0 };
	struct kvmlog_tally *tally;

	*error = kvmlog_statistics_layout(bytes, &layout);
	if (*error)
		return NULL;
	*error = -ENOMEM;
	tally = calloc(1, sizeof(*tally));
	if (!tally)
		return NULL;
	tally->map = kvmlog_statistics_in_memory(&layout);
	if (tally->map) {
		*tally->map->header = layout;
		tally->map->header->state = KVMLOG_STATISTICS_STOPPED;
		pthread_mutex_init(&tally->lock, NULL);
		tally->statistics = kvmlog_statistics_on(tally->map, &tally->lock, error);
	}
	if (!tally->statistics) {
		kvmlog_tally_free(tally);
		return NULL;
	}
	kvmlog_statistics_begin(tally->statistics, 1);
	return tally;
}

void kvmlog_tally_free(struct kvmlog_tally *tally)
{
	if (!tally)
		return;
	kvmlog_statistics_free(tally->statistics);
	kvmlog_statistics_close(tally->map);
	free(tally);
}

/* What a record of another type than EXIT says about the guests of exits. */
static void take_note(struct kvmlog_statistics *statistics, const struct kvmlog_record *record)
{
	const struct kvmlog_record_switch *change = (const void *)record;

	if (record->type == KVMLOG_RECORD_GUEST)
		kvmlog_statistics_guest_seen(statistics, (const void *)record);
	else if (record->type == KVMLOG_RECORD_SWITCH && change->on)
		kvmlog_statistics_retire_guests(statistics, 0);
}

/* Takes in records of any type, in the order of the stream. */
void kvmlog_tally_take(struct kvmlog_tally *tally, const struct kvmlog_record *records, __u64 count)
{
	__u64 from = 0;

	pthread_mutex_lock(&tally->lock);
	for (__u64 i = 0; i <= count; i++) {
		if (i < count && records[i].type != KVMLOG_RECORD_GUEST &&
		    records[i].type != KVMLOG_RECORD_SWITCH)
			continue;
		kvmlog_statistics_take(tally->statistics, &records[from], i - from);
		if (i < count)
			take_note(tally->statistics, &records[i]);
		from = i + 1;
	}
	pthread_mutex_unlock(&tally->lock);
}

/*
 * Ends the tally; returns what it has counted, to be closed with kvmlog_statistics_close().
 * @about: id and times of these statistics.
 */
struct kvmlog_statistics_map *kvmlog_tally_finish(struct kvmlog_tally *tally,
						  const struct kvmlog_statistics_header *about)
{
	struct kvmlog_statistics_map *map = tally->map;

	kvmlog_statistics_free(tally->statistics);
	memcpy(map->header->statistics_id, about->statistics_id,
	       sizeof(map->header->statistics_id));
	memcpy(map->header->boot_id, about->boot_id, sizeof(map->header->boot_id));
	map->header->since_realtime_ns = about->since_realtime_ns;
	map->header->since_ns = about->since_ns;
	map->header->folded_ns = about->folded_ns;
	free(tally);
	return map;
}
