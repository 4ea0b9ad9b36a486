/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvmlog: the ring file.
 *
 *   offset 0                  struct kvmlog_ring_header, KVMLOG_RING_HEADER_BYTES long
 *   offset header_bytes       capacity slots of record_bytes each
 *
 * Record i (counted from 0 since the ring was made, never wrapping) stands in
 * slot i % capacity. One writer, any number of readers, which map it read-only.
 *
 *   writer   reserve = max(reserve, head + n)      relaxed
 *            release fence
 *            copy n records to slots head .. head + n - 1
 *            head = head + n                       release
 *
 *   reader   h = head                              acquire
 *            copy any of the newest min(h, capacity) records
 *            acquire fence
 *            r = reserve                           relaxed
 *            discard every record with index + capacity < r
 *
 * What the reader keeps was not touched while it copied. `reserve` never goes
 * down, not even when a writer restarts: it stands above head after a writer
 * that was killed while copying.
 *
 * What changes besides head and reserve is written between two steps of `info_sequence`
 * (odd while being written): read, and read again if it was odd or has changed. Only
 * REPLACED is set without it, by a process that is no longer the writer of this file.
 *
 * head <= reserve <= head + capacity holds at every moment, but not of two fields that
 * were read at two: read head (acquire), reserve (acquire), head again, and compare
 * reserve with the first from below and with the second from above.
 *
 * A record's wall time follows from the last of `clocks` whose from_ns is not above
 * the record's time, or from the first of them: a pair is written before any record
 * that it holds for, and never changes, so that a record's wall time does not either.
 */
#ifndef _UAPI_KVMLOG_RING_H
#define _UAPI_KVMLOG_RING_H

#include <kvmlog/record.h>

enum kvmlog_ring_format {
	KVMLOG_RING_FORMAT_VERSION = 1,
	KVMLOG_RING_HEADER_BYTES = 4096,
	KVMLOG_RING_MIN_SLOTS = 1024,
	KVMLOG_RING_MAX_SLOTS = 16777216,
	KVMLOG_RING_DEFAULT_SLOTS = 65536,
	KVMLOG_RING_CLOCKS = 128,
	/* Features a reader must know to read; none yet. Unknown bits: refuse. */
	KVMLOG_RING_INCOMPAT_KNOWN = 0,
};

enum kvmlog_ring_state {
	KVMLOG_RING_RUNNING = 1,  /* a writer has it open */
	KVMLOG_RING_STOPPED = 2,  /* the writer ended in order */
	KVMLOG_RING_REPLACED = 3, /* another file took this one's name: reopen */
};

/* What clocks and zone showed from `from_ns` on CLOCK_MONOTONIC to the next pair's. */
struct kvmlog_clock_pair {
	__u64 from_ns;
	__s64 realtime_offset_ns; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
	__s32 utc_offset_s;	  /* local time is this much east of UTC */
	__u32 reserved;
};

struct kvmlog_ring_header {
	__u8 magic[8]; /* "KVMLOGR\n", written last when the file is made */
	__u32 format_version;
	__u32 schema_version; /* of the records, KVMLOG_SCHEMA_VERSION */
	__u32 compat_flags;   /* features a reader may ignore */
	__u32 incompat_flags; /* features a reader must know */
	__u32 header_bytes;
	__u32 record_bytes;
	__u64 capacity;		/* slots, a power of two */
	__u8 ring_id[16];	/* random; a position is (ring_id, index) */
	__u8 statistics_id[16]; /* of the statistics file that belongs to it, zero none */
	__u8 boot_id[16];	/* the host's boot that the clocks below belong to */

	__u32 state;  /* enum kvmlog_ring_state */
	__u32 source; /* enum kvmlog_source of the last switching on */
	__u32 writer_pid;
	__u32 switched_on;	  /* 1 while tracing is on */
	__u64 writer_start_ticks; /* field 22 of /proc/PID/stat */
	__u64 created_realtime_ns;

	__u64 info_sequence; /* guards statistics_id to writer_start_ticks, and below */
	__u64 monotonic_ns;  /* heartbeat: at this moment on CLOCK_MONOTONIC ... */
	__u64 realtime_ns;   /* ... CLOCK_REALTIME and ... */
	__u64 boottime_ns;   /* ... CLOCK_BOOTTIME showed these ... */
	__s32 utc_offset_s;  /* ... and local time was this much east of UTC */
	__u32 config_epoch;
	struct kvmlog_counters
		counters;    /* since the ring was made, over restarts of source and writer */
	__u64 lost_records;  /* sum of all LOSS records' `lost` that counts records */
	__u64 lost_messages; /* ... and of those that count messages */
	__u64 bad_messages;  /* messages refused because they were malformed */
	__u32 clock_count;   /* pairs in `clocks`; 0: a writer that kept none, see the heartbeat */
	__u32 reserved2;

	__u64 exits;	  /* EXIT records among the first exits_head, since the ring was made */
	__u64 exits_head; /* what a killed writer wrote behind them is counted by the next one */

	__u8 reserved[112]; /* up to the cache line of `reserve` */

	__u64 reserve; /* records begun, never falls */
	__u8 reserved_line[120];
	__u64 head; /* records complete */
	__u8 reserved_head[504];

	/* Under info_sequence too: this boot's newest pairs, sorted by from_ns. */
	struct kvmlog_clock_pair clocks[KVMLOG_RING_CLOCKS];
};

#endif
