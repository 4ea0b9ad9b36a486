/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Python calls, through cffi: this file, preprocessed, is the extension's
 * cdef. Only declarations cffi can read: no inline functions, no attributes.
 *
 * Functions that return int give 0 or more on success and -errno on failure.
 */
#ifndef KVMLOG_NATIVE_API_H
#define KVMLOG_NATIVE_API_H

#include <kvmlog/netlink.h>
#include <kvmlog/reasons.h>
#include <kvmlog/record.h>
#include <kvmlog/recording.h>
#include <kvmlog/ring.h>
#include <kvmlog/statistics.h>

#include "shared.h"

/* --- fault/fault.c --- */

enum {
	KVMLOG_EXIT_FILE_CUT = 74, /* exit status of a writer whose file was cut short: EX_IOERR */
};

/* --- ring/map.c: one mapping of a ring file --- */

struct kvmlog_ring {
	struct kvmlog_ring_header *header;
	__u8 *slots;
	__u64 capacity;	    /* slots, a power of two */
	__u64 record_bytes; /* of one slot */
	__u64 map_bytes;
	int fd; /* borrowed: closed by who opened it */
};

int kvmlog_ring_map(struct kvmlog_ring *ring, int fd, __u64 capacity, __u64 record_bytes,
		    int writable);
void kvmlog_ring_unmap(struct kvmlog_ring *ring);
int kvmlog_ring_whole(const struct kvmlog_ring *ring);

/* --- ring/check.c --- */

struct kvmlog_ring_counts {
	__u64 head;
	__u64 reserve;
};

int kvmlog_ring_check(const struct kvmlog_ring *ring, struct kvmlog_ring_counts *counts);

/* --- ring/read.c --- */

/* What one copy gave: records first_index .. next_index - 1. */
struct kvmlog_span {
	__u64 first_index;
	__u64 next_index;
	__u64 overwritten; /* wanted, but gone before or while copying */
	__u64 offset;	   /* bytes into the buffer where first_index stands */
};

int kvmlog_ring_newest(const struct kvmlog_ring *ring, __u64 count, void *buffer,
		       __u64 buffer_bytes, struct kvmlog_span *span);
int kvmlog_ring_since(const struct kvmlog_ring *ring, __u64 index, __u64 count, void *buffer,
		      __u64 buffer_bytes, struct kvmlog_span *span);
int kvmlog_ring_read_header(const struct kvmlog_ring *ring, struct kvmlog_ring_header *copy);

/* --- ring/select.c: the records that a filter passes --- */

/* A guest number from one time to another, both included (CLOCK_MONOTONIC). */
struct kvmlog_guest_time {
	__u64 from_ns;
	__u64 until_ns;
	__u32 guest;
	__u32 reserved;
};

/* Which records pass; a count of 0 asks for nothing, but for that of `guests`. */
struct kvmlog_filter {
	__u32 types;	 /* 1 << type; 1 << 0: types that no version knows yet */
	__u32 of_guests; /* 1: only exits in `guests` */
	__u64 since_ns;	 /* only records of this time and later */
	__u64 total_ns;	 /* only exits that took as long */
	__u64 busy_ns;	 /* only exits that took as long without halt and pause */
	__u64 *reasons;	 /* only exits of these: isa << 32 | reason, without VMX's flags; sorted */
	__u16 *returns;	 /* ... or that returned with one of these KVM_EXIT_*; sorted */
	struct kvmlog_guest_time *guests; /* sorted by guest and time, without overlap */
	__u32 reasons_count;
	__u32 returns_count;
	__u32 guests_count;
	__u32 reserved;
};

/* Records first_index .. next_index - 1 were searched, and were whole. */
struct kvmlog_selected {
	__u64 first_index;
	__u64 next_index;
	__u64 overwritten; /* wanted, but gone before or while searching */
	__u64 count;	   /* records that passed */
	__u64 offset;	   /* bytes into the buffer where the first of them stands */
};

int kvmlog_ring_select_newest(const struct kvmlog_ring *ring, const struct kvmlog_filter *filter,
			      __u64 end, __u64 slots, void *buffer, __u64 *indices, __u64 most,
			      struct kvmlog_selected *selected);
int kvmlog_ring_select_since(const struct kvmlog_ring *ring, const struct kvmlog_filter *filter,
			     __u64 index, __u64 end, __u64 slots, void *buffer, __u64 *indices,
			     __u64 most, struct kvmlog_selected *selected);

