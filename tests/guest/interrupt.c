// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupted vCPUs: a signal makes KVM_RUN return -EINTR, and the thread then stays
 * away for a while, as a VMM's does that pauses its guest. The signal is blocked but
 * while KVM_RUN runs (KVM_SET_SIGNAL_MASK), so that none comes too early to be seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define SIGNAL SIGUSR2
#define RUN_NS 50000000L
#define KERNEL_SIGSET_BYTES 8

static void ignored(int number)
{
	(void)number;
}

/* The next one, RUN_NS from now. */
static void arm(const struct interrupter *interrupter)
{
	struct itimerspec when = { .it_value.tv_nsec = RUN_NS };

	if (interrupter->when == INTERRUPT_RUN && timer_settime(interrupter->timer, 0, &when, NULL))
		die("timer_settime: %s", strerror(errno));
}

void interrupter_begin(struct interrupter *interrupter, const struct guest_options *options,
		       int vcpu_fd)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[KERNEL_SIGSET_BYTES];
	} mask = { .head.len = KERNEL_SIGSET_BYTES };
	struct sigaction action = { .sa_handler = ignored };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL };
	sigset_t before;

	interrupter->when = options->interrupt;
	interrupter->hold_ms = options->interrupt_ms;
	if (interrupter->when == INTERRUPT_NEVER)
		return;
	sigaction(SIGNAL, &action, NULL);
	sigemptyset(&interrupter->signals);
	sigaddset(&interrupter->signals, SIGNAL);
	pthread_sigmask(SIG_BLOCK, &interrupter->signals, &before);
	memcpy(mask.set, &before, sizeof(mask.set));
	if (ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, &mask))
		die("KVM_SET_SIGNAL_MASK: %s", strerror(errno));
	if (interrupter->when != INTERRUPT_RUN)
		return;
	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &interrupter->timer))
		die("timer_create: %s", strerror(errno));
	arm(interrupter);
}

void interrupter_after_io(const struct interrupter *interrupter)
{
	if (interrupter->when == INTERRUPT_IO)
		pthread_kill(pthread_self(), SIGNAL);
}

void interrupter_hold(struct interrupter *interrupter, bool hold)
{
	const struct timespec at_once = { 0, 0 };

	if (interrupter->when == INTERRUPT_NEVER)
		return;
	while (sigtimedwait(&interrupter->signals, NULL, &at_once) > 0)
		;
	if (hold) {
		interrupter->holds++;
		interrupter->held_ns += machine_sleep_ms(interrupter->hold_ms);
	}
	arm(interrupter);
}
