// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvmlog-vmx-guest: one vCPU that does what one of the guests in code.S does, until
 * that ends:
 *
 *     kvmlog-vmx-guest kinds [STEPS]   the first STEPS instructions one by one
 *     kvmlog-vmx-guest spin | window | dirty | level | nested
 *
 * It says for each return of KVM_RUN its reason, and ends with status 0 when the
 * guest came to its end. Only "level" has interrupt controllers in the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define INVALID_OPCODE 6
#define CPUID_ENTRIES 256
/* Behind the BIOS's own. */
#define TSS_ADDRESS 0xfffbd000
#define CODE_SELECTOR 8
#define DATA_SELECTOR 16

extern const char guest_kinds[], guest_kinds_end[], guest_kinds_skip[];
extern const char guest_spin[], guest_spin_end[];
extern const char guest_window[], guest_window_end[];
extern const char guest_dirty[], guest_dirty_end[];
extern const char guest_level[], guest_level_end[], guest_level_interrupt[];
extern const char guest_nested[], guest_nested_end[];

static const struct guest {
	const char *name;
	const char *code;
	const char *end;
	bool shuts_down; /* not done at DONE_PORT, but with a triple fault */
	bool logs_dirty;
	bool asks_for_window;
	bool has_apic;	/* and an I/O APIC, in the kernel */
	bool is_nested; /* runs a guest of its own */
} guests[] = {
	{ .name = "kinds", .code = guest_kinds, .end = guest_kinds_end, .shuts_down = true },
	{ .name = "spin", .code = guest_spin, .end = guest_spin_end },
	{ .name = "window", .code = guest_window, .end = guest_window_end, .asks_for_window = true },
	{ .name = "dirty", .code = guest_dirty, .end = guest_dirty_end, .logs_dirty = true },
	{ .name = "level", .code = guest_level, .end = guest_level_end, .has_apic = true },
	{ .name = "nested", .code = guest_nested, .end = guest_nested_end, .is_nested = true },
};

