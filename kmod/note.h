/* SPDX-License-Identifier: GPL-2.0-only */
/* Notes: records of other types than EXIT, at their place in the stream. */
#ifndef _KVMLOG_NOTE_H
#define _KVMLOG_NOTE_H

#include <linux/types.h>

#include <kvmlog/record.h>

/*
 * Fills in what all records share (the time unless it is set) and writes one of
 * another type than EXIT at the current place of this CPU's stream. False: no
 * room, also none of what is kept for notes; the caller tries again, or counts it
 * with kvmlog_note_lost(). Any context but NMI.
 */
bool kvmlog_note_write(void *record, enum kvmlog_record_type type);
void kvmlog_note_lost(void);

/*
 * Writes the SWITCH record: tracing is @on from here, under the configuration that is published
 * now; nothing when there is none. Process context; waits for nothing.
 */
void kvmlog_note_switch(enum kvmlog_switch_cause cause, bool on);

#endif
