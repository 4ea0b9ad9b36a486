/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records as differences from what is to be expected: of the vCPU's last record, of its last
 * record with this reason, and of the last record at all (docs/recording-format.md). Both
 * directions stand side by side, field by field.
 *
 * Whatever its type, a record is taken as struct kvmlog_record: each byte of it belongs to one
 * field, and arithmetic is modulo the field's size, so that any bytes survive both ways.
 */
#ifndef KVMLOG_NATIVE_RESIDUAL_H
#define KVMLOG_NATIVE_RESIDUAL_H

#include "api.h"

enum {
	KVMLOG_RESIDUAL_VCPUS = 1 << 10,
	KVMLOG_RESIDUAL_REASONS = 1 << 12,
};

/* What is to be expected; all zero before a block's first record. */
struct kvmlog_residual_state {
	struct kvmlog_record last;
	struct kvmlog_record of_vcpu[KVMLOG_RESIDUAL_VCPUS];
	struct kvmlog_record of_reason[KVMLOG_RESIDUAL_REASONS];
};

void kvmlog_residual_take(struct kvmlog_residual_state *state, const struct kvmlog_record *record,
			  struct kvmlog_record *residual);
void kvmlog_residual_restore(struct kvmlog_residual_state *state,
			     const struct kvmlog_record *residual, struct kvmlog_record *record);

#endif
