/* SPDX-License-Identifier: GPL-2.0-only */
/* Notes: records of other types than EXIT, at their place in the stream. */
#ifndef _KVMLOG_NOTE_H
#define _KVMLOG_NOTE_H

#include <linux/types.h>

#include <kvmlog/record.h>

/*
 * Fills in what all records share (the time unless it is set) and writes one of
 * another type than EXIT at the current place of this CPU's stream. False: no
 * room (nothing is counted as dropped: no exit is lost). Any context but NMI.
 */
bool kvmlog_note_write(void *record, enum kvmlog_record_type type);

/* How long a slow receiver is waited for, from now; in jiffies. One for each switching off. */
unsigned long kvmlog_note_deadline(void);

/*
 * Process context: waits until this CPU's buffer has room again, or @deadline
 * has passed. For records that come in bursts while switching off.
 */
void kvmlog_note_wait_for_room(unsigned long deadline);

/*
 * Writes the SWITCH record: tracing is @on from here, under the configuration that is published
 * now; nothing when there is none. Process context; waits for room until @deadline.
 */
void kvmlog_note_switch(enum kvmlog_switch_cause cause, bool on, unsigned long deadline);

#endif