__u64 kvmlog_filter_records(const struct kvmlog_filter *filter, const struct kvmlog_record *records,
			    __u64 count, struct kvmlog_record *out);

/* --- ring/legacy.c: getKvmLog's text --- */

enum kvmlog_legacy_limits {
	KVMLOG_LEGACY_RECORDS = 1024,
	KVMLOG_LEGACY_CHARACTERS = 9, /* of each */
	KVMLOG_LEGACY_BYTES = 9216,
};

struct kvmlog_legacy {
	struct kvmlog_ring_header made_by; /* by its clocks, until its head */
	int is_made;
	__u32 length; /* 0: no exits */
	char text[KVMLOG_LEGACY_BYTES];
};

int kvmlog_ring_legacy(const struct kvmlog_ring *ring, struct kvmlog_legacy *legacy);

/* --- ring/write.c --- */

struct kvmlog_writer;

struct kvmlog_writer *kvmlog_writer_new(int fd, __u64 capacity, __u64 record_bytes);
void kvmlog_writer_free(struct kvmlog_writer *writer);
void kvmlog_writer_append(struct kvmlog_writer *writer, const void *records, __u64 count);
void kvmlog_writer_loss(struct kvmlog_writer *writer, __u32 cause, __u64 lost, __u64 total,
			__u16 cpu);
__u64 kvmlog_writer_recount(struct kvmlog_writer *writer);

/* --- ring/move.c --- */

int kvmlog_writer_copy_to(struct kvmlog_writer *writer, int fd, struct kvmlog_ring *fresh);
void kvmlog_writer_move(struct kvmlog_writer *writer, struct kvmlog_ring *fresh);

/* --- ring/header.c --- */

void kvmlog_writer_start(struct kvmlog_writer *writer, __u32 pid, __u64 start_ticks,
			 const __u8 *boot_id);
void kvmlog_writer_state(struct kvmlog_writer *writer, __u32 state);
void kvmlog_writer_switched(struct kvmlog_writer *writer, __u32 on, __u32 source);
void kvmlog_writer_statistics(struct kvmlog_writer *writer, const __u8 *id);
void kvmlog_writer_counters(struct kvmlog_writer *writer, const struct kvmlog_counters *counters);
__s32 kvmlog_writer_heartbeat(struct kvmlog_writer *writer);
void kvmlog_writer_header(struct kvmlog_writer *writer, struct kvmlog_ring_header *copy);

/* --- pump/batch.c: what a message of the source is --- */

enum kvmlog_batch_verdict {
	KVMLOG_BATCH_OK = 0,
	KVMLOG_BATCH_CONTROL = 1, /* an ack, an error, another command: no batch, no harm */
	KVMLOG_BATCH_SENDER = 2,  /* not from the kernel */
	KVMLOG_BATCH_TRUNCATED = 3,
	KVMLOG_BATCH_LENGTH = 4, /* the lengths contradict each other */
	KVMLOG_BATCH_LAYOUT = 5, /* the attributes are not those of netlink.h */
	KVMLOG_BATCH_COUNT = 6,	 /* more records than fit, or more exits than records */
	KVMLOG_BATCH_RECORD = 7, /* record_bytes is not this build's */
	KVMLOG_BATCH_CPU = 8,	 /* a CPU number that no record can carry */
	KVMLOG_BATCH_VERDICTS = 9,
};

/* --- pump/: from the source into the ring --- */

struct kvmlog_pump_statistics {
	__u64 wakeups; /* returns of poll() */
	__u64 messages;
	__u64 records;
	__u64 exits; /* of them EXIT records */
	__u64 control_messages;
	__u64 bad_messages;
	__u64 bad_by_verdict[9]; /* index: enum kvmlog_batch_verdict */
	__u64 errors;		 /* recvmsg() that failed and was tried again */
	__u64 lost_messages;
	__u64 lost_records;
	__u64 notes;		  /* written by the engine in the source's name */
	__s64 last_control_error; /* -errno of the last NLMSG_ERROR, 0 an ack */
};

struct kvmlog_pump;
struct kvmlog_bpf_maps;

enum {
	KVMLOG_GUESTS_WAITING = 256, /* that Python has not fetched yet */
	/*
	 * After a batch, how long to let more gather: a wakeup costs several thousand
	 * instructions, as much as receiving a batch. Far below the socket's buffer
	 * (some 500 messages) even when every CPU delivers at full speed.
	 */
	KVMLOG_COALESCE_MS = 5,
};

