/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pump's state, and what its loop (pump.c) and its two inputs share. */
#ifndef KVMLOG_NATIVE_PUMP_H
#define KVMLOG_NATIVE_PUMP_H

#include "ring/ring.h"

/* One CPU's stream, since tracing was switched on. */
struct kvmlog_pump_cpu {
	__u64 next;	     /* sequence of the message expected next; netlink only */
	__u64 dropped;	     /* records, as the source said last */
	__u64 lost_messages; /* that never came; netlink only */
};

/* Where an offset between two clocks lies. */
struct kvmlog_interval {
	__s64 low;
	__s64 high;
};

/* watch.c: the host's clocks and CPUs, while `on`. The writer's lock covers all but event_fd. */
struct kvmlog_watch {
	int on;
	int event_fd; /* the kernel's events; -1: none to be had */
	__u32 config_epoch;
	struct kvmlog_interval real, boot; /* to CLOCK_MONOTONIC */
	__s64 real_told_ns, boot_told_ns;  /* the offsets that the last record told */
};

/* Guests that were announced and not yet told to Python. The writer's lock covers it. */
struct kvmlog_guests_waiting {
	int event_fd; /* readable while there are some */
	__u32 count;
	__u64 missed; /* for which there was no room */
	struct kvmlog_record_guest guests[KVMLOG_GUESTS_WAITING];
};

/* The writer's lock covers all but the descriptors and the fields of the running loop. */
struct kvmlog_pump {
	struct kvmlog_writer *writer;
	struct kvmlog_pump_cpu *cpus; /* KVMLOG_NO_CPU of them; untouched ones take no memory */
	__u32 cpus_used;	      /* of them, from 0 on */
	struct kvmlog_pump_statistics statistics;
	int stop_fd;
	int wake_fd;
	int data_fd; /* netlink socket, or -1 */
	__u16 family;
	struct kvmlog_bpf_maps *maps; /* borrowed, or NULL */
	struct kvmlog_watch watch;
	struct kvmlog_statistics *counted; /* borrowed, or NULL */
	struct kvmlog_guests_waiting waiting;
	__u64 heartbeat_ms; /* when the next one is due */
	__u8 scratch[KVMLOG_BATCH_RECORDS * KVMLOG_RECORD_BYTES];
};

/* With the writer's lock held: */
struct kvmlog_pump_cpu *kvmlog_pump_cpu(struct kvmlog_pump *pump, __u32 number);
void kvmlog_pump_epoch(struct kvmlog_pump *pump, __u32 config_epoch);
void kvmlog_pump_lose_messages(struct kvmlog_pump *pump, __u16 number, __u64 lost, __u64 ns);
void kvmlog_pump_lose_records(struct kvmlog_pump *pump, __u16 number, __u64 dropped, __u64 ns);

/*
 * take.c: what stands in the ring from index @first on, @count records of which
 * @exits are exits, into the statistics; guests among them for Python.
 */
void kvmlog_pump_take(struct kvmlog_pump *pump, __u64 first, __u64 count, __u64 exits);
void kvmlog_pump_take_from(struct kvmlog_pump *pump, const struct kvmlog_record *records,
			   __u64 count, __u64 exits);
void kvmlog_pump_fold(struct kvmlog_pump *pump);

/* netlink.c. 0: nothing left; 1: stopped at its limit, there may be more; else -errno. */
int kvmlog_pump_drain_socket(struct kvmlog_pump *pump);

/* bpf.c. Takes all there is; returns when to look again, in ms, -1: when woken. */
int kvmlog_pump_drain_maps(struct kvmlog_pump *pump);

/* watch.c, in the pump's thread. */
int kvmlog_watch_open(void);
void kvmlog_watch_clocks(struct kvmlog_pump *pump);
void kvmlog_watch_events(struct kvmlog_pump *pump);

#endif
