// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another hypervisor's module, as small as it gets: hands in records through
 * kvmlog_emit() when it is loaded, from process context and from an interrupt.
 * What each call returned stands in read-only parameters.
 */
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/module.h>

#include <kvmlog/kvmlog.h>

static unsigned int count = 1;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "records to emit from process context, and as many from an interrupt");

static bool enabled;
module_param(enabled, bool, 0444);
static int wrong_type_result;
module_param(wrong_type_result, int, 0444);
static unsigned int written;
module_param(written, uint, 0444);
static unsigned int written_in_irq;
module_param(written_in_irq, uint, 0444);
static int last_error;
module_param(last_error, int, 0444);

enum {
	REASON_PROCESS = 0x5e57,
	REASON_IRQ = 0x5e58
};

static unsigned int emit(u32 reason)
{
	unsigned int done = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct kvmlog_record record = {
			.type = KVMLOG_RECORD_EXIT,
			.isa = KVMLOG_ISA_ARM64,
			.reason = reason,
			.total_ns = i,
			.guest = 0xfffffff0,
			.vcpu = 7,
			.cpu = raw_smp_processor_id(),
			.tid = current->pid,
		};
		int err = kvmlog_emit(&record);

		if (err)
			last_error = err;
		else
			done++;
	}
	return done;
}

static void emit_in_irq(struct irq_work *work)
{
	written_in_irq = emit(REASON_IRQ);
}

static struct irq_work irq_emitter;

static int __init kvmlog_emit_test_init(void)
{
	struct kvmlog_record wrong = { .type = KVMLOG_RECORD_LOSS };

	enabled = kvmlog_enabled();
	wrong_type_result = kvmlog_emit(&wrong);
	written = emit(REASON_PROCESS);
	init_irq_work(&irq_emitter, emit_in_irq);
	irq_work_queue(&irq_emitter);
	irq_work_sync(&irq_emitter);
	return 0;
}

static void __exit kvmlog_emit_test_exit(void)
{
}

module_init(kvmlog_emit_test_init);
module_exit(kvmlog_emit_test_exit);

MODULE_DESCRIPTION("Test of kvmlog_emit()");
MODULE_LICENSE("GPL");
