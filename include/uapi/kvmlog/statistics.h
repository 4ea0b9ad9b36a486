/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvmlog: the statistics file, which stands beside the ring.
 *
 *   offset 0                header
 *   guests_offset           guests_capacity x struct kvmlog_statistics_guest
 *   reasons_offset          reasons_capacity x struct kvmlog_statistics_reason
 *   blocks_offset           blocks_capacity x struct kvmlog_statistics_block
 *   rows_offset             rows_capacity x struct kvmlog_statistics_row
 *
 * The first *_used elements of each have been in use; one whose kind (or state) is
 * FREE holds nothing. One writer, any number of readers, which map the file
 * read-only. Each element has a sequence of its own, odd while it is being written:
 *
 *   reader   s = sequence                          acquire
 *            copy the element (a reason: its blocks too, indices checked)
 *            acquire fence
 *            keep the copy if s was even and sequence is still s
 *
 * so that every element is of one moment; two of them may be some exits apart. When
 * elements change their owner (a guest is forgotten, all is reset) `generation` is
 * odd meanwhile: a snapshot during which it moved is made again. A detail's row may go to
 * another detail at any time, and `turn` tells; what it had counted is in its reason alone
 * then. Readers copy rows before reasons: a reason has all that its rows have, or more.
 *
 * A histogram counts durations in octaves of KVMLOG_HISTOGRAM_STEPS equal steps:
 * octave 0 holds 0 .. 31 ns, octave k holds 2^(k+4) .. 2^(k+5) - 1 ns, and the last
 * one all that is longer, in its last step. A step is 1/32 of its octave's start, so
 * that its middle is within 1/64 (1.6 %) of everything in it. An octave takes
 * a block only when something falls into it.
 */
#ifndef _UAPI_KVMLOG_STATISTICS_H
#define _UAPI_KVMLOG_STATISTICS_H

#include <kvmlog/record.h>

enum kvmlog_statistics_format {
	KVMLOG_STATISTICS_FORMAT_VERSION = 2,
	KVMLOG_STATISTICS_HEADER_BYTES = 4096,
	KVMLOG_STATISTICS_DEFAULT_MIB = 64,
	KVMLOG_STATISTICS_MIN_MIB = 1,
	KVMLOG_STATISTICS_MAX_MIB = 4096,
	/* Rows that the details of one reason of one guest get: see evicted_ns. */
	KVMLOG_STATISTICS_DETAILS = 256,
	/* What the exits up to `folded_ns` may still lack: on their way from the source. */
	KVMLOG_STATISTICS_LATE_MS = 500,
	/* How often the bridge adds what it has received, if nobody asks it to do so sooner. */
	KVMLOG_STATISTICS_FOLD_MS = 1000,
	KVMLOG_HISTOGRAM_STEPS = 32,
	KVMLOG_HISTOGRAM_OCTAVES = 37,
	KVMLOG_NO_BLOCK = 0, /* block 0 is never used */
};

enum kvmlog_statistics_state {
	KVMLOG_STATISTICS_RUNNING = 1,
	KVMLOG_STATISTICS_STOPPED = 2,
	KVMLOG_STATISTICS_REPLACED = 3,
};

enum kvmlog_statistics_kind {
	KVMLOG_STATISTICS_FREE = 0,
	KVMLOG_STATISTICS_REASON = 1, /* guest, reason */
	KVMLOG_STATISTICS_VCPU = 2,   /* guest, reason, vcpu */
	KVMLOG_STATISTICS_DETAIL = 3, /* guest, reason, detail */
	KVMLOG_STATISTICS_RETURN = 4, /* guest, reason, user_reason; without octaves */
};

enum kvmlog_statistics_flag {
	KVMLOG_STATISTICS_NESTED = 1 << 0, /* left a nested guest */
	KVMLOG_STATISTICS_HALT = 1 << 1,   /* halted: by its reason, or slept */
	KVMLOG_STATISTICS_L0 = 1 << 2,	   /* nested, and this host handled it */
	KVMLOG_STATISTICS_L1 = 1 << 3,	   /* nested, and L1 was given an exit */
};

enum kvmlog_statistics_detail_kind {
	KVMLOG_STATISTICS_DETAIL_NONE = 0,
	KVMLOG_STATISTICS_DETAIL_EXACT = 1,
	/* A range, by its start: 1 GiB of memory; CPUID leaves of hypervisors (native/api.h). */
	KVMLOG_STATISTICS_DETAIL_REGION = 2,
	/* In answers only: what the reason has more than the rows of its details. */
	KVMLOG_STATISTICS_DETAIL_OTHER = 3,
	/*
	 * All addresses of one device; in the file: of a page, in PCI's configuration space
	 * (ECAM) or when the reason has many details.
	 */
	KVMLOG_STATISTICS_DETAIL_DEVICE = 4,
};

enum kvmlog_statistics_none {
	KVMLOG_NO_RETURN = 0xffff, /* user_reason: KVM_RUN did not return */
};

