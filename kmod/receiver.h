/* SPDX-License-Identifier: GPL-2.0-only */
/* The one socket that batches are delivered to. */
#ifndef _KVMLOG_RECEIVER_H
#define _KVMLOG_RECEIVER_H

#include <linux/types.h>

struct netlink_ext_ack;
struct sk_buff;
struct sock;

/* @gone: what to do when the receiver's socket was closed; process context, no lock held. */
int kvmlog_receiver_init(void (*gone)(void));
void kvmlog_receiver_exit(void);

/*
 * Makes the socket @sk, known to netlink as @portid, the receiver of messages of the family
 * @family_id. Process context, no lock held. -EBUSY: there is one already.
 */
int kvmlog_receiver_subscribe(struct sock *sk, u32 portid, u16 family_id,
			      struct netlink_ext_ack *extack);
bool kvmlog_receiver_exists(void);
u32 kvmlog_receiver_portid(void);
/* Never changes once there has been a receiver. */
u16 kvmlog_receiver_family_id(void);

/*
 * Hands one message to the receiver; takes it over in every case. Process
 * context. 0; -EAGAIN when its queue is full; -ENOTCONN when there is none.
 */
int kvmlog_receiver_deliver(struct sk_buff *skb);

#endif
