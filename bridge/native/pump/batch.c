// SPDX-License-Identifier: GPL-2.0-or-later
/* Checks one message of the source against <kvmlog/netlink.h>, byte for byte. */
#include <string.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "pump/pump.h"

/* The part of a message in front of its records. */
struct message_head {
	struct nlmsghdr message;
	struct genlmsghdr command;
	struct nlattr batch_attribute;
	struct kvmlog_batch batch;
	struct nlattr pad_attribute;
	struct nlattr records_attribute;
};

_Static_assert(sizeof(struct message_head) == KVMLOG_BATCH_OFFSET, "message head");

static int attribute_is(const struct nlattr *attribute, __u16 type, __u64 bytes)
{
	return attribute->nla_type == type && attribute->nla_len == sizeof(*attribute) + bytes;
}

/*
 * enum kvmlog_batch_verdict. @batch is filled with KVMLOG_BATCH_OK only.
 * @truncated: recvmsg said MSG_TRUNC.
 */
int kvmlog_batch_check(const void *head, __u64 bytes, __u32 sender_port, int truncated,
		       __u16 family, struct kvmlog_batch *batch)
{
	struct message_head message;
	__u64 record_bytes;

	if (sender_port != 0)
		return KVMLOG_BATCH_SENDER;
	if (truncated)
		return KVMLOG_BATCH_TRUNCATED;
	if (bytes < sizeof(struct nlmsghdr))
		return KVMLOG_BATCH_LENGTH;

	memcpy(&message, head, bytes < sizeof(message) ? bytes : sizeof(message));
	if (message.message.nlmsg_len != bytes)
		return KVMLOG_BATCH_LENGTH;
	if (message.message.nlmsg_type < NLMSG_MIN_TYPE)
		return KVMLOG_BATCH_CONTROL;
	if (message.message.nlmsg_type != family)
		return KVMLOG_BATCH_LAYOUT;
	if (bytes < NLMSG_HDRLEN + GENL_HDRLEN)
		return KVMLOG_BATCH_LENGTH;
	if (message.command.cmd != KVMLOG_CMD_BATCH)
		return KVMLOG_BATCH_CONTROL;
	if (message.command.version != KVMLOG_GENL_VERSION)
		return KVMLOG_BATCH_LAYOUT;
	if (bytes < sizeof(message))
		return KVMLOG_BATCH_LENGTH;

	if (!attribute_is(&message.batch_attribute, KVMLOG_A_BATCH, sizeof(message.batch)) ||
	    !attribute_is(&message.pad_attribute, KVMLOG_A_PAD, 0))
		return KVMLOG_BATCH_LAYOUT;
	if (message.batch.record_bytes != KVMLOG_RECORD_BYTES)
		return KVMLOG_BATCH_RECORD;
	if (message.batch.count > KVMLOG_BATCH_RECORDS || message.batch.exits > message.batch.count)
		return KVMLOG_BATCH_COUNT;
	if (message.batch.cpu >= KVMLOG_NO_CPU)
		return KVMLOG_BATCH_CPU;

	record_bytes = (__u64)message.batch.count * KVMLOG_RECORD_BYTES;
	if (!attribute_is(&message.records_attribute, KVMLOG_A_RECORDS, record_bytes))
		return KVMLOG_BATCH_LAYOUT;
	if (bytes != sizeof(message) + record_bytes)
		return KVMLOG_BATCH_LENGTH;

	*batch = message.batch;
	return KVMLOG_BATCH_OK;
}
