/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvmlog: the record.
 *
 * Every record, whatever its type, has the same size (KVMLOG_RECORD_BYTES) and
 * the same first 16 bytes, and carries config_epoch, tid, guest, vcpu and cpu at
 * the same offsets, so that a reader can sort and filter without knowing the
 * type. Byte order is that of the host which wrote it.
 *
 * A field whose flag is clear holds zero, never a stale value.
 */
#ifndef _UAPI_KVMLOG_RECORD_H
#define _UAPI_KVMLOG_RECORD_H

#include <linux/types.h>

enum kvmlog_schema {
	/* Raised whenever a record below changes meaning or layout. */
	KVMLOG_SCHEMA_VERSION = 2,
	KVMLOG_RECORD_BYTES = 112,
	KVMLOG_COMM_BYTES = 16,
};

enum kvmlog_record_type {
	KVMLOG_RECORD_EXIT = 1,	  /* struct kvmlog_record */
	KVMLOG_RECORD_LOSS = 2,	  /* struct kvmlog_record_loss */
	KVMLOG_RECORD_GUEST = 3,  /* struct kvmlog_record_guest */
	KVMLOG_RECORD_SWITCH = 4, /* struct kvmlog_record_switch */
	KVMLOG_RECORD_CLOCK = 5,  /* struct kvmlog_record_clock */
	KVMLOG_RECORD_CPU = 6,	  /* struct kvmlog_record_cpu */
};

/* VMX and SVM have KVM's own numbers (KVM_ISA_VMX, KVM_ISA_SVM in asm/kvm_host.h). */
enum kvmlog_isa {
	KVMLOG_ISA_NONE = 0,
	KVMLOG_ISA_VMX = 1,
	KVMLOG_ISA_SVM = 2,
	KVMLOG_ISA_ARM64 = 3,
};

enum kvmlog_source {
	KVMLOG_SOURCE_NONE = 0,
	KVMLOG_SOURCE_KMOD = 1,
	KVMLOG_SOURCE_BPF = 2,
	KVMLOG_SOURCE_FOREIGN = 3, /* another module, through kvmlog_emit() */
	KVMLOG_SOURCE_ENGINE = 4,  /* written by the log engine itself */
};

enum kvmlog_flag {
	KVMLOG_F_NESTED = 1 << 0,	/* left a nested (L2) guest */
	KVMLOG_F_PROTECTED = 1 << 1,	/* SEV-ES, SNP, TDX: registers unreadable */
	KVMLOG_F_NO_REENTRY = 1 << 2,	/* written without a re-entry; times end at the writing */
	KVMLOG_F_DETAIL_VALID = 1 << 3, /* detail holds the reason's key */
	KVMLOG_F_RIP_VALID = 1 << 4,	/* rip holds the guest's instruction pointer */
	KVMLOG_F_INFO_VALID = 1 << 5,	/* info1 and info2 hold what the CPU said */
	KVMLOG_F_HALT_SLEPT = 1 << 6,	/* the halt gave the CPU away (not only polled) */
	KVMLOG_F_MIGRATED = 1 << 7,	/* re-entered on another CPU than it left on */
	KVMLOG_F_USER_REASON = 1 << 8,	/* user_reason, user_errno: a return that was no -EINTR */
	KVMLOG_F_USER_EINTR = 1 << 9,	/* KVM_RUN was interrupted: a signal, a pause */
	KVMLOG_F_DELAY_VALID = 1 << 10, /* delay_kernel_us, delay_user_us were measured */
	/* Of an exit that left a nested guest; neither: the source could not tell, or not yet. */
	KVMLOG_F_NESTED_L0 = 1 << 11, /* this host handled it: the nested guest went on */
	KVMLOG_F_NESTED_L1 = 1 << 12, /* the hypervisor in the guest (L1) was given an exit */
};

enum kvmlog_none {
	KVMLOG_NO_VCPU = 0xffff,
	KVMLOG_NO_CPU = 0xffff,
};

/* One exit, written when the vCPU re-enters its guest. All times in ns are CLOCK_MONOTONIC. */
struct kvmlog_record {
	__u8 type;   /* enum kvmlog_record_type */
	__u8 isa;    /* enum kvmlog_isa: which table names `reason` */
	__u8 source; /* enum kvmlog_source */
	__u8 reserved;
	__u16 flags;	  /* enum kvmlog_flag */
	__u16 user_exits; /* returns from KVM_RUN during this exit, saturating */
	__u64 exit_ns;	  /* when the vCPU left the guest */