struct kvmlog_statistics;

struct kvmlog_pump *kvmlog_pump_new(struct kvmlog_writer *writer);
void kvmlog_pump_free(struct kvmlog_pump *pump);
void kvmlog_pump_count(struct kvmlog_pump *pump, struct kvmlog_statistics *statistics);
int kvmlog_pump_guests_fd(const struct kvmlog_pump *pump);
__u32 kvmlog_pump_guests(struct kvmlog_pump *pump, struct kvmlog_record_guest *guests,
			 __u32 capacity, __u64 *missed);
void kvmlog_pump_socket(struct kvmlog_pump *pump, int fd, __u16 family);
void kvmlog_pump_maps(struct kvmlog_pump *pump, struct kvmlog_bpf_maps *maps);
int kvmlog_pump_records(struct kvmlog_pump *pump, int fd);
int kvmlog_pump_run(struct kvmlog_pump *pump);
void kvmlog_pump_stop(struct kvmlog_pump *pump);
void kvmlog_pump_forget_stop(struct kvmlog_pump *pump);
void kvmlog_pump_wake(struct kvmlog_pump *pump);
void kvmlog_pump_restart(struct kvmlog_pump *pump);
void kvmlog_pump_watch(struct kvmlog_pump *pump, __u32 config_epoch);
void kvmlog_pump_unwatch(struct kvmlog_pump *pump);
void kvmlog_pump_lost(struct kvmlog_pump *pump, __u64 lost, __u64 total);
void kvmlog_pump_append(struct kvmlog_pump *pump, const struct kvmlog_record *records, __u32 count);
void kvmlog_pump_read(struct kvmlog_pump *pump, struct kvmlog_pump_statistics *statistics);
__u64 kvmlog_pump_received(struct kvmlog_pump *pump, __u32 cpu);
void kvmlog_pump_settle(struct kvmlog_pump *pump, __u32 cpu, __u64 messages, __u64 dropped);

/* --- statistics/map.c: a statistics file, mapped, or a copy of one --- */

struct kvmlog_statistics_map;

int kvmlog_statistics_layout(__u64 bytes, struct kvmlog_statistics_header *layout);
struct kvmlog_statistics_map *kvmlog_statistics_open(int fd, __u64 bytes, int writable);
void kvmlog_statistics_close(struct kvmlog_statistics_map *map);

/* --- statistics/statistics.c: the writer's side --- */

struct kvmlog_statistics *kvmlog_statistics_new(struct kvmlog_writer *writer,
						struct kvmlog_statistics_map *map, int *error);
void kvmlog_statistics_free(struct kvmlog_statistics *statistics);
void kvmlog_statistics_flush(struct kvmlog_statistics *statistics);
void kvmlog_statistics_state(struct kvmlog_statistics *statistics, __u32 state);
void kvmlog_statistics_begin(struct kvmlog_statistics *statistics, int fresh);
void kvmlog_statistics_reset(struct kvmlog_statistics *statistics, __u64 realtime_ns);
void kvmlog_statistics_forget(struct kvmlog_statistics *statistics, const __u8 *forgotten,
			      const struct kvmlog_statistics_guest *listed);
void kvmlog_statistics_list(struct kvmlog_statistics *statistics,
			    struct kvmlog_statistics_guest *guests, __u8 *retired);
void kvmlog_statistics_describe(struct kvmlog_statistics *statistics,
				struct kvmlog_statistics_header *copy);
int kvmlog_statistics_damaged(struct kvmlog_statistics *statistics);
int kvmlog_statistics_move(struct kvmlog_statistics *statistics,
			   const struct kvmlog_statistics_map *fresh);

/* --- statistics/snapshot.c --- */

struct kvmlog_statistics_map *kvmlog_statistics_snapshot(const struct kvmlog_statistics_map *map,
							 __u64 *torn, int *error);
void kvmlog_statistics_copied(const struct kvmlog_statistics_map *copy,
			      struct kvmlog_statistics_header *header,
			      struct kvmlog_statistics_guest *guests);
int kvmlog_statistics_header_now(const struct kvmlog_statistics_map *map,
				 struct kvmlog_statistics_header *header);

/* --- statistics/figures.c --- */

