/* SPDX-License-Identifier: GPL-2.0-only */
/* The worker that delivers what the buffers hold. */
#ifndef _KVMLOG_FLUSH_H
#define _KVMLOG_FLUSH_H

#include <linux/percpu.h>
#include <linux/types.h>

#include "buffer.h"

enum {
	KVMLOG_FLUSH_RETRY_MS = 2,    /* when the receiver is slow or memory is short */
	KVMLOG_FLUSH_LOSSES_MS = 500, /* without a batch, until losses are reported without one */
};

/* What one CPU's buffer has gone through, for the status. */
struct kvmlog_cpu_status {
	u64 dropped;
	u64 messages;
	u64 bytes;
};

/* @interval: called before each timed flush, and by end(); it may write notes, not wait. */
int kvmlog_flush_init(void (*interval)(void));
void kvmlog_flush_exit(void);

/*
 * Process context; callers hold the session's mutex. After start(): end() returns when no
 * flush runs any more. Then drain() delivers what the receiver takes now, false when
 * something had to stay; discard() counts that as dropped, and frees the buffers.
 */
int kvmlog_flush_start(void);
void kvmlog_flush_end(void);
bool kvmlog_flush_drain(void);
void kvmlog_flush_discard(void);
bool kvmlog_flush_running(void);

/* On a CPU that comes online, before anything else runs there: it gets its buffer. */
void kvmlog_flush_cpu_online(int cpu);

/* Runs the worker as soon as possible. Not from a probe: see kvmlog_flush_wake(). */
void kvmlog_flush_now(void);

/* The same from a probe: by an interrupt that this CPU sends itself. Preemption disabled. */
void kvmlog_flush_wake(void);

/*
 * Wakes the worker when enough is complete. Called at an exit, not at an entry: there
 * interrupts are off until the guest runs, and would throw it out again at once.
 */
static __always_inline void kvmlog_flush_wake_if_needed(void)
{
	if (unlikely(this_cpu_read(kvmlog_buffers.wakeup)))
		kvmlog_flush_wake();
}

/* False: the CPU has no buffer and never had one. */
bool kvmlog_flush_cpu_status(int cpu, struct kvmlog_cpu_status *status);
unsigned int kvmlog_flush_interval_ms(void);

#endif
