/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lock of the probes' fast path: the bare architecture lock, inlined to four
 * instructions where raw_spin_lock() and its unlock take thirty, three times an
 * exit. The holder has preemption disabled, and interrupts too where an interrupt
 * may want the lock. On kernels with lockdep it is a raw_spinlock_t, so that lockdep
 * sees it. Its order:
 *
 *   vCPU state (vcpu_state.h) -> guests_lock (guest.c) -> a CPU's buffer (buffer.h)
 *                             -> owned_lock (vcpu_table.c)
 */
#ifndef _KVMLOG_LOCK_H
#define _KVMLOG_LOCK_H

#include <linux/spinlock.h>

#ifdef CONFIG_LOCKDEP

struct kvmlog_lock {
	raw_spinlock_t raw;
};

/* A macro: each place that it is called from is a lockdep class. */
#define kvmlog_lock_init(lock) raw_spin_lock_init(&(lock)->raw)
#define kvmlog_lock(lock) raw_spin_lock(&(lock)->raw)
#define kvmlog_unlock(lock) raw_spin_unlock(&(lock)->raw)

#else

struct kvmlog_lock {
	arch_spinlock_t arch;
};

static __always_inline void kvmlog_lock_init(struct kvmlog_lock *lock)
{
	lock->arch = (arch_spinlock_t)__ARCH_SPIN_LOCK_UNLOCKED;
}

static __always_inline void kvmlog_lock(struct kvmlog_lock *lock)
{
	arch_spin_lock(&lock->arch);
}

static __always_inline void kvmlog_unlock(struct kvmlog_lock *lock)
{
	arch_spin_unlock(&lock->arch);
}

#endif

#define kvmlog_lock_irqsave(lock, flags) \
	do {                             \
		local_irq_save(flags);   \
		kvmlog_lock(lock);       \
	} while (0)

#define kvmlog_unlock_irqrestore(lock, flags) \
	do {                                  \
		kvmlog_unlock(lock);          \
		local_irq_restore(flags);     \
	} while (0)

#endif