/* What an exit counts for in the statistics; the times sum up to total_ns. */
struct kvmlog_exit_figures {
	__u64 kvm_ns;
	__u64 vmm_ns;
	__u64 wait_ns;
	__u64 idle_ns;
	__u64 paused_ns;
	__u8 flags; /* enum kvmlog_statistics_flag */
	__u8 reserved[7];
};

/* Of records of type EXIT only. */
void kvmlog_exit_figures(const struct kvmlog_record *records, __u64 count,
			 struct kvmlog_exit_figures *figures);

/* --- statistics/keys.c --- */

/* CPUID leaves that are one detail: guests look for hypervisors at every 256th of them. */
enum kvmlog_cpuid_range {
	KVMLOG_CPUID_SEARCHED = 0x40000200,
	KVMLOG_CPUID_SEARCHED_LAST = 0x4fffffff,
};

int kvmlog_cpuid_has_subleaves(__u32 leaf);

/* --- statistics/query.c --- */

enum kvmlog_statistics_by {
	KVMLOG_BY_GUEST = 1 << 0,
	KVMLOG_BY_VCPU = 1 << 1,
	KVMLOG_BY_REASON = 1 << 2,
	KVMLOG_BY_DETAIL = 1 << 3,
	KVMLOG_BY_RETURN = 1 << 4,
};

/* Who handled exits of a nested guest: this host, or the hypervisor in its own guest. */
enum kvmlog_handler {
	KVMLOG_HANDLER_UNTOLD = 0,
	KVMLOG_HANDLER_L0 = 1,
	KVMLOG_HANDLER_L1 = 2,
};

/*
 * What was not asked apart is 0. Exits of nested guests and halts are groups of their
 * own, whatever is asked.
 */
struct kvmlog_statistics_group {
	__u32 guest;
	__u16 vcpu;
	__u8 isa;
	__u8 reserved;
	__u32 reason;
	__u8 nested;
	__u8 handler; /* enum kvmlog_handler */
	__u8 halt;
	__u8 reserved2;
	__u64 detail;
	__u8 detail_kind;
	__u8 reserved3;
	__u16 user_reason;
	__u32 reserved4;
	struct kvmlog_statistics_sums sums;
	__u64 p50_ns;
	__u64 p90_ns;
	__u64 p99_ns;
	__u64 p999_ns;
	__u8 rough; /* percentiles are upper edges of octaves */
	__u8 reserved5[7];
};

/* Addresses of which each @each bytes are one device; 0: all of them. */
struct kvmlog_statistics_region {
	__u64 first;
	__u64 last;
	__u64 each;
};

/* What is asked; regions, by address: of a PC, whose devices are groups; none: each address is. */
struct kvmlog_statistics_question {
	__u32 by; /* enum kvmlog_statistics_by */
	__u32 regions_count;
	const struct kvmlog_statistics_region *regions;
	const __u8 *guests; /* a 1 for each guest of the table that is asked for; NULL: all */
	/* Room for KVMLOG_HISTOGRAM_OCTAVES counts of each group; NULL: not asked for. */
	__u64 *octaves;
};

__s64 kvmlog_statistics_query(const struct kvmlog_statistics_map *now,
			      const struct kvmlog_statistics_map *base,
			      const struct kvmlog_statistics_question *question,
			      struct kvmlog_statistics_group *groups, __u32 capacity);

/* --- statistics/histograms.c --- */

/* A reason of a guest; octave k counts exits of (32 << k) / 2 to (32 << k) - 1 ns, 0 those below. */
struct kvmlog_statistics_histogram {
	__u32 guest;
	__u32 reason;
	__u8 isa;
	__u8 nested;
	__u8 handler; /* enum kvmlog_handler */
	__u8 halt;
	__u32 reserved;
	struct kvmlog_statistics_sums sums;
	__u64 octaves[KVMLOG_HISTOGRAM_OCTAVES];
};

__u32 kvmlog_statistics_histograms(const struct kvmlog_statistics_map *copy,
				   struct kvmlog_statistics_histogram *out, __u32 capacity);

/* --- statistics/tally.c: statistics of records that no pump brings --- */

struct kvmlog_tally;

struct kvmlog_tally *kvmlog_tally_new(__u64 bytes, int *error);
void kvmlog_tally_free(struct kvmlog_tally *tally);
void kvmlog_tally_take(struct kvmlog_tally *tally, const struct kvmlog_record *records,
		       __u64 count);