/* What a row counts. `reason` is without the flags that VMX keeps in its high half. */
struct kvmlog_statistics_key {
	__u32 guest; /* index in the table of guests */
	__u32 reason;
	__u64 detail;
	__u16 vcpu;
	__u16 user_reason; /* KVM_EXIT_*, KVMLOG_NO_RETURN */
	__u8 kind;	   /* enum kvmlog_statistics_kind */
	__u8 isa;	   /* enum kvmlog_isa */
	__u8 flags;	   /* enum kvmlog_statistics_flag */
	__u8 detail_kind;  /* enum kvmlog_statistics_detail_kind */
};

/* The last five share total_ns out, without rest. */
struct kvmlog_statistics_sums {
	__u64 count;
	__u64 total_ns;
	__u64 min_ns;
	__u64 max_ns;
	__u64 kvm_ns;	 /* in KVM, polling for the end of a halt included */
	__u64 vmm_ns;	 /* in the VMM */
	__u64 wait_ns;	 /* runnable without a CPU */
	__u64 idle_ns;	 /* halted and asleep */
	__u64 paused_ns; /* held by the VMM after KVM_RUN was interrupted */
};

struct kvmlog_statistics_reason {
	__u32 sequence;
	__u32 blocks[KVMLOG_HISTOGRAM_OCTAVES]; /* KVMLOG_NO_BLOCK: nothing fell in it */
	struct kvmlog_statistics_key key;
	struct kvmlog_statistics_sums sums;
	/* No detail without a row, and of one with a row no part before it, took longer. */
	__u64 evicted_ns;
};

struct kvmlog_statistics_block {
	__u64 counts[KVMLOG_HISTOGRAM_STEPS];
};

struct kvmlog_statistics_row {
	__u32 sequence;
	__u32 turn; /* keys that have had this place, with this one */
	struct kvmlog_statistics_key key;
	struct kvmlog_statistics_sums sums;
	__u64 before_ns; /* of a detail: its reason's evicted_ns when it got this row */
	__u64 octaves[KVMLOG_HISTOGRAM_OCTAVES]; /* zero in RETURN rows */
};

enum kvmlog_statistics_guest_state {
	KVMLOG_STATISTICS_GUEST_FREE = 0,
	KVMLOG_STATISTICS_GUEST_UNKNOWN = 1, /* its exits came before its announcement */
	KVMLOG_STATISTICS_GUEST_KNOWN = 2,
};

struct kvmlog_statistics_guest {
	__u32 sequence;
	__u32 state;
	__u32 number; /* the source's, given last */
	__u32 tgid;
	__u64 start_boottime_ns;
	__u64 cgroup;
	__u8 comm[KVMLOG_COMM_BYTES];
	__u64 first_ns; /* CLOCK_MONOTONIC: announced ... */
	__u64 last_ns;	/* ... and the last time exits of it were added */
	__u64 exits;
	__u8 isa;
	__u8 source;
	__u8 reserved[6];
	__u64 turn; /* guests that have had this place in the table, with this one */
	__u64 reserved2[5];
};

struct kvmlog_statistics_header {
	__u8 magic[8]; /* "KVMLOGS\n", written last when the file is made */
	__u32 format_version;
	__u32 schema_version; /* of the records, KVMLOG_SCHEMA_VERSION */
	__u32 incompat_flags; /* features a reader must know; none yet */
	__u32 state;	      /* enum kvmlog_statistics_state */
	__u64 file_bytes;
	__u64 guests_offset;
	__u64 reasons_offset;
	__u64 blocks_offset;
	__u64 rows_offset;
	__u32 guests_capacity;
	__u32 reasons_capacity;
	__u32 blocks_capacity;
	__u32 rows_capacity;
	__u8 statistics_id[16]; /* random; a new one when they begin anew */
	__u8 boot_id[16];

	__u64 generation;
	__u64 sequence; /* guards the rest, odd while it is being written */
	__u64 since_realtime_ns;
	__u64 since_ns;	      /* CLOCK_MONOTONIC */
	__u64 folded_ns;      /* CLOCK_MONOTONIC: all that had come until then is in the rows */
	__u64 exits;	      /* taken in; = sum of the REASON rows + overflow + forgotten */
	__u64 overflow;	      /* of them without a REASON row: no room */
	__u64 overflow_ns;    /* and their time */
	__u64 overflow_row;   /* exits that lack a VCPU, DETAIL or RETURN row: no room */
	__u64 overflow_block; /* exits that lack their place in the histogram: no room */
	__u64 forgotten;      /* exits of guests that ended and had to make room */
	__u64 forgotten_ns;
	__u64 guests_forgotten;
	__u32 guests_used; /* elements that were ever in use: how far to look */
	__u32 reasons_used;
	__u32 blocks_used;
	__u32 rows_used;
	__u64 reasons_free; /* of the capacity */
	__u64 blocks_free;
	__u64 rows_free;
	__u64 guests_free;
};

#endif
