/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only tests call, through cffi: ends of races, records and messages that come from no
 * source, and functions of the engine that Python has no other use for. cffi reads what
 * stands in this file, not what it includes.
 */
#ifndef KVMLOG_TESTS_NATIVE_TESTING_H
#define KVMLOG_TESTS_NATIVE_TESTING_H

#include "bpf/maps.h"
#include "pump/pump.h"
#include "ring/clocks.h"

/* --- bridge/native: bpf/maps.c, pump/batch.c --- */

const struct kvmlog_record *kvmlog_bpf_part(struct kvmlog_bpf_maps *maps, __u32 number);

/* `head`: the first KVMLOG_BATCH_OFFSET bytes; `bytes`: what recvmsg returned. */
int kvmlog_batch_check(const void *head, __u64 bytes, __u32 sender_port, int truncated,
		       __u16 family, struct kvmlog_batch *batch);

/* --- bridge/native: ring/clocks.c --- */

struct kvmlog_clock_pair kvmlog_clocks_at(const struct kvmlog_ring_header *header, __u64 ns);

/* --- clocks.c --- */

void kvmlog_test_forget_clocks(struct kvmlog_writer *writer);
void kvmlog_test_clock(struct kvmlog_writer *writer, __u64 now_ns, __s64 realtime_offset_ns,
		       __s32 utc_offset_s, __s32 next_offset_s, __u64 next_from_s);
__s32 kvmlog_test_zone(__u64 realtime_ns, __u64 *next_from_s, __s32 *next_offset_s);

/* --- faults.c --- */

int kvmlog_test_heap_read(__u32 size, __u32 at);
int kvmlog_test_add(int one, int other);

/* --- feed.c --- */

int kvmlog_test_message(struct kvmlog_pump *pump, const void *message, __u64 bytes,
			__u32 sender_port);
void kvmlog_test_count(struct kvmlog_statistics *statistics, const struct kvmlog_record *records,
		       __u64 count);

/* --- ring_race.c: the torn-record test's two ends --- */

struct kvmlog_test_race {
	__u64 read; /* records looked at */
	__u64 torn; /* of them not whole */
	__u64 snapshots;
	__u64 overwritten; /* discarded by the protocol */
};

void kvmlog_test_race_write(struct kvmlog_writer *writer, __u64 records, __u64 batch);
void kvmlog_test_race_counts(struct kvmlog_writer *writer, __u64 batches);
int kvmlog_test_race_read(const struct kvmlog_ring *ring, __u64 until, __u64 count, int head_only,
			  struct kvmlog_test_race *result);

#endif
