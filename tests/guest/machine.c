// SPDX-License-Identifier: GPL-2.0-or-later
/* The virtual machine: memory, vCPUs, and what user space does at an exit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define FRAGMENT(name) extern const uint8_t guest_##name[], guest_##name##_end[]
FRAGMENT(cpuid);
FRAGMENT(pio);
FRAGMENT(mmio);
FRAGMENT(hlt_user);
FRAGMENT(hlt_timer);
FRAGMENT(rdmsr);
FRAGMENT(wrmsr);
FRAGMENT(spin);
FRAGMENT(timer);
FRAGMENT(ipi);
FRAGMENT(again);
FRAGMENT(finish);
FRAGMENT(interrupt);

#define CODE_SELECTOR 8
#define DATA_SELECTOR 16
#define FLAT_CODE 0x00cf9b000000ffffULL /* base 0, limit 4 GiB, 32-bit, execute and read */
#define FLAT_DATA 0x00cf93000000ffffULL /* the same, read and write */

#define APIC_SPURIOUS 0xf0
#define APIC_TIMER 0x320
#define APIC_DIVIDE 0x3e0

struct vcpu {
	const struct guest_options *options;
	struct guest_page *page;
	struct kvm_run *run;
	pthread_t thread;
	int fd;
	unsigned int id;
	uint64_t user_exits[USER_EXITS];
	uint64_t interrupted;
	uint64_t device_ns;
	struct interrupter interrupter;
	bool finished;
};

static struct vcpu vcpus[MAX_VCPUS];
static unsigned int vcpu_count;
static volatile sig_atomic_t ending;

/* Counts the vCPUs that are done; `held` is guarded by the same lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned int vcpus_done;
static bool released;

static int kvm_call(int fd, unsigned long request, unsigned long argument, const char *name)
{
	int value = ioctl(fd, request, argument);

	if (value < 0)
		die("%s: %s", name, strerror(errno));
	return value;
}

#define KVM(fd, request, argument) kvm_call(fd, request, (unsigned long)(argument), #request)

static size_t append(uint8_t *code, size_t at, const uint8_t *begin, const uint8_t *end)
{
	memcpy(code + at, begin, (size_t)(end - begin));
	return at + (size_t)(end - begin);
}

#define APPEND(code, at, name) append(code, at, guest_##name, guest_##name##_end)

static void write_code(uint8_t *memory, const struct guest_options *options)
{
	uint8_t *code = memory + GUEST_CODE;
	int32_t distance;
	size_t at = 0;

	if (options->kinds[KIND_CPUID])
		at = APPEND(code, at, cpuid);
	if (options->kinds[KIND_PIO])
		at = APPEND(code, at, pio);
	if (options->kinds[KIND_MMIO])
		at = APPEND(code, at, mmio);
	if (options->kinds[KIND_HLT])
		at = options->halt_timer ? APPEND(code, at, hlt_timer) : APPEND(code, at, hlt_user);
	if (options->kinds[KIND_RDMSR])
		at = APPEND(code, at, rdmsr);
	if (options->kinds[KIND_WRMSR])
		at = APPEND(code, at, wrmsr);
	if (options->kinds[KIND_SPIN])
		at = APPEND(code, at, spin);
	if (options->kinds[KIND_TIMER])
		at = APPEND(code, at, timer);
	if (options->kinds[KIND_IPI])
		at = APPEND(code, at, ipi);
	at = APPEND(code, at, again);
	distance = -(int32_t)at;
	memcpy(code + at - sizeof(distance), &distance, sizeof(distance));
	APPEND(code, at, finish);
	APPEND(memory + GUEST_INTERRUPT, 0, interrupt);
}

static void write_tables(uint8_t *memory)
{
	const uint64_t gdt[] = { 0, FLAT_CODE, FLAT_DATA };
	/* A present 32-bit interrupt gate to GUEST_INTERRUPT. */
	const uint64_t gate = (uint64_t)(GUEST_INTERRUPT & 0xffff) | (CODE_SELECTOR << 16) |
			      0x8e00ULL << 32 | ((uint64_t)(GUEST_INTERRUPT >> 16) << 48);

	memcpy(memory + GUEST_GDT, gdt, sizeof(gdt));
	memcpy(memory + GUEST_IDT + 8 * TIMER_VECTOR, &gate, sizeof(gate));
}

