/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the BPF programs and the log engine share: the maps, which both have mapped.
 * Internal to one version of kvmlog: programs and engine are always of the same.
 *
 * Each CPU has its part of the records' map, a ring of KVMLOG_BPF_CPU_RECORDS. The map is there
 * while tracing is on, and so are the programs, which refer to it:
 *
 *   program  busy 0 -> 1, else the record is lost (and counted)
 *            head - tail < KVMLOG_BPF_CPU_RECORDS, else the same
 *            write record head % KVMLOG_BPF_CPU_RECORDS
 *            head = head + 1                     full barrier
 *            busy = 0
 *
 *   engine   h = head                            acquire
 *            take records tail .. h - 1
 *            tail = h                            release
 *
 * `busy` is for kernels that call programs preemptible: another thread's may begin
 * on the same CPU before this one has finished.
 */
#ifndef KVMLOG_BPF_SHARED_H
#define KVMLOG_BPF_SHARED_H

#include <kvmlog/netlink.h>
#include <kvmlog/record.h>

enum kvmlog_bpf_limit {
	KVMLOG_BPF_CPU_RECORDS = 4096, /* a power of two */
	KVMLOG_BPF_TGIDS = 512, /* twice KVMLOG_MAX_TGIDS: of the old and the new configuration */
	KVMLOG_BPF_POLL_MS = 10,
};

/* Map kvmlog_tgids: a process that is traced, under configuration 0 or 1. */
struct kvmlog_bpf_tgid {
	__u32 config;
	__u32 tgid;
};

struct kvmlog_bpf_config {
	__u64 window_ns; /* CLOCK_MONOTONIC when the sampling window first opened ... */
	__u64 open_ns;	 /* ... it is open this long ... */
	__u64 period_ns; /* ... out of this long; 0: always */
	__u64 until_ns;	 /* CLOCK_MONOTONIC when the lease ends; 0: never */
	__u32 epoch;
	__u32 one_in;
	__u32 tgids; /* how many processes are traced, 0 all */
	__u32 reserved;
};

/* Map kvmlog_control, one element. Written by the engine, but for the last two. */
struct kvmlog_bpf_control {
	__u32 on;     /* for the engine itself: programs look at their CPU's */
	__u32 active; /* which of the configurations holds */
	struct kvmlog_bpf_config configs[2];
	__u64 slots;	  /* how many kvmlog_slots has: threads that run vCPUs at once */
	__u64 last_guest; /* highest number given to a guest so far */
	__u64 slots_used; /* slots that were ever taken: how far to look */
};

/* Map kvmlog_cpus, one for each possible CPU; written by programs on it, but for tail. */
struct kvmlog_bpf_cpu {
	__u64 head; /* records written into this CPU's part of kvmlog_records */
	__u64 busy;
	__u64 lost;	/* exits dropped here; the engine sets it to 0 when switching on */
	__u64 taken;	/* exits that have a slot */
	__u64 filtered; /* as in struct kvmlog_counters, as are the next two */
	__u64 sampled;
	__u64 dropped_table;
	__u64 dropped_full; /* exits for which there was no room in kvmlog_records */
	__u64 notes;	    /* of head: records of other types */
	__u32 skip;	    /* one-in-N: exits still to be left out */
	__u32 last_tid;	    /* thread whose slot was looked for last, and where it is */
	__u32 last_slot;
	__u32 on; /* written by the engine: programs that find 0 do nothing */

	/* What the event kvm_exit told last on this CPU; bpf_reason "event" only. */
	__u32 event_tid; /* whose exit it was; 0: it has been taken */
	__u32 reason;
	__u64 info1;
	__u64 info2;
	__u64 rip;
	__u32 intr_info;
	__u32 vcpu_id;

	__u64 tail; /* records that the engine has taken; alone on its cache line */
	__u64 reserved_tail[7];
};

/*
 * Map kvmlog_slots: the exit that a thread is in, as far as it is known. A thread
 * keeps its slot until it ends; map kvmlog_threads tells which, kvmlog_free those
 * that were given back.
 */
struct kvmlog_bpf_slot {
	struct kvmlog_record record;
	__u32 tid; /* whose it is; 0: free */
	__u32 tgid;
	__u64 vcpu;  /* address; 0 where it cannot be had */
	__u64 kvm;   /* address of its guest, the same */
	__u64 vmcb;  /* SVM: address of the VMCB that is in use unless a nested guest runs */
	__u64 exits; /* least that vcpu->stat.exits can be at the next exit of the same vCPU */
	__u64 delay_exit_ns;   /* run delay of the thread at the exit ... */
	__u64 delay_user_ns;   /* ... and at the first return from KVM_RUN */
	__u64 user_since_ns;   /* that return */
	__u64 paused_since_ns; /* last return, if it was with -EINTR; 0: it was not */
	__u32 pending;	       /* set last, cleared first: the record is one to be written */
	__u32 announced;       /* the guest's record stands in the stream */
	__u32 index;	       /* which slot this is */
	__u32 vcpu_flags;      /* of each exit of this vCPU: KVMLOG_F_PROTECTED */
	/* Whole cache lines: threads on two CPUs, whose slots are neighbours, share none. */
	__u64 reserved[7];
};

/* Map kvmlog_guests. */
struct kvmlog_bpf_guest_key {
	__u64 kvm;
	__u32 tgid;
	__u32 reserved;
};

struct kvmlog_bpf_guest {
	__u64 number;
	__u64 refs; /* slots */
	__u64 announced;
};

#endif
