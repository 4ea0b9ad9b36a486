/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmlog's door for other hypervisors' modules: hand in records of your own.
 *
 *	if (kvmlog_enabled()) {
 *		struct kvmlog_record record = { .type = KVMLOG_RECORD_EXIT, ... };
 *
 *		kvmlog_emit(&record);
 *	}
 *
 * kvmlog_enabled() is a patched jump: while tracing is off it costs one no-op.
 */
#ifndef _KVMLOG_KVMLOG_H
#define _KVMLOG_KVMLOG_H

#include <linux/jump_label.h>
#include <linux/types.h>

#include <kvmlog/record.h>

DECLARE_STATIC_KEY_FALSE(kvmlog_key);

static inline bool kvmlog_enabled(void)
{
	return static_branch_unlikely(&kvmlog_key);
}

/**
 * kvmlog_emit - write one complete exit record into the stream
 * @record: the record; type must be KVMLOG_RECORD_EXIT. source, config_epoch and
 *          reserved are filled in by kvmlog, everything else is taken as it is.
 *
 * Context: any but NMI; takes no sleeping lock and allocates nothing.
 *
 * Return: 0 when written; -EINVAL for another type; -ENODEV while tracing is off;
 * -ENOSPC when this CPU's buffers are full (counted as dropped); -EBUSY from NMI
 * (counted as dropped).
 */
int kvmlog_emit(const struct kvmlog_record *record);

#endif