static void set_registers(const struct vcpu *vcpu)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE,
		.rflags = 2,
		.rsi = GUEST_PAGES + 4096UL * vcpu->id,
		.rdi = vcpu->options->turns,
		.rsp = GUEST_STACKS + 4096UL * (vcpu->id + 1),
	};
	struct kvm_segment flat = {
		.limit = 0xffffffff,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_sregs sregs;

	KVM(vcpu->fd, KVM_GET_SREGS, &sregs);
	flat.selector = DATA_SELECTOR;
	flat.type = 3;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	flat.selector = CODE_SELECTOR;
	flat.type = 11;
	sregs.cs = flat;
	sregs.cr0 |= 1; /* protected mode */
	sregs.gdt.base = GUEST_GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 256 * 8 - 1;
	KVM(vcpu->fd, KVM_SET_SREGS, &sregs);
	KVM(vcpu->fd, KVM_SET_REGS, &regs);
}

static void set_cpuid(int kvm, int fd)
{
	const unsigned int entries = 256;
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + entries * sizeof(struct kvm_cpuid_entry2));
	if (!cpuid)
		die("out of memory");
	cpuid->nent = entries;
	KVM(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	KVM(fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
}

/* What a guest's own start-up would write, done from outside so that it costs no exits. */
static void set_timer(int fd)
{
	const struct {
		unsigned int at;
		uint32_t value;
	} registers[] = {
		{ APIC_SPURIOUS, 0x1ff },     /* enabled */
		{ APIC_TIMER, TIMER_VECTOR }, /* one shot */
		{ APIC_DIVIDE, 0xb },	      /* by 1 */
	};
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_lapic_state apic;
	size_t i;

	KVM(fd, KVM_GET_LAPIC, &apic);
	for (i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		memcpy(apic.regs + registers[i].at, &registers[i].value, sizeof(uint32_t));
	KVM(fd, KVM_SET_LAPIC, &apic);
	KVM(fd, KVM_SET_MP_STATE, &runnable);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

uint64_t machine_sleep_ms(unsigned int ms)
{
	struct timespec left = { ms / 1000, (ms % 1000) * 1000000L };
	uint64_t begin_ns;

	/* nanosleep() of nothing still gives the CPU away, for the timer's slack. */
	if (!ms)
		return 0;
	begin_ns = now_ns();
	while (nanosleep(&left, &left) && errno == EINTR && !ending)
		;
	return now_ns() - begin_ns;
}

/* The device takes its time; then, perhaps, comes an interruption. */
static void handle_io(struct vcpu *vcpu)
{
	vcpu->device_ns += machine_sleep_ms(vcpu->options->pause_ms);
	interrupter_after_io(&vcpu->interrupter);
}

/* The guest has come to an exit: what follows is told of that exit. */
static bool has_begun(const struct vcpu *vcpu)
{
	const volatile uint64_t *done = vcpu->page->done;
	unsigned int kind;

	if (vcpu->options->interrupt == INTERRUPT_IO)
		return true;
	for (kind = 0; kind < GUEST_KINDS; kind++)
		if (done[kind])
			return true;
	return false;
}

/* The last exit: told to whoever waits, and not left before it is released. */
static void finish(struct vcpu *vcpu)
{
	pthread_mutex_lock(&lock);
	vcpus_done++;
	pthread_cond_broadcast(&changed);
	while (vcpu->options->hold && !released)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void *vcpu_main(void *argument)
{
	struct vcpu *vcpu = argument;
	struct kvm_run *run = vcpu->run;

	interrupter_begin(&vcpu->interrupter, vcpu->options, vcpu->fd);
	while (!ending) {
		if (ioctl(vcpu->fd, KVM_RUN, 0)) {
			if (errno != EINTR && errno != EAGAIN)
				die("KVM_RUN: %s", strerror(errno));
			vcpu->interrupted++;
			interrupter_hold(&vcpu->interrupter, has_begun(vcpu) && !ending);
			continue;
		}
		if (run->exit_reason >= USER_EXITS)
			die("vCPU %u: unknown KVM_EXIT %u", vcpu->id, run->exit_reason);
		vcpu->user_exits[run->exit_reason]++;
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.port == END_PORT) {
				vcpu->finished = true;
				finish(vcpu);
				return NULL;
			}
			handle_io(vcpu);
			break;
		case KVM_EXIT_MMIO:
			handle_io(vcpu);
			break;
		case KVM_EXIT_HLT:
			break;
		case KVM_EXIT_INTERNAL_ERROR:
			die("vCPU %u: KVM_EXIT_INTERNAL_ERROR, suberror %u", vcpu->id,
			    run->internal.suberror);
		default:
			die("vCPU %u: unexpected KVM_EXIT %u", vcpu->id, run->exit_reason);
		}
	}
	finish(vcpu);
	return NULL;
}

/* Only makes KVM_RUN and nanosleep return. */
static void kicked(int number)
{
	(void)number;
}

void machine_end(void)
{
	unsigned int i;

	ending = 1;
	for (i = 0; i < vcpu_count; i++) {
		if (!vcpus[i].run)
			continue;
		vcpus[i].run->immediate_exit = 1;
		pthread_kill(vcpus[i].thread, SIGUSR1);
	}
}

static void create_vcpu(int kvm, int vm, struct vcpu *vcpu)
{
	int run_bytes = KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	vcpu->fd = KVM(vm, KVM_CREATE_VCPU, vcpu->id);
	vcpu->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mmap of the vCPU: %s", strerror(errno));
	set_cpuid(kvm, vcpu->fd);
	if (vcpu->options->halt_timer)
		set_timer(vcpu->fd);
	set_registers(vcpu);
}

/* What WRMSR writes back is what the MSR holds anyway. */
static uint64_t read_msr(int fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = MSR_INDEX };

	if (KVM(fd, KVM_GET_MSRS, &msr) != 1)
		die("KVM does not know MSR %#x", MSR_INDEX);
	return msr.entry.data;
}

static void wait_for_end(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char discarded[256];

	while (!ending) {
		if (poll(&input, 1, -1) > 0 && read(input.fd, discarded, sizeof(discarded)) <= 0)
			break;
	}
}

void machine_run(const struct guest_options *options, struct guest_result *result,
		 void (*report)(const struct guest_options *, const struct guest_result *))
{
	struct sigaction action = { .sa_handler = kicked };
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_BYTES };
	int kvm, vm, error;
	uint8_t *memory;
	unsigned int i, kind;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		die("/dev/kvm: %s; load kvm_amd or kvm_intel, and be root or in the group kvm",
		    strerror(errno));
	vm = KVM(kvm, KVM_CREATE_VM, 0);
	memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap of the guest's memory: %s", strerror(errno));
	write_tables(memory);
	write_code(memory, options);
	region.userspace_addr = (uintptr_t)memory;
	KVM(vm, KVM_SET_USER_MEMORY_REGION, &region);
	KVM(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	if (options->halt_timer)
		KVM(vm, KVM_CREATE_IRQCHIP, 0);

	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < options->vcpus; i++) {
		struct vcpu *vcpu = &vcpus[i];

		vcpu->options = options;
		vcpu->id = i;
		vcpu->page = (struct guest_page *)(memory + GUEST_PAGES + 4096 * i);
		vcpu->page->ticks = options->halt_us * 1000;
		create_vcpu(kvm, vm, vcpu);
		vcpu->page->msr = read_msr(vcpu->fd);
	}
	pthread_mutex_lock(&lock);
	result->elapsed_ns = now_ns();
	for (i = 0; i < options->vcpus; i++) {
		error = pthread_create(&vcpus[i].thread, NULL, vcpu_main, &vcpus[i]);
		if (error)
			die("pthread_create: %s", strerror(error));
		vcpu_count = i + 1;
	}
	while (vcpus_done < options->vcpus)
		pthread_cond_wait(&changed, &lock);
	result->elapsed_ns = now_ns() - result->elapsed_ns;
	pthread_mutex_unlock(&lock);

	for (i = 0; i < options->vcpus; i++) {
		for (kind = 0; kind < GUEST_KINDS; kind++)
			result->done[kind] += vcpus[i].page->done[kind];
		for (kind = 0; kind < USER_EXITS; kind++)
			result->user_exits[kind] += vcpus[i].user_exits[kind];
		result->interrupted += vcpus[i].interrupted;
		result->holds += vcpus[i].interrupter.holds;
		result->held_ns += vcpus[i].interrupter.held_ns;
		result->device_ns += vcpus[i].device_ns;
		result->finished += vcpus[i].finished;
	}
	report(options, result);
	if (options->hold && result->finished)
		wait_for_end();
	pthread_mutex_lock(&lock);
	released = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < options->vcpus; i++)
		pthread_join(vcpus[i].thread, NULL);
}