void die(const char *format, ...)
{
	va_list arguments;

	fputs("kvmlog-vmx-guest: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

int checked(int result, const char *what)
{
	if (result < 0)
		die("%s: %s", what, strerror(errno));
	return result;
}

static const struct guest *find_guest(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
		if (!strcmp(guests[i].name, name))
			return &guests[i];
	die("no guest is called %s", name);
}

static void add_doorbells(const struct machine *machine)
{
	struct kvm_ioeventfd any = { .addr = DOORBELL };
	struct kvm_ioeventfd choosy = {
		.addr = CHOOSY_DOORBELL,
		.len = 4,
		.datamatch = CHOOSY_VALUE,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	any.fd = checked(eventfd(0, EFD_CLOEXEC), "eventfd");
	choosy.fd = checked(eventfd(0, EFD_CLOEXEC), "eventfd");
	KVM(machine->vm, KVM_IOEVENTFD, &any);
	KVM(machine->vm, KVM_IOEVENTFD, &choosy);
}

static void add_memory(struct machine *machine)
{
	const struct guest *guest = machine->guest;
	const uint64_t skip = GUEST_CODE + (uint64_t)(guest_kinds_skip - guest_kinds);
	const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	const uint64_t taken = GUEST_CODE + (uint64_t)(guest_level_interrupt - guest_level);
	const uint64_t gate = CODE_SELECTOR << 16 | 0x8e00ULL << 32;
	const uint64_t of_opcode = gate | skip, of_level = gate | taken;

	machine->memory =
		mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (machine->memory == MAP_FAILED)
		die("mmap of the guest's memory: %s", strerror(errno));
	if (guest->end - guest->code > GUEST_CODE_BYTES)
		die("%s is too long", guest->name);
	memcpy(machine->memory + GUEST_CODE, guest->code, (size_t)(guest->end - guest->code));
	memcpy(machine->memory + GUEST_GDT, gdt, sizeof(gdt));
	memcpy(machine->memory + UNTOUCHED_IDT + 8 * INVALID_OPCODE, &of_opcode, sizeof(gate));
	memcpy(machine->memory + GUEST_IDT + 8 * LEVEL_VECTOR, &of_level, sizeof(gate));
	machine->region.memory_size = GUEST_BYTES;
	machine->region.userspace_addr = (uintptr_t)machine->memory;
	if (guest->logs_dirty)
		machine->region.flags = KVM_MEM_LOG_DIRTY_PAGES;
	KVM(machine->vm, KVM_SET_USER_MEMORY_REGION, &machine->region);
	KVM(machine->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
}

static void set_cpuid(const struct machine *machine)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	if (!cpuid)
		die("out of memory");
	cpuid->nent = CPUID_ENTRIES;
	KVM(machine->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	KVM(machine->vcpu, KVM_SET_CPUID2, cpuid);
	free(cpuid);
}

/* Enabled, as the guest's own start-up would do it. */
static void set_apic(const struct machine *machine)
{
	const uint32_t enabled = 0x1ff;
	struct kvm_lapic_state apic;

	KVM(machine->vcpu, KVM_GET_LAPIC, &apic);
	memcpy(apic.regs + APIC_SPURIOUS, &enabled, sizeof(enabled));
	KVM(machine->vcpu, KVM_SET_LAPIC, &apic);
}

static void set_io_apic(const struct machine *machine)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	KVM(machine->vm, KVM_GET_IRQCHIP, &chip);
	memset(&chip.chip.ioapic.redirtbl[LEVEL_LINE], 0, sizeof(chip.chip.ioapic.redirtbl[0]));
	chip.chip.ioapic.redirtbl[LEVEL_LINE].fields.vector = LEVEL_VECTOR;
	chip.chip.ioapic.redirtbl[LEVEL_LINE].fields.trig_mode = 1; /* level */
	KVM(machine->vm, KVM_SET_IRQCHIP, &chip);
}

static void set_line(const struct machine *machine, bool up)
{
	struct kvm_irq_level level = { .irq = LEVEL_LINE, .level = up };

	KVM(machine->vm, KVM_IRQ_LINE, &level);
}

static void set_registers(const struct machine *machine)
{
	const struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = 2 };
	struct kvm_segment flat = { .limit = 0xffffffff, .present = 1, .s = 1, .g = 1, .db = 1 };
	struct kvm_sregs sregs;

	KVM(machine->vcpu, KVM_GET_SREGS, &sregs);
	flat.selector = DATA_SELECTOR;
	flat.type = 3;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	flat.selector = CODE_SELECTOR;
	flat.type = 11;
	sregs.cs = flat;
	sregs.gdt.base = GUEST_GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 256 * 8 - 1;
	sregs.cr0 |= 1; /* protected mode */
	KVM(machine->vcpu, KVM_SET_SREGS, &sregs);
	KVM(machine->vcpu, KVM_SET_REGS, &regs);
}

static void set_stepping(const struct machine *machine, bool on)
{
	struct kvm_guest_debug debug = {
		.control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0,
	};

	KVM(machine->vcpu, KVM_SET_GUEST_DEBUG, &debug);
}

static void create(struct machine *machine)
{
	int run_bytes;

	machine->kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	machine->vm = KVM(machine->kvm, KVM_CREATE_VM, 0);
	add_memory(machine);
	add_doorbells(machine);
	if (machine->guest->has_apic)
		KVM(machine->vm, KVM_CREATE_IRQCHIP, 0);
	machine->vcpu = KVM(machine->vm, KVM_CREATE_VCPU, 0);
	run_bytes = KVM(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	machine->run =
		mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
	if (machine->run == MAP_FAILED)
		die("mmap of the vCPU: %s", strerror(errno));
	set_cpuid(machine);
	set_registers(machine);
	if (machine->guest->has_apic) {
		set_apic(machine);
		set_io_apic(machine);
	}
	if (machine->guest->is_nested)
		nested_prepare(machine);
	if (machine->steps)
		set_stepping(machine, true);
}

/* KVM's account of written pages begins anew. */
static void take_dirty_log(const struct machine *machine)
{
	static uint64_t bitmap[GUEST_BYTES / 4096 / 64 + 1];
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };

	KVM(machine->vm, KVM_GET_DIRTY_LOG, &log);
}

static void handle_io(const struct machine *machine)
{
	const struct kvm_run *run = machine->run;
	uint32_t value;

	if (run->io.port == DONE_PORT && machine->guest->is_nested) {
		memcpy(&value, (const uint8_t *)run + run->io.data_offset, sizeof(value));
		if (value != VMX_HLT)
			die("L1 has had the exit %#x", value);
	}
	if (run->io.port != PORT)
		return;
	if (machine->guest->has_apic)
		set_line(machine, *((const uint8_t *)run + run->io.data_offset));
	if (machine->guest->logs_dirty)
		take_dirty_log(machine);
	if (machine->guest->asks_for_window)
		machine->run->request_interrupt_window = true;
}

/* False: the guest has come to its end. */
static bool handle(struct machine *machine)
{
	struct kvm_run *run = machine->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(machine);
		return run->io.port != DONE_PORT || machine->guest->shuts_down;
	case KVM_EXIT_MMIO:
	case KVM_EXIT_HLT:
		return true;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		run->request_interrupt_window = false;
		return true;
	case KVM_EXIT_DEBUG:
		if (!--machine->steps)
			set_stepping(machine, false);
		return true;
	case KVM_EXIT_SHUTDOWN:
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		die("entry refused: %#llx", run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		die("internal error %u", run->internal.suberror);
	default:
		die("unexpected reason %u", run->exit_reason);
	}
}

int main(int argc, char **argv)
{
	struct machine machine = { .steps = argc > 2 ? atoi(argv[2]) : 0 };

	if (argc < 2 || argc > 3)
		die("which guest?");
	machine.guest = find_guest(argv[1]);
	create(&machine);
	do {
		checked(ioctl(machine.vcpu, KVM_RUN, 0), "KVM_RUN");
		printf("KVM_EXIT %u\n", machine.run->exit_reason);
	} while (handle(&machine));
	return 0;
}
