/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvmlog: generic netlink family "kvmlog", version 1.
 *
 * All commands need CAP_NET_ADMIN in the initial user namespace, those that hand out
 * records CAP_PERFMON (or CAP_SYS_ADMIN) besides; all come from the initial network namespace. A
 * refusal carries its reason as extended ack (set NETLINK_EXT_ACK to get it). Attribute types stand
 * in brackets.
 *
 *   KVMLOG_CMD_GET_STATUS          request: nothing
 *     -> KVMLOG_CMD_GET_STATUS
 *          KVMLOG_A_STATE            [u8]  1 on, 0 off
 *          KVMLOG_A_STOPPING         [u8]  1 while off, and records are still being delivered
 *          KVMLOG_A_ATTACHED         [u8]  1 when probes are attached to KVM
 *          KVMLOG_A_WAITING_FOR      [str] what is missing, when on and not attached
 *          KVMLOG_A_EPOCH            [u32] configuration number, 0 never on
 *          KVMLOG_A_ONE_IN           [u32]
 *          KVMLOG_A_ON_MS            [u32]
 *          KVMLOG_A_OFF_MS           [u32]
 *          KVMLOG_A_TGIDS            [bin] u32 each, absent when not filtering
 *          KVMLOG_A_LEASE_MS         [u32] until it switches itself off, absent when it does not
 *          KVMLOG_A_FLUSH_MS         [u32]
 *          KVMLOG_A_COUNTERS         [bin] struct kvmlog_counters, since the module was loaded
 *          KVMLOG_A_NOTES_LOST       [u64] records of other types than EXIT for which there was
 *                                    no room, since the module was loaded
 *          KVMLOG_A_RECEIVER         [u32] port id, absent when nobody is subscribed
 *          KVMLOG_A_SCHEMA           [u32] enum kvmlog_schema of the records
 *          KVMLOG_A_RECORD_BYTES     [u32]
 *          KVMLOG_A_ISA              [u8]  enum kvmlog_isa of the loaded vendor module
 *          KVMLOG_A_VENDOR           [str] "kvm_amd", "kvm_intel"; absent when none
 *          KVMLOG_A_MODULE_VERSION   [str]
 *          KVMLOG_A_PENDING_SLOTS    [u32] capacity of the pending table
 *          KVMLOG_A_COST             [bin] struct kvmlog_cost, since the module was loaded
 *          KVMLOG_A_CPU*             [nest] one for each CPU that has, or had, buffers
 *            KVMLOG_CPU_A_ID         [u32]
 *            KVMLOG_CPU_A_DROPPED    [u64] exits dropped on it, since the module was loaded
 *            KVMLOG_CPU_A_MESSAGES   [u64] messages delivered from it since last switched on
 *            KVMLOG_CPU_A_BYTES      [u64] memory its buffers take now
 *          KVMLOG_A_PROTOTYPE*       [nest] what the module was compiled to expect
 *            KVMLOG_PROTO_A_NAME     [str] "kvm_exit", "svm_get_exit_info", ...
 *            KVMLOG_PROTO_A_SIGNATURE [str] "struct kvm_vcpu *, unsigned int"
 *          KVMLOG_A_FIELD*           [nest] what it reads, where it was compiled to find it
 *            KVMLOG_FIELD_A_NAME     [str] "kvm_vcpu.arch.regs"
 *            KVMLOG_FIELD_A_OFFSET   [u32] bytes from the start of the structure
 *            KVMLOG_FIELD_A_BYTES    [u32] its size
 *
 *   KVMLOG_CMD_SUBSCRIBE           request: nothing; -> ack; needs CAP_PERFMON
 *          The sending socket becomes the one receiver of batches. When it is
 *          closed, tracing is switched off. A second one is refused (EBUSY).
 *
 *   KVMLOG_CMD_CONFIGURE           replaces the whole configuration; -> ack. After state 0 no
 *          probe runs. A slow receiver has two seconds to take the rest (KVMLOG_A_STOPPING);
 *          until then state 1 is refused (EINPROGRESS).
 *          KVMLOG_A_STATE            [u8]  required
 *          KVMLOG_A_TGIDS            [bin] trace only these processes; at most KVMLOG_MAX_TGIDS
 *          KVMLOG_A_ONE_IN           [u32] keep one exit in this many on average, default 1
 *          KVMLOG_A_ON_MS            [u32] sampling window: open this long ...
 *          KVMLOG_A_OFF_MS           [u32] ... then closed this long; both or neither
 *          KVMLOG_A_LEASE_MS         [u32] switch off by itself after this long; the same
 *                                    configuration again begins a new lease, or without one
 *                                    ends the old
 *          KVMLOG_A_CAUSE            [u32] with state 0: enum kvmlog_switch_cause that the SWITCH
 *                                    record tells, COMMAND or BUDGET; default COMMAND
 *          KVMLOG_A_PROTOTYPE*       [nest] what the running kernel's BTF says; a difference
 *                                    from what the module expects is refused (EPROTOTYPE)
 *          KVMLOG_A_FIELD*           [nest] likewise; refused with EPROTO
 *
 *   KVMLOG_CMD_GET_PENDING         dump; request: nothing; needs CAP_PERFMON
 *     -> KVMLOG_CMD_GET_PENDING*
 *          KVMLOG_A_RECORD           [bin] struct kvmlog_record, times up to now,
 *                                    KVMLOG_F_NO_REENTRY set
 *
 *   KVMLOG_CMD_BATCH               module to receiver, unasked
 *          KVMLOG_A_BATCH            [bin] struct kvmlog_batch
 *          KVMLOG_A_PAD              [empty]
 *          KVMLOG_A_RECORDS          [bin] kvmlog_batch.count records; the first one
 *                                    begins KVMLOG_BATCH_OFFSET bytes into the message; none
 *                                    when a CPU has lost some and has nothing to send
 */