	__u64 total_ns; /* from there to its re-entry */
	__u64 user_ns;	/* of it after the first return from KVM_RUN, not halted: the VMM's time */
	__u64 halt_ns;	/* of it halted in the kernel (kvm_vcpu_wakeup) */
	/*
	 * Of user_ns after a return with -EINTR, until the next return or the re-entry: the
	 * vCPU was interrupted, perhaps held, and the VMM did no work for it. Never more than
	 * user_ns. No tracepoint tells when KVM_RUN is entered again, so that what the kernel
	 * does then is in it too, but for a halt that has ended.
	 */
	__u64 paused_ns;

	__u32 delay_kernel_us; /* of it runnable without a CPU, before the first return */
	__u32 delay_user_us;   /* and after it; both saturating */

	__u32 config_epoch; /* the configuration it was taken under */
	__u32 reason;	    /* VMX: whole exit reason; SVM: exit code; arm64: exception class */
	__u16 user_reason;  /* KVM_EXIT_* of the first return that was no -EINTR */
	__s16 user_errno;   /* what that return gave: 0, or -errno */
	__u32 tid;	    /* thread that ran the vCPU (initial pid namespace) */

	__u64 rip;    /* guest instruction pointer at the exit */
	__u64 info1;  /* VMX: exit qualification; SVM: EXITINFO1 */
	__u64 info2;  /* VMX: IDT-vectoring information; SVM: EXITINFO2 */
	__u64 detail; /* the reason's key, see enum kvmlog_detail */

	__u32 guest; /* the source's number for the struct kvm, from 1 */
	__u16 vcpu;  /* vCPU id within the guest */
	__u16 cpu;   /* host CPU of the exit */
};

/* What `detail` means follows from isa and reason; this is the list of meanings. */
enum kvmlog_detail {
	KVMLOG_DETAIL_NONE = 0,
	KVMLOG_DETAIL_PORT = 1,	     /* I/O port */
	KVMLOG_DETAIL_MSR = 2,	     /* MSR index (ECX) */
	KVMLOG_DETAIL_GPA = 3,	     /* guest physical address */
	KVMLOG_DETAIL_CPUID = 4,     /* EAX, the leaf; ECX << 32: its subleaf, if it has some */
	KVMLOG_DETAIL_VECTOR = 5,    /* exception or interrupt vector */
	KVMLOG_DETAIL_HYPERCALL = 6, /* hypercall number (RAX) */
	KVMLOG_DETAIL_CR = 7,	     /* control register number */
	KVMLOG_DETAIL_DR = 8,	     /* debug register number */
	KVMLOG_DETAIL_GVA = 9,	     /* guest linear address (INVLPG) */
};

/*
 * A guest seen for the first time. Stands before its first exit on its CPU, and by time
 * before all; exits of other CPUs may arrive before it.
 */
struct kvmlog_record_guest {
	__u8 type;
	__u8 isa;
	__u8 source;
	__u8 reserved;
	__u16 flags;
	__u16 reserved2;
	__u64 ns;

	__u64 start_boottime_ns; /* start of the process, CLOCK_BOOTTIME: with tgid the key no
				    reused pid shares */
	__u64 cgroup;		 /* cgroup v2 id, 0 unknown */
	__u8 comm[KVMLOG_COMM_BYTES];
	__u64 reserved3;

	__u32 config_epoch;
	__u32 tgid;
	__u32 reserved4;
	__u32 tid;
	__u64 reserved5[4];
	__u32 guest;
	__u16 vcpu;
	__u16 cpu;
};

enum kvmlog_loss {
	KVMLOG_LOSS_BUFFER_FULL =
		1, /* the source's buffers, its pending table or its guest list were full */
	KVMLOG_LOSS_MESSAGE = 2, /* a whole message of the source did not arrive */
	KVMLOG_LOSS_RESTART =
		3, /* the writer ended without stopping; what was under way is unknown */
};

/* Records are missing here. `cpu` says whose, KVMLOG_NO_CPU if all. */
struct kvmlog_record_loss {
	__u8 type;
	__u8 isa;
	__u8 source;
	__u8 reserved;
	__u16 flags;
	__u16 reserved2;
	__u64 ns;

