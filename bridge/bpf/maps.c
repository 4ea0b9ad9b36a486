// SPDX-License-Identifier: GPL-2.0-only
/*
 * The BPF source. kvmlog.sources.bpf.program_text joins the files of this folder into one
 * text, this one first, and bcc compiles it. What depends on the running kernel
 * comes as macros (kvmlog.sources.bpf.plan), the offsets among them from its BTF:
 *
 *   KVMLOG_ISA              enum kvmlog_isa of the exits
 *   KVMLOG_REASON_VCPU      reasons are read from the vendor's vCPU, or
 *   KVMLOG_REASON_EVENT     come from the fields of the event kvm_exit, or
 *   KVMLOG_REASON_NONE      cannot be had: only returns to user space are seen
 *   KVMLOG_VCPU             tracepoints pass a vCPU whose layout is known
 *   KVMLOG_TASK             struct task_struct's layout is known
 *   KVMLOG_RIP_UNSURE       guests may be protected, and which are is not known
 *   KVMLOG_AT_*             offsets in bytes
 *   KVMLOG_ARGUMENT_*       which of a tracepoint's arguments it is
 *   KVMLOG_DECODE_ASSISTS   the CPU has that feature
 *   KVMLOG_*_BYTES          sizes of what is shared, as the engine knows them
 *
 * A tracepoint that passes a vCPU is hooked with its BTF (tp_btf): then reading
 * through the pointer costs one instruction and the check of its range, where
 * bpf_probe_read_kernel() costs some sixty.
 */
#include <kvmlog/record.h>

#include "shared.h"

#define kvmlog_exit_t struct kvmlog_bpf_slot
#include <kvmlog/exit.h>

_Static_assert(sizeof(struct kvmlog_bpf_control) == KVMLOG_CONTROL_BYTES &&
		       sizeof(struct kvmlog_bpf_cpu) == KVMLOG_CPU_BYTES &&
		       sizeof(struct kvmlog_bpf_slot) == KVMLOG_SLOT_BYTES,
	       "the log engine was built from another shared.h: build it again");

#ifdef KVMLOG_VCPU
#define kvmlog_load(type, base, at) (*(type *)((base) + (at)))
#endif

/*
 * bcc makes maps of its own while it compiles, which nobody uses: of one element. How many the real
 * ones have is decided when they are made (kvmlog.sources.bpf.loader), so that what is compiled
 * fits machines of any size.
 */

BPF_F_TABLE("array", int, struct kvmlog_bpf_control, kvmlog_control, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct kvmlog_bpf_cpu, kvmlog_cpus, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct kvmlog_record, kvmlog_records, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct kvmlog_bpf_slot, kvmlog_slots, 1, BPF_F_MMAPABLE);
BPF_TABLE("hash", u32, u32, kvmlog_threads, 1);
BPF_QUEUE(kvmlog_free, u32, 1);
BPF_TABLE("hash", struct kvmlog_bpf_guest_key, struct kvmlog_bpf_guest, kvmlog_guests, 1);
BPF_TABLE("hash", struct kvmlog_bpf_tgid, u8, kvmlog_tgids, 1);

#define kvmlog_add(counter, n) __sync_fetch_and_add(&(counter), n)
#define kvmlog_barrier() asm volatile("" ::: "memory")

/*
 * Where a program runs, and in whose name. Not found while tracing is off: a program may
 * begin a moment after it was detached.
 */
struct kvmlog_here {
	struct kvmlog_bpf_cpu *cpu;
	u32 number;
	u32 tid;
	u32 tgid;
	bool has_event; /* cpu has what the event kvm_exit said of the exit that is under way */
};

static __always_inline bool kvmlog_find_here(struct kvmlog_here *here)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();

	here->number = bpf_get_smp_processor_id();
	here->tid = (u32)pid_tgid;
	here->tgid = pid_tgid >> 32;
	here->cpu = kvmlog_cpus.lookup(&here->number);
	return here->cpu && here->cpu->on;
}

/* Time that this thread has stood runnable without a CPU. */
static __always_inline u64 kvmlog_run_delay_ns(void)
{
#ifdef KVMLOG_AT_RUN_DELAY
	u64 task = (u64)bpf_get_current_task_btf();

	return *(u64 *)(task + KVMLOG_AT_RUN_DELAY);
#else
	return 0;
#endif
}