#ifndef _UAPI_KVMLOG_NETLINK_H
#define _UAPI_KVMLOG_NETLINK_H

#include <linux/types.h>

#define KVMLOG_GENL_NAME "kvmlog"

enum kvmlog_netlink_limit {
	KVMLOG_GENL_VERSION = 1,
	KVMLOG_MAX_TGIDS = 256,
	KVMLOG_MAX_ONE_IN = 1000000,
	KVMLOG_MAX_WINDOW_MS = 3600000,
	KVMLOG_MAX_LEASE_MS = 604800000, /* a week */
	KVMLOG_COST_ONE_IN = 1024,	 /* probes, of which one is timed */
	KVMLOG_COST_BUCKETS = 32,
	KVMLOG_MAX_PROTOTYPES = 16,
	KVMLOG_MAX_FIELDS = 32,
	KVMLOG_MAX_NAME_BYTES = 64,	  /* with the final NUL */
	KVMLOG_MAX_SIGNATURE_BYTES = 192, /* with the final NUL */
	/* nlmsghdr 16, genlmsghdr 4, attribute header 4 + batch 32, pad 4, attribute header 4 */
	KVMLOG_BATCH_OFFSET = 64,
	KVMLOG_BATCH_RECORDS = 292,   /* the most that one message carries, and 32 KiB hold */
	KVMLOG_MESSAGE_BYTES = 32768, /* KVMLOG_BATCH_OFFSET + 292 * KVMLOG_RECORD_BYTES */
};

enum kvmlog_command {
	KVMLOG_CMD_UNSPEC = 0,
	KVMLOG_CMD_GET_STATUS = 1,
	KVMLOG_CMD_SUBSCRIBE = 2,
	KVMLOG_CMD_CONFIGURE = 3,
	KVMLOG_CMD_GET_PENDING = 4,
	KVMLOG_CMD_BATCH = 5,
};

