/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pump's state, and what its files offer each other, the lowest first. pump.c is the
 * loop; where records come from it knows by struct kvmlog_pump_input only.
 */
#ifndef KVMLOG_NATIVE_PUMP_H
#define KVMLOG_NATIVE_PUMP_H

#include "ring/writer.h"

struct kvmlog_pump;

/* Where records come from. With the writer's lock held, but for drain. */
struct kvmlog_pump_input {
	/* Nothing to poll for: it is drained whenever the pump wakes up. */
	int is_polled;
	/*
	 * Takes what is there, or a good part of it. *again_ms: when to look again, 0: there
	 * may be more, -1: when the pump is woken. 0, or -errno: this input has failed.
	 */
	int (*drain)(struct kvmlog_pump *pump, int *again_ms);
	/* See kvmlog_pump_received(). */
	__u64 (*received)(const struct kvmlog_pump *pump, __u32 cpu);
	/* See kvmlog_pump_settle(). */
	void (*settle)(struct kvmlog_pump *pump, __u16 number, __u64 messages, __u64 dropped);
	/* See kvmlog_pump_restart(); NULL: losses are counted from 0 anyway. */
	void (*restart)(struct kvmlog_pump *pump);
};

/* One CPU's stream, since tracing was switched on. */
struct kvmlog_pump_cpu {
	__u64 next;	     /* sequence of the message expected next; netlink only */
	__u64 dropped;	     /* records, as the source said last */
	__u64 lost_messages; /* that never came; netlink only */
};

/* Whether the pump tells of the host's clocks and CPUs. The writer's lock covers all but event_fd. */
struct kvmlog_watch {
	int on;
	int event_fd; /* the kernel's events; -1: none to be had */
	__u32 config_epoch;
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
	int clock_fd;
	const struct kvmlog_pump_input *input;
	int data_fd; /* netlink: the socket, or -1 */
	__u16 family;
	struct kvmlog_bpf_maps *maps; /* BPF: borrowed */
	struct kvmlog_watch watch;
	struct kvmlog_statistics *counted; /* borrowed, or NULL */
	struct kvmlog_guests_waiting waiting;
	__u64 heartbeat_ms; /* when the next one is due */
	__u8 scratch[KVMLOG_BATCH_RECORDS * KVMLOG_RECORD_BYTES];
};

/* stream.c, with the writer's lock held. */
struct kvmlog_pump_cpu *kvmlog_pump_cpu(struct kvmlog_pump *pump, __u32 number);
void kvmlog_pump_epoch(struct kvmlog_pump *pump, __u32 config_epoch);
void kvmlog_pump_note(struct kvmlog_pump *pump, const void *record);
void kvmlog_pump_refuse(struct kvmlog_pump *pump);
void kvmlog_pump_lose_messages(struct kvmlog_pump *pump, __u16 number, __u64 lost, __u64 ns);
void kvmlog_pump_lose_records(struct kvmlog_pump *pump, __u16 number, __u64 dropped, __u64 ns);

/* guests.c, with the writer's lock held. */
void kvmlog_pump_tell_guest(struct kvmlog_pump *pump, const struct kvmlog_record_guest *note);

/*
 * take.c: what stands in the ring from index @first on, @count records of which @exits are
 * exits, into the statistics; guests among them for Python. With the writer's lock held,
 * but for kvmlog_pump_fold().
 */
void kvmlog_pump_take(struct kvmlog_pump *pump, __u64 first, __u64 count, __u64 exits);
void kvmlog_pump_take_from(struct kvmlog_pump *pump, const struct kvmlog_record *records,
			   __u64 count, __u64 exits);
void kvmlog_pump_fold(struct kvmlog_pump *pump);

/* clocks.c, hotplug.c: without the lock; watch_cpus in the pump's thread. */
void kvmlog_pump_heartbeat(struct kvmlog_pump *pump);
void kvmlog_pump_watch_clocks(struct kvmlog_pump *pump);
int kvmlog_hotplug_open(void);
void kvmlog_pump_watch_cpus(struct kvmlog_pump *pump);

/* pump.c. While the pump does not run. @fd, @maps: what the input reads from, -1 or NULL without. */
void kvmlog_pump_set_input(struct kvmlog_pump *pump, const struct kvmlog_pump_input *input, int fd,
			   struct kvmlog_bpf_maps *maps);

/* batch.c */
int kvmlog_batch_check(const void *head, __u64 bytes, __u32 sender_port, int truncated,
		       __u16 family, struct kvmlog_batch *batch);

/* netlink.c. @head: the message's first bytes; its records stand behind the ring's head. */
void kvmlog_pump_message_came(struct kvmlog_pump *pump, const void *head, __u64 bytes,
			      __u32 sender_port, int truncated);

#endif
