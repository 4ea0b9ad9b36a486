// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one receiver: a socket subscribes and gets every batch; when it is closed, the
 * function that was registered for that is called.
 */
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "receiver.h"

/*
 * The socket is held, so that a dead one can be told from a new one with the same
 * port id. The mutex is taken by senders, subscribe and the release notifier; never
 * while waiting for the flush worker.
 */
static DEFINE_MUTEX(receiver_mutex);
static struct sock *receiver;
static u32 receiver_portid;
static u16 receiver_family_id;
static bool gone_pending; /* the last one's end has not been dealt with yet */

static void (*on_gone)(void);

static void gone_worker(struct work_struct *work)
{
	on_gone();
	mutex_lock(&receiver_mutex);
	gone_pending = false;
	mutex_unlock(&receiver_mutex);
}

static DECLARE_WORK(gone_work, gone_worker);

static int release_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct netlink_notify *notify = data;

	if (action != NETLINK_URELEASE || notify->protocol != NETLINK_GENERIC ||
	    !net_eq(notify->net, &init_net))
		return NOTIFY_DONE;
	mutex_lock(&receiver_mutex);
	if (receiver && receiver_portid == notify->portid) {
		sock_put(receiver);
		receiver = NULL;
		gone_pending = true;
		schedule_work(&gone_work);
	}
	mutex_unlock(&receiver_mutex);
	return NOTIFY_DONE;
}

static struct notifier_block release_notifier = { .notifier_call = release_notify };

int kvmlog_receiver_subscribe(struct sock *sk, u32 portid, u16 family_id,
			      struct netlink_ext_ack *extack)
{
	int err = 0;

	/* Its session is over first. */
	mutex_lock(&receiver_mutex);
	while (gone_pending) {
		mutex_unlock(&receiver_mutex);
		flush_work(&gone_work);
		mutex_lock(&receiver_mutex);
	}
	if (receiver) {
		NL_SET_ERR_MSG(extack, "There is a receiver already; only one is served");
		err = -EBUSY;
	} else if (!sk) {
		NL_SET_ERR_MSG(extack, "The sender is no socket");
		err = -EINVAL;
	} else {
		sock_hold(sk);
		receiver_family_id = family_id;
		receiver_portid = portid;
		receiver = sk;
	}
	mutex_unlock(&receiver_mutex);
	return err;
}

bool kvmlog_receiver_exists(void)
{
	return READ_ONCE(receiver);
}

u32 kvmlog_receiver_portid(void)
{
	return READ_ONCE(receiver_portid);
}

u16 kvmlog_receiver_family_id(void)
{
	return READ_ONCE(receiver_family_id);
}

int kvmlog_receiver_deliver(struct sk_buff *skb)
{
	int err = -ENOTCONN;

	mutex_lock(&receiver_mutex);
	if (receiver && !sock_flag(receiver, SOCK_DEAD))
		err = genlmsg_unicast(&init_net, skb, receiver_portid);
	else
		kfree_skb(skb);
	mutex_unlock(&receiver_mutex);
	return err == -ECONNREFUSED ? -ENOTCONN : err;
}

int kvmlog_receiver_init(void (*gone)(void))
{
	on_gone = gone;
	return netlink_register_notifier(&release_notifier);
}

/* No command comes any more, so that nobody subscribes. */
void kvmlog_receiver_exit(void)
{
	netlink_unregister_notifier(&release_notifier);
	cancel_work_sync(&gone_work);
	if (receiver)
		sock_put(receiver);
	receiver = NULL;
}