enum kvmlog_attribute {
	KVMLOG_A_UNSPEC = 0,
	KVMLOG_A_STATE = 1,
	KVMLOG_A_ATTACHED = 2,
	KVMLOG_A_WAITING_FOR = 3,
	KVMLOG_A_EPOCH = 4,
	KVMLOG_A_ONE_IN = 5,
	KVMLOG_A_ON_MS = 6,
	KVMLOG_A_OFF_MS = 7,
	KVMLOG_A_TGIDS = 8,
	KVMLOG_A_FLUSH_MS = 9,
	KVMLOG_A_COUNTERS = 10,
	KVMLOG_A_RECEIVER = 11,
	KVMLOG_A_SCHEMA = 12,
	KVMLOG_A_RECORD_BYTES = 13,
	KVMLOG_A_ISA = 14,
	KVMLOG_A_VENDOR = 15,
	KVMLOG_A_MODULE_VERSION = 16,
	KVMLOG_A_PENDING_SLOTS = 17,
	KVMLOG_A_CPU = 18,
	KVMLOG_A_PROTOTYPE = 19,
	KVMLOG_A_RECORD = 20,
	KVMLOG_A_BATCH = 21,
	KVMLOG_A_PAD = 22,
	KVMLOG_A_RECORDS = 23,
	KVMLOG_A_LEASE_MS = 24,
	KVMLOG_A_COST = 25,
	KVMLOG_A_CAUSE = 26,
	KVMLOG_A_STOPPING = 27,
	KVMLOG_A_NOTES_LOST = 28,
	KVMLOG_A_FIELD = 29,
	KVMLOG_A_MAX = 29,
};

enum kvmlog_cpu_attribute {
	KVMLOG_CPU_A_UNSPEC = 0,
	KVMLOG_CPU_A_ID = 1,
	KVMLOG_CPU_A_DROPPED = 2,
	KVMLOG_CPU_A_MESSAGES = 3,
	KVMLOG_CPU_A_BYTES = 4,
	KVMLOG_CPU_A_PAD = 5,
	KVMLOG_CPU_A_MAX = 5,
};

enum kvmlog_prototype_attribute {
	KVMLOG_PROTO_A_UNSPEC = 0,
	KVMLOG_PROTO_A_NAME = 1,
	KVMLOG_PROTO_A_SIGNATURE = 2,
	KVMLOG_PROTO_A_MAX = 2,
};

enum kvmlog_field_attribute {
	KVMLOG_FIELD_A_UNSPEC = 0,
	KVMLOG_FIELD_A_NAME = 1,
	KVMLOG_FIELD_A_OFFSET = 2,
	KVMLOG_FIELD_A_BYTES = 3,
	KVMLOG_FIELD_A_MAX = 3,
};

/* Stands before the records of one message: all of `cpu`'s stream. */
struct kvmlog_batch {
	__u32 cpu;
	__u16 count;	/* records in this message */
	__u16 exits;	/* of them type EXIT */
	__u64 sequence; /* of this CPU's messages, from 0 at each switching on */
	__u64 dropped; /* records lost on this CPU since switched on; grows, never resets in between
			*/
	__u32 config_epoch; /* of the last record, without one the current */
	__u32 record_bytes;
};

/* CPU time that tracing has taken. */
struct kvmlog_cost {
	__u64 timed_ns;	 /* of the probes that were timed, one in KVMLOG_COST_ONE_IN ... */
	__u64 timed;	 /* ... and how many these were */
	__u64 worker_ns; /* of the flush worker and what wakes it */
	/* Timed ones in which the CPU was taken away: in timed_ns each counts as a bound only. */
	__u64 outliers;
	__u64 outlier_ns; /* what they took as measured */
	/* The timed ones by their time: [0] none, [i] from 2^(i-1) ns on, the last one any more. */
	__u64 samples[KVMLOG_COST_BUCKETS];
};

#endif
