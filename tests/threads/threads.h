/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the meetings of threads in this folder have in common. */
#ifndef KVMLOG_TESTS_THREADS_H
#define KVMLOG_TESTS_THREADS_H

#include <stdlib.h>

#include "pump/pump.h"
#include "ring/ring.h"
#include "ring/writer.h"

/* Ends the program: what must not happen has. */
#define must(condition) ((condition) ? (void)0 : fail(#condition, __FILE__, __LINE__))

enum {
	SLOTS = 1024,
	THREADS_MOST = 8,
};

/* One thread: @turn is called again and again until the meeting ends, once at least. */
struct part {
	void (*turn)(__u64 number);
	__u64 turns; /* it has to make; 0: until those that have a number are done */
	__u64 made;
};

_Noreturn void fail(const char *condition, const char *file, int line);
/* Runs all parts beside each other and prints how many turns each made. */
void meet(struct part *parts, int count);

/* A ring in a file without a name, and its writer: one mapping, which readers share. */
struct kvmlog_writer *new_writer(void);
void free_writer(struct kvmlog_writer *writer);
/* A batch of exits, whose every field follows from its number. */
__u32 make_batch(__u64 number, struct kvmlog_record *records);
int is_of_batch(const struct kvmlog_record *record);

void meet_at_ring(__u64 turns);
void meet_at_statistics(__u64 turns);
void meet_at_pump(__u64 turns);
void meet_without_protocol(__u64 turns);

#endif
