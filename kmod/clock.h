/* SPDX-License-Identifier: GPL-2.0-only */
/* Marks clock steps and suspend in the stream. */
#ifndef _KVMLOG_CLOCK_H
#define _KVMLOG_CLOCK_H

/* Before tracing is switched on: remembers the clocks as they stand; then: marks them. */
void kvmlog_clock_start(void);
void kvmlog_clock_anchor(void);

/* Marks what has changed since. Process context, one caller at a time. */
void kvmlog_clock_check(void);

#endif