	__u64 lost;  /* records, or messages for KVMLOG_LOSS_MESSAGE; 0 unknown */
	__u32 cause; /* enum kvmlog_loss */
	__u32 reserved3;
	__u64 total; /* lost on this CPU since tracing was switched on, same unit */
	__u64 reserved4;
	__u64 reserved5;

	__u32 config_epoch;
	__u32 reserved6;
	__u32 reserved7;
	__u32 tid;
	__u64 reserved8[4];
	__u32 guest;
	__u16 vcpu;
	__u16 cpu;
};

enum kvmlog_switch_cause {
	KVMLOG_SWITCH_COMMAND = 1,	 /* somebody asked */
	KVMLOG_SWITCH_RECEIVER_GONE = 2, /* the receiving socket closed */
	KVMLOG_SWITCH_UNLOAD = 3,	 /* the source went away */
	KVMLOG_SWITCH_ATTACHED = 4,	 /* KVM was loaded: exits are seen from here */
	KVMLOG_SWITCH_DETACHED = 5,	 /* KVM was unloaded: no exits from here */
	KVMLOG_SWITCH_LEASE = 6,	 /* the time that was asked for is over */
	KVMLOG_SWITCH_BUDGET = 7,	 /* tracing took more CPU time than it may */
};

/* Tracing was switched, or its configuration changed: config_epoch is the new one. */
struct kvmlog_record_switch {
	__u8 type;
	__u8 isa;
	__u8 source;
	__u8 reserved;
	__u16 flags;
	__u16 reserved2;
	__u64 ns;

	__u32 on;    /* 1 from here on, 0 not */
	__u32 cause; /* enum kvmlog_switch_cause */
	__u32 one_in;
	__u32 on_ms; /* sampling window; 0 and 0: always open */
	__u32 off_ms;
	__u32 filter_tgids; /* how many processes are traced, 0 all */
	__u64 reserved3[2];

	__u32 config_epoch;
	__u32 reserved4;
	__u32 reserved5;
	__u32 tid;
	__u64 reserved6[4];
	__u32 guest;
	__u16 vcpu;
	__u16 cpu;
};

enum kvmlog_clock_event {
	KVMLOG_CLOCK_ANCHOR = 1,  /* switched on: the clocks as they stand */
	KVMLOG_CLOCK_STEP = 2,	  /* wall time was set by delta_ns */
	KVMLOG_CLOCK_SUSPEND = 3, /* the host slept for delta_ns */
	KVMLOG_CLOCK_ZONE = 4,	  /* local time was moved by delta_ns: summer time, another zone */
};

/* At `ns` on CLOCK_MONOTONIC the other clocks showed this. */
struct kvmlog_record_clock {
	__u8 type;
	__u8 isa;
	__u8 source;
	__u8 reserved;
	__u16 flags;
	__u16 reserved2;
	__u64 ns;

	__u32 event; /* enum kvmlog_clock_event */
	__u32 reserved3;
	__s64 delta_ns;
	__u64 realtime_ns;
	__u64 boottime_ns;
	__u64 reserved4;

	__u32 config_epoch;
	__u32 reserved5;
	__u32 reserved6;
	__u32 tid;
	__u64 reserved7[4];
	__u32 guest;
	__u16 vcpu;
	__u16 cpu;
};

/* Host CPU `cpu` came online or went offline. */
struct kvmlog_record_cpu {
	__u8 type;
	__u8 isa;
	__u8 source;
	__u8 reserved;
	__u16 flags;
	__u16 reserved2;
	__u64 ns;

	__u32 online;
	__u32 reserved3;
	__u64 reserved4[4];

	__u32 config_epoch;
	__u32 reserved5;
	__u32 reserved6;
	__u32 tid;
	__u64 reserved7[4];
	__u32 guest;
	__u16 vcpu;
	__u16 cpu;
};

/*
 * Where every exit went: seen = emitted + filtered + sampled + dropped + pending.
 * Exits only; the other record types are counted in `notes`.
 */
struct kvmlog_counters {
	__u64 seen;	     /* exits that reached the source while it was on */
	__u64 emitted;	     /* written as a record */
	__u64 filtered;	     /* not of a guest asked for */
	__u64 sampled;	     /* left out by one-in-N or by the sampling window */
	__u64 dropped;	     /* lost: buffers or a table were full */
	__u64 pending;	     /* re-entry not seen yet */
	__u64 dropped_table; /* of dropped: the pending table was full */
	__u64 notes;	     /* records of other types */
};

#endif
