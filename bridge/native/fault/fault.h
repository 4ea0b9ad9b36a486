/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files cut short while they are mapped: touching a page behind their end is SIGBUS. A reader's
 * copy is given up with -ERANGE; a writer's process ends with a sentence and a defined status.
 */
#ifndef KVMLOG_NATIVE_FAULT_H
#define KVMLOG_NATIVE_FAULT_H

#include "api.h"

/*
 * Returns what @run does, or -ERANGE where it touched a page of @start .. @start + @bytes that its
 * file has lost. @run holds no lock and owns no memory that @argument does not lead to.
 */
int kvmlog_fault_guard(const void *start, __u64 bytes, int (*run)(void *argument), void *argument);

/* A file that this process writes, from here on until it is unmapped. */
void kvmlog_fault_watch(const void *start, __u64 bytes, int fd);
void kvmlog_fault_unwatch(const void *start);

#endif
