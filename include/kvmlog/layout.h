/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Pins the layout of everything in include/uapi/kvmlog at compile time. Include
 * it once in each program (kernel or user) after the headers themselves; the
 * unit tests repeat the same numbers against the cffi build.
 */
#ifndef _KVMLOG_LAYOUT_H
#define _KVMLOG_LAYOUT_H

#include <kvmlog/netlink.h>
#include <kvmlog/record.h>
#include <kvmlog/recording.h>
#include <kvmlog/ring.h>

#define KVMLOG_PIN(record, field, offset) \
	_Static_assert(__builtin_offsetof(struct record, field) == (offset), #record "." #field)
#define KVMLOG_PIN_SIZE(record, bytes) _Static_assert(sizeof(struct record) == (bytes), #record)

/* What all records share. */
#define KVMLOG_PIN_RECORD(record)             \
	KVMLOG_PIN_SIZE(record, 112);         \
	KVMLOG_PIN(record, type, 0);          \
	KVMLOG_PIN(record, isa, 1);           \
	KVMLOG_PIN(record, source, 2);        \
	KVMLOG_PIN(record, flags, 4);         \
	KVMLOG_PIN(record, config_epoch, 56); \
	KVMLOG_PIN(record, tid, 68);          \
	KVMLOG_PIN(record, guest, 104);       \
	KVMLOG_PIN(record, vcpu, 108);        \
	KVMLOG_PIN(record, cpu, 110)

KVMLOG_PIN_RECORD(kvmlog_record);
KVMLOG_PIN(kvmlog_record, user_exits, 6);
KVMLOG_PIN(kvmlog_record, exit_ns, 8);
KVMLOG_PIN(kvmlog_record, total_ns, 16);
KVMLOG_PIN(kvmlog_record, user_ns, 24);
KVMLOG_PIN(kvmlog_record, halt_ns, 32);
KVMLOG_PIN(kvmlog_record, paused_ns, 40);
KVMLOG_PIN(kvmlog_record, delay_kernel_us, 48);
KVMLOG_PIN(kvmlog_record, delay_user_us, 52);
KVMLOG_PIN(kvmlog_record, reason, 60);
KVMLOG_PIN(kvmlog_record, user_reason, 64);
KVMLOG_PIN(kvmlog_record, user_errno, 66);
KVMLOG_PIN(kvmlog_record, rip, 72);
KVMLOG_PIN(kvmlog_record, info1, 80);
KVMLOG_PIN(kvmlog_record, info2, 88);
KVMLOG_PIN(kvmlog_record, detail, 96);

KVMLOG_PIN_RECORD(kvmlog_record_guest);
KVMLOG_PIN(kvmlog_record_guest, ns, 8);
KVMLOG_PIN(kvmlog_record_guest, start_boottime_ns, 16);
KVMLOG_PIN(kvmlog_record_guest, cgroup, 24);
KVMLOG_PIN(kvmlog_record_guest, comm, 32);
KVMLOG_PIN(kvmlog_record_guest, tgid, 60);

KVMLOG_PIN_RECORD(kvmlog_record_loss);
KVMLOG_PIN(kvmlog_record_loss, ns, 8);
KVMLOG_PIN(kvmlog_record_loss, lost, 16);
KVMLOG_PIN(kvmlog_record_loss, cause, 24);
KVMLOG_PIN(kvmlog_record_loss, total, 32);

KVMLOG_PIN_RECORD(kvmlog_record_switch);
KVMLOG_PIN(kvmlog_record_switch, ns, 8);
KVMLOG_PIN(kvmlog_record_switch, on, 16);
KVMLOG_PIN(kvmlog_record_switch, cause, 20);
KVMLOG_PIN(kvmlog_record_switch, one_in, 24);
KVMLOG_PIN(kvmlog_record_switch, on_ms, 28);
KVMLOG_PIN(kvmlog_record_switch, off_ms, 32);
KVMLOG_PIN(kvmlog_record_switch, filter_tgids, 36);

KVMLOG_PIN_RECORD(kvmlog_record_clock);
KVMLOG_PIN(kvmlog_record_clock, ns, 8);
KVMLOG_PIN(kvmlog_record_clock, event, 16);
KVMLOG_PIN(kvmlog_record_clock, delta_ns, 24);
KVMLOG_PIN(kvmlog_record_clock, realtime_ns, 32);
KVMLOG_PIN(kvmlog_record_clock, boottime_ns, 40);

KVMLOG_PIN_RECORD(kvmlog_record_cpu);
KVMLOG_PIN(kvmlog_record_cpu, ns, 8);
KVMLOG_PIN(kvmlog_record_cpu, online, 16);

KVMLOG_PIN_SIZE(kvmlog_counters, 64);
KVMLOG_PIN(kvmlog_counters, pending, 40);

KVMLOG_PIN_SIZE(kvmlog_batch, 32);
KVMLOG_PIN(kvmlog_batch, count, 4);
KVMLOG_PIN(kvmlog_batch, exits, 6);
KVMLOG_PIN(kvmlog_batch, sequence, 8);
KVMLOG_PIN(kvmlog_batch, dropped, 16);
KVMLOG_PIN(kvmlog_batch, config_epoch, 24);

KVMLOG_PIN_SIZE(kvmlog_clock_pair, 24);
KVMLOG_PIN(kvmlog_clock_pair, realtime_offset_ns, 8);
KVMLOG_PIN(kvmlog_clock_pair, utc_offset_s, 16);

KVMLOG_PIN_SIZE(kvmlog_ring_header, 4096);
KVMLOG_PIN(kvmlog_ring_header, format_version, 8);
KVMLOG_PIN(kvmlog_ring_header, header_bytes, 24);
KVMLOG_PIN(kvmlog_ring_header, capacity, 32);
KVMLOG_PIN(kvmlog_ring_header, ring_id, 40);
KVMLOG_PIN(kvmlog_ring_header, boot_id, 72);
KVMLOG_PIN(kvmlog_ring_header, state, 88);
KVMLOG_PIN(kvmlog_ring_header, writer_start_ticks, 104);
KVMLOG_PIN(kvmlog_ring_header, info_sequence, 120);
KVMLOG_PIN(kvmlog_ring_header, counters, 160);
KVMLOG_PIN(kvmlog_ring_header, lost_records, 224);
KVMLOG_PIN(kvmlog_ring_header, clock_count, 248);
KVMLOG_PIN(kvmlog_ring_header, exits, 256);
KVMLOG_PIN(kvmlog_ring_header, exits_head, 264);
KVMLOG_PIN(kvmlog_ring_header, reserve, 384);
KVMLOG_PIN(kvmlog_ring_header, head, 512);
KVMLOG_PIN(kvmlog_ring_header, clocks, 1024);

KVMLOG_PIN_SIZE(kvmlog_recording_start, 32);
KVMLOG_PIN(kvmlog_recording_start, format_version, 8);
KVMLOG_PIN(kvmlog_recording_start, record_bytes, 24);

KVMLOG_PIN_SIZE(kvmlog_recording_block, 56);
KVMLOG_PIN(kvmlog_recording_block, kind, 4);
KVMLOG_PIN(kvmlog_recording_block, stored_bytes, 8);
KVMLOG_PIN(kvmlog_recording_block, content_crc, 20);
KVMLOG_PIN(kvmlog_recording_block, first_ns, 24);
KVMLOG_PIN(kvmlog_recording_block, lost_records, 40);
KVMLOG_PIN(kvmlog_recording_block, header_crc, 52);

_Static_assert(KVMLOG_RECORD_BYTES == sizeof(struct kvmlog_record), "record bytes");
_Static_assert(KVMLOG_RING_HEADER_BYTES == sizeof(struct kvmlog_ring_header), "header bytes");
_Static_assert(KVMLOG_MESSAGE_BYTES ==
		       KVMLOG_BATCH_OFFSET + KVMLOG_BATCH_RECORDS * KVMLOG_RECORD_BYTES,
	       "message bytes");

#endif
