/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands of generic netlink family "kvmlog". */
#ifndef _KVMLOG_NETLINK_H
#define _KVMLOG_NETLINK_H

/* From init() on commands may come; exit() returns when none is being carried out any more. */
int kvmlog_netlink_init(void);
void kvmlog_netlink_exit(void);

#endif
