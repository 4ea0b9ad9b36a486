// SPDX-License-Identifier: GPL-2.0-or-later
/* The statistics: counted in by the pump's thread, changed by Python's, read in copies. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "statistics/map.h"
#include "statistics/statistics.h"
#include "threads.h"

enum {
	BYTES = 1 << 20,
	GROUPS = 4096,
};

static struct kvmlog_writer *writer;
static struct kvmlog_statistics_map *map;
static struct kvmlog_statistics *statistics;

static void take(__u64 number)
{
	struct kvmlog_record records[64];
	__u32 count = make_batch(number, records);
	struct kvmlog_record_guest note = {
		.type = KVMLOG_RECORD_GUEST,
		.source = KVMLOG_SOURCE_KMOD,
		.guest = records[0].guest,
		.tgid = (__u32)(number % 7),
	};

	pthread_mutex_lock(&writer->lock);
	if (number % 64 == 0)
		kvmlog_statistics_guest_seen(statistics, &note);
	kvmlog_statistics_take(statistics, records, count);
	if (number % 16 == 0)
		kvmlog_statistics_fold_all(statistics);
	pthread_mutex_unlock(&writer->lock);
}

static void control(__u64 number)
{
	static struct kvmlog_statistics_guest guests[BYTES / 32768];
	static __u8 retired[BYTES / 32768];
	struct kvmlog_statistics_header header;

	switch (number % 6) {
	case 0:
		kvmlog_statistics_begin(statistics, number & 8);
		break;
	case 1:
		kvmlog_statistics_reset(statistics, number);
		break;
	case 2:
		kvmlog_statistics_list(statistics, guests, retired);
		break;
	case 3:
		memset(retired, 1, sizeof(retired));
		kvmlog_statistics_forget(statistics, retired, guests);
		break;
	case 4:
		kvmlog_statistics_describe(statistics, &header);
		break;
	default:
		kvmlog_statistics_flush(statistics);
		must(!kvmlog_statistics_damaged(statistics));
	}
	/* Those who read are to see one state for a while, too. */
	usleep(200);
}

static void ask(__u64 number)
{
	static struct kvmlog_statistics_group groups[GROUPS];
	static struct kvmlog_statistics_map *before;
	struct kvmlog_statistics_question question = {
		.by = KVMLOG_BY_GUEST | KVMLOG_BY_REASON | (number & 1 ? KVMLOG_BY_DETAIL : 0),
	};
	struct kvmlog_statistics_header header;
	struct kvmlog_statistics_map *now;
	int error;
	__u64 torn;

	must(!kvmlog_statistics_header_now(map, &header));
	now = kvmlog_statistics_snapshot(map, &torn, &error);
	must(now && !torn);
	must(kvmlog_statistics_query(now, before, &question, groups, GROUPS) >= 0);
	kvmlog_statistics_close(before);
	before = now;
}

void meet_at_statistics(__u64 turns)
{
	struct part parts[] = {
		{ .turn = take, .turns = turns },
		{ .turn = control },
		{ .turn = ask },
	};
	int fd = memfd_create("statistics", MFD_CLOEXEC), error;

	writer = new_writer();
	must(fd >= 0 && !ftruncate(fd, BYTES));
	map = kvmlog_statistics_open(fd, BYTES, 1);
	must(map);
	memcpy(map->header->magic, "KVMLOGS\n", sizeof(map->header->magic));
	map->header->format_version = KVMLOG_STATISTICS_FORMAT_VERSION;
	must(!kvmlog_statistics_layout(BYTES, map->header));
	statistics = kvmlog_statistics_new(writer, map, &error);
	must(statistics);
	/* A new file says nothing of what is free in it. */
	kvmlog_statistics_reset(statistics, 1);
	kvmlog_statistics_state(statistics, KVMLOG_STATISTICS_RUNNING);
	meet(parts, sizeof(parts) / sizeof(*parts));
	kvmlog_statistics_free(statistics);
	kvmlog_statistics_close(map);
	close(fd);
	free_writer(writer);
}
