/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUs that come and go while tracing is on, as CPU records. */
#ifndef _KVMLOG_CPUS_H
#define _KVMLOG_CPUS_H

/* Process context. init() before anything is switched on; exit() when all is off. */
int kvmlog_cpus_init(void);
void kvmlog_cpus_exit(void);

/* Forgets what came before tracing was switched on. */
void kvmlog_cpus_start(void);
/* Writes what came since, from the flush worker. */
void kvmlog_cpus_report(void);

#endif
