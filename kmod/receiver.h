/* SPDX-License-Identifier: GPL-2.0-only */
/* The generic netlink family, as the rest of the module sees it. */
#ifndef _KVMLOG_RECEIVER_H
#define _KVMLOG_RECEIVER_H

#include <linux/types.h>

struct sk_buff;

int kvmlog_genl_init(void);
void kvmlog_genl_exit(void);

int kvmlog_genl_family_id(void);

/*
 * Hands one message to the receiver; takes it over in every case. Process
 * context. 0; -EAGAIN when its queue is full; -ENOTCONN when there is none.
 */
int kvmlog_genl_deliver(struct sk_buff *skb);
bool kvmlog_genl_has_receiver(void);

#endif
