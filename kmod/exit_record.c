// SPDX-License-Identifier: GPL-2.0-only
/* An exit's record where no re-entry completes it; all else is inlined (exit_record.h). */
#include <linux/build_bug.h>

#include "exit_record.h"

static_assert((int)KVMLOG_RAX == (int)VCPU_REGS_RAX && (int)KVMLOG_RCX == (int)VCPU_REGS_RCX &&
	      (int)KVMLOG_RIP == (int)KVMLOG_REG_RIP);
static_assert(KVMLOG_EINTR == EINTR);

u16 kvmlog_exit_record_nested = KVMLOG_F_NESTED;

void kvmlog_exit_record_give_up(struct kvmlog_vcpu_state *state)
{
	kvmlog_exit_not_reentered(&state->record);
	kvmlog_exit_record_finish(state, 0);
}

void kvmlog_exit_record_peek(const struct kvmlog_vcpu_state *state, struct kvmlog_record *record)
{
	*record = state->record;
	kvmlog_exit_record_fill_times(state, record);
	kvmlog_exit_not_reentered(record);
}
