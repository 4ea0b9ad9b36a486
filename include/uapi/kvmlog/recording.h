/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvmlog: the file of a recording (docs/recording-format.md).
 *
 *   offset 0    struct kvmlog_recording_start
 *   then        blocks: struct kvmlog_recording_block and stored_bytes of content each
 *
 * All numbers are little-endian. Blocks are appended whole and never changed, so that a file
 * that ends anywhere can be read up to its last whole block.
 */
#ifndef _UAPI_KVMLOG_RECORDING_H
#define _UAPI_KVMLOG_RECORDING_H

#include <kvmlog/record.h>

enum kvmlog_recording_format {
	KVMLOG_RECORDING_FORMAT_VERSION = 1,
	/* Features a reader must know to read; none yet. Unknown bits: refuse. */
	KVMLOG_RECORDING_INCOMPAT_KNOWN = 0,
	KVMLOG_RECORDING_BLOCK_RECORDS = 16384, /* most in a block */
	KVMLOG_RECORDING_PLANES = 112,		/* bytes of a record */
	KVMLOG_RECORDING_BITMAP_BYTES = 16,	/* one bit for each plane, and two that are 0 */
	/* Most stored bytes: of records, each plane as it is, its length and the bitmap. */
	KVMLOG_RECORDING_RECORDS_BYTES = 16 + 112 * (4 + 16384),
	KVMLOG_RECORDING_TEXT_BYTES = 33554432, /* of text, stored or not */
};

struct kvmlog_recording_start {
	__u8 magic[8]; /* "KVMLOGF\n" */
	__u32 format_version;
	__u32 schema_version; /* of the records, KVMLOG_SCHEMA_VERSION */
	__u32 compat_flags;   /* features a reader may ignore */
	__u32 incompat_flags; /* features a reader must know */
	__u32 record_bytes;
	__u32 reserved;
};

enum kvmlog_recording_kind {
	KVMLOG_RECORDING_HEADER = 1,  /* the first block: what was recorded where, JSON */
	KVMLOG_RECORDING_GUESTS = 2,  /* guests that are new or have changed, docs/guests.md */
	KVMLOG_RECORDING_CLOCKS = 3,  /* all clock pairs of the ring, JSON */
	KVMLOG_RECORDING_RECORDS = 4, /* records, by planes */
	KVMLOG_RECORDING_END = 5,     /* the last block of a recording that ended in order, JSON */
};

struct kvmlog_recording_block {
	__u8 magic[4]; /* "KVMB" */
	__u8 kind;     /* enum kvmlog_recording_kind; others: skip */
	__u8 reserved[3];
	__u32 stored_bytes; /* of the content behind this header */
	__u32 plain_bytes;  /* of text before compression (zstd); records: 0 */
	__u32 records;	    /* in this block; text: 0 */
	__u32 content_crc;  /* CRC-32 (IEEE 802.3) of the stored bytes */
	__u64 first_ns;	    /* least time of a record in this block, CLOCK_MONOTONIC */
	__u64 last_ns;	    /* greatest */
	__u64 lost_records; /* known to be missing in the recording up to here */
	__u32 reserved2;
	__u32 header_crc; /* CRC-32 of all above */
};

#endif
