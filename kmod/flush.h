/* SPDX-License-Identifier: GPL-2.0-only */
/* From the probes' buffers to the receiver: writing notes, flushing, starting and stopping it. */
#ifndef _KVMLOG_FLUSH_H
#define _KVMLOG_FLUSH_H

#include <linux/types.h>

#include <kvmlog/record.h>

/* What one CPU's buffers have gone through, for the status. */
struct kvmlog_cpu_status {
	u64 dropped;
	u64 messages;
	u64 bytes;
};

int kvmlog_batch_init(void);
void kvmlog_batch_exit(void);

/* Process context; callers hold session.c's mutex. stop() returns when no flush runs any more. */
int kvmlog_batch_start(void);
void kvmlog_batch_stop(unsigned long deadline);

/*
 * Fills in what all records share (the time unless it is set) and writes one of
 * another type than EXIT at the current place of this CPU's stream. False: no
 * room (nothing is counted as dropped: no exit is lost). Any context but NMI.
 */
bool kvmlog_batch_note(void *record, enum kvmlog_record_type type);

/* How long a slow receiver is waited for, from now; in jiffies. One for each switching off. */
unsigned long kvmlog_batch_deadline(void);
/*
 * Process context: waits until this CPU's buffers have room again, or @deadline
 * has passed. For records that come in bursts while switching off.
 */
void kvmlog_batch_wait_for_room(unsigned long deadline);

bool kvmlog_batch_cpu_status(int cpu, struct kvmlog_cpu_status *status);
unsigned int kvmlog_batch_flush_interval_ms(void);

#endif