struct kvmlog_statistics_map *kvmlog_tally_finish(struct kvmlog_tally *tally,
						  const struct kvmlog_statistics_header *about);

/* --- recording/block.c, recording/text.c: the content of a recording's blocks --- */

__s64 kvmlog_recording_encode(const struct kvmlog_record *records, __u32 count, __u8 *out,
			      __u64 *times);
int kvmlog_recording_decode(const __u8 *stored, __u64 bytes, struct kvmlog_record *records,
			    __u32 count);
__u64 kvmlog_recording_text_room(__u64 bytes);
__s64 kvmlog_recording_pack(const __u8 *text, __u64 bytes, __u8 *out, __u64 room);
int kvmlog_recording_unpack(const __u8 *stored, __u64 stored_bytes, __u8 *text, __u64 bytes);

/* --- btf/btf.c: types as the running kernel has them --- */

struct kvmlog_btf;

struct kvmlog_btf *kvmlog_btf_open(const char *vmlinux_path, int *error);
void kvmlog_btf_close(struct kvmlog_btf *btf);
int kvmlog_btf_module(struct kvmlog_btf *btf, const char *name);

/* --- btf/signature.c --- */

int kvmlog_btf_signature(struct kvmlog_btf *btf, const char *name, char *text, __u64 text_bytes);

/* --- btf/member.c --- */

int kvmlog_btf_member(struct kvmlog_btf *btf, const char *name, const char *path, __u32 *offset,
		      __u32 *bytes);
int kvmlog_btf_tracepoint(struct kvmlog_btf *btf, const char *name, int *module);

/* --- bpf/programs.c --- */

enum kvmlog_bpf_map_kind {
	KVMLOG_BPF_ARRAY = 1, /* that can be mapped */
	KVMLOG_BPF_HASH = 2,
	KVMLOG_BPF_QUEUE = 3,
};

enum kvmlog_bpf_kind {
	KVMLOG_BPF_RAW = 1,   /* raw tracepoint */
	KVMLOG_BPF_TYPED = 2, /* raw tracepoint with its BTF: pointers may be followed */
	KVMLOG_BPF_EVENT = 3, /* classic tracepoint: the event's fields */
};

int kvmlog_bpf_map(const char *name, int kind, __u32 key_bytes, __u32 value_bytes, __u32 elements);
int kvmlog_bpf_load(const char *name, int kind, const void *instructions, __u64 bytes,
		    __u32 type_id, const char *module, char *log, __u64 log_bytes);
int kvmlog_bpf_attach(int program, const char *name);
int kvmlog_bpf_attach_event(int program, __u64 id);
__s64 kvmlog_bpf_misses(int program);
int kvmlog_bpf_enable_stats(void);
int kvmlog_bpf_run_time(int program, __u64 *ns);
void kvmlog_bpf_quiesce(void);

/* --- bpf/maps.c --- */

struct kvmlog_bpf_maps {
	struct kvmlog_bpf_control *control;
	struct kvmlog_bpf_cpu *cpus;   /* count of them */
	struct kvmlog_record *records; /* of all CPUs; or NULL: mapped one by one, in parts */
	struct kvmlog_record **parts;  /* count of them; NULL: this CPU has written none yet */
	struct kvmlog_bpf_slot *slots; /* slot_count of them */
	__u32 count;
	__u32 slot_count;
	int records_fd; /* borrowed; -1: there are none now */
};

struct kvmlog_bpf_maps *kvmlog_bpf_maps_new(int control_fd, int cpus_fd, __u32 count, int slots_fd,
					    __u32 slot_count);
int kvmlog_bpf_records(struct kvmlog_bpf_maps *maps, int fd);
void kvmlog_bpf_maps_free(struct kvmlog_bpf_maps *maps);

/* --- bpf/counters.c, bpf/pending.c, bpf/tables.c --- */

void kvmlog_bpf_counters(const struct kvmlog_bpf_maps *maps, struct kvmlog_counters *counters);
int kvmlog_bpf_pending(const struct kvmlog_bpf_maps *maps, struct kvmlog_record *records);
void kvmlog_bpf_forget(const struct kvmlog_bpf_maps *maps);
void kvmlog_bpf_empty(int queue_fd);
void kvmlog_bpf_clear(int map_fd, __u32 key_bytes);
int kvmlog_bpf_add_tgid(int map_fd, __u32 config, __u32 tgid);
void kvmlog_bpf_drop_tgids(int map_fd, __u32 config);

#endif
