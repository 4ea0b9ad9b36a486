/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer of a ring, as the engine has it besides what api.h offers Python. */
#ifndef KVMLOG_NATIVE_WRITER_H
#define KVMLOG_NATIVE_WRITER_H

#include <pthread.h>

#include "ring/ring.h"
#include "ring/watch.h"

/* The one writer of a ring. `lock` covers reserve, head, the slots, all header fields
 * and `watch`: the pump's thread and Python's control thread both write. It is taken
 * once per batch, never held over a call that sleeps.
 */
struct kvmlog_writer {
	struct kvmlog_ring ring;
	pthread_mutex_t lock;
	struct kvmlog_clock_watch watch;
};

/* What a LOSS record says. */
struct kvmlog_loss_note {
	__u32 cause;
	__u16 cpu;
	__u64 lost;
	__u64 total;
	__u64 ns; /* CLOCK_MONOTONIC of the gap, 0: now */
};

/* With the writer's lock held: */
void kvmlog_writer_reserve(struct kvmlog_writer *writer, __u64 count);
void kvmlog_writer_publish(struct kvmlog_writer *writer, __u64 count);
void kvmlog_writer_count(struct kvmlog_writer *writer, __u64 exits);
void kvmlog_writer_copy(struct kvmlog_writer *writer, const void *records, __u64 count);
void kvmlog_writer_info_begin(struct kvmlog_writer *writer);
void kvmlog_writer_info_end(struct kvmlog_writer *writer);
void kvmlog_writer_note_loss(struct kvmlog_writer *writer, const struct kvmlog_loss_note *note);

#endif
