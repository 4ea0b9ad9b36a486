/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host side, the guest's code and the tests agree on. */
#ifndef KVMLOG_TEST_GUEST_H
#define KVMLOG_TEST_GUEST_H

#include "turn.h"

/* Kinds of this guest's own, behind those of turn.h. */
#define KIND_SPIN KINDS	       /* computes, without an exit */
#define KIND_TIMER (KINDS + 1) /* sets its APIC timer, which ends for nobody */
#define KIND_IPI (KINDS + 2)   /* interrupts all other vCPUs, which do not listen */
#define GUEST_KINDS (KINDS + 3)

#define SPIN_TURNS 1000000
#define APIC_COMMAND 0xfee00300
#define IPI_TO_OTHERS 0x000c4041 /* fixed, vector 0x41 */

#define END_PORT 0x501

/* Guest physical layout, beside that of turn.h. */
#define GUEST_GDT 0x1000
#define GUEST_IDT 0x2000
#define GUEST_INTERRUPT 0x3000
#define GUEST_CODE 0x4000
#define GUEST_BYTES 0x100000
#define MAX_VCPUS 64

#ifndef __ASSEMBLER__
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* What one vCPU's code reads and writes. */
struct guest_page {
	uint64_t done[GUEST_KINDS]; /* how often each kind was done, counted by the guest itself */
	uint64_t unused[16 - GUEST_KINDS];
	uint32_t ticks; /* of the APIC timer (1 ns each under KVM) for one halt */
	uint32_t unused2;
	uint64_t msr; /* what WRMSR writes */
};

_Static_assert(offsetof(struct guest_page, ticks) == PAGE_TICKS, "ticks");
_Static_assert(offsetof(struct guest_page, msr) == PAGE_MSR, "msr");

/* When a signal makes KVM_RUN return -EINTR. */
enum guest_interrupt {
	INTERRUPT_NEVER,
	INTERRUPT_IO,  /* as it begins after an I/O */
	INTERRUPT_RUN, /* 50 ms after it began, or after the last one was over */
};

struct guest_options {
	bool kinds[GUEST_KINDS];
	uint32_t turns; /* 0: until ended */
	unsigned int vcpus;
	unsigned int pause_ms; /* slept in user space at each I/O */
	unsigned int halt_us;  /* length of a halt when the timer wakes it */
	bool halt_timer;       /* interrupt controller in the kernel; else KVM_EXIT_HLT */
	enum guest_interrupt interrupt;
	unsigned int interrupt_ms; /* slept in user space after each such return */
	bool hold;		   /* stay in the last exit until ended */
};

#define USER_EXITS 64

struct guest_result {
	uint64_t done[GUEST_KINDS];
	uint64_t user_exits[USER_EXITS]; /* returns of KVM_RUN by KVM_EXIT_* */
	uint64_t interrupted;		 /* returns with -EINTR */
	uint64_t holds;			 /* of them that a sleep of interrupt_ms followed ... */
	uint64_t held_ns;		 /* ... and all these sleeps */
	uint64_t device_ns;		 /* all sleeps of pause_ms */
	uint64_t finished;		 /* vCPUs that did all their turns */
	uint64_t elapsed_ns; /* CLOCK_MONOTONIC, from the first vCPU's start to the end of all */
};

/*
 * Runs the guest to its end; errors are printed and end the program with status 1.
 * `report` is called once when every vCPU is done, before it is held.
 */
void machine_run(const struct guest_options *options, struct guest_result *result,
		 void (*report)(const struct guest_options *, const struct guest_result *));

/* Async-signal-safe: ends the guest at its next exit, or its holding. */
void machine_end(void);

/* One vCPU's interruptions; all is done in its thread. */
struct interrupter {
	enum guest_interrupt when;
	unsigned int hold_ms;
	sigset_t signals;
	timer_t timer;
	uint64_t holds;
	uint64_t held_ns;
};

/* Before the first KVM_RUN. */
void interrupter_begin(struct interrupter *interrupter, const struct guest_options *options,
		       int vcpu_fd);
/* An I/O was handled: KVM_RUN comes next. */
void interrupter_after_io(const struct interrupter *interrupter);
/* KVM_RUN has returned -EINTR; without @hold it is only taken note of. */
void interrupter_hold(struct interrupter *interrupter, bool hold);

/* Unless the guest is ended meanwhile. Returns how long it was (ns, CLOCK_MONOTONIC). */
uint64_t machine_sleep_ms(unsigned int ms);

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#endif

#endif
