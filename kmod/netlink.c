// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generic netlink family "kvmlog": its commands. The protocol is described in
 * include/uapi/kvmlog/netlink.h.
 *
 * The family lives in the initial network namespace only, so a port id names a
 * socket.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <net/genetlink.h>

#include <kvmlog/netlink.h>
#include <kvmlog/record.h>

#include "compat/kernel.h"
#include "config.h"
#include "cost.h"
#include "counters.h"
#include "fields.h"
#include "flush.h"
#include "netlink.h"
#include "receiver.h"
#include "session.h"
#include "tracepoints.h"
#include "vcpu_table.h"
#include "vendor.h"

static struct genl_family kvmlog_family;

/*
 * Records show what guests execute: their instruction pointers, MSRs, CPUID leaves. So
 * reading them takes more than configuring networks does.
 */
static int may_read_records(const struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_PERFMON) || netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "Reading records takes CAP_PERFMON besides CAP_NET_ADMIN");
	return -EPERM;
}

static int subscribe(struct sk_buff *skb, struct genl_info *info)
{
	int err = may_read_records(skb, info->extack);

	if (err)
		return err;
	return kvmlog_receiver_subscribe(NETLINK_CB(skb).sk, info->snd_portid, kvmlog_family.id,
					 info->extack);
}

static int put_prototypes(struct sk_buff *msg)
{
	const char *name, *signature;
	unsigned int i;

	for (i = 0; kvmlog_tracepoints_prototype(i, &name, &signature); i++) {
		struct nlattr *nest = nla_nest_start(msg, KVMLOG_A_PROTOTYPE);

		if (!nest || nla_put_string(msg, KVMLOG_PROTO_A_NAME, name) ||
		    nla_put_string(msg, KVMLOG_PROTO_A_SIGNATURE, signature))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int put_fields(struct sk_buff *msg)
{
	const struct kvmlog_field *field;
	unsigned int i;

	for (i = 0; (field = kvmlog_fields_at(i)); i++) {
		struct nlattr *nest = nla_nest_start(msg, KVMLOG_A_FIELD);

		if (!nest || nla_put_string(msg, KVMLOG_FIELD_A_NAME, field->name) ||
		    nla_put_u32(msg, KVMLOG_FIELD_A_OFFSET, field->offset) ||
		    nla_put_u32(msg, KVMLOG_FIELD_A_BYTES, field->bytes))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int put_cpus(struct sk_buff *msg)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct kvmlog_cpu_status status;
		struct nlattr *nest;

		if (!kvmlog_flush_cpu_status(cpu, &status))
			continue;
		nest = nla_nest_start(msg, KVMLOG_A_CPU);
		if (!nest || nla_put_u32(msg, KVMLOG_CPU_A_ID, cpu) ||
		    nla_put_u64_64bit(msg, KVMLOG_CPU_A_DROPPED, status.dropped,
				      KVMLOG_CPU_A_PAD) ||
		    nla_put_u64_64bit(msg, KVMLOG_CPU_A_MESSAGES, status.messages,
				      KVMLOG_CPU_A_PAD) ||
		    nla_put_u64_64bit(msg, KVMLOG_CPU_A_BYTES, status.bytes, KVMLOG_CPU_A_PAD))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int put_config(struct sk_buff *msg)
{
	const struct kvmlog_config *config = kvmlog_session_config();

	if (!config)
		return 0;
	if (nla_put_u32(msg, KVMLOG_A_ONE_IN, config->one_in) ||
	    nla_put_u32(msg, KVMLOG_A_ON_MS, config->on_ms) ||
	    nla_put_u32(msg, KVMLOG_A_OFF_MS, config->off_ms))
		return -EMSGSIZE;
	if (config->nr_tgids &&
	    nla_put(msg, KVMLOG_A_TGIDS, config->nr_tgids * sizeof(u32), config->tgids))
		return -EMSGSIZE;
	if (kvmlog_session_lease_ms() &&
	    nla_put_u32(msg, KVMLOG_A_LEASE_MS, kvmlog_session_lease_ms()))
		return -EMSGSIZE;
	return 0;
}

static int put_status(struct sk_buff *msg)
{
	const bool on = kvmlog_session_config();
	const char *waiting_for =
		on && !kvmlog_tracepoints_attached() ? kvmlog_tracepoints_waiting_for() : NULL;
	const char *vendor = READ_ONCE(kvmlog_vendor.module); /* may be unloaded any time */
	struct kvmlog_counters counters;
	struct kvmlog_cost cost;

	kvmlog_counters_read(&counters);
	kvmlog_cost_read(&cost);
	if (nla_put_u8(msg, KVMLOG_A_STATE, on) ||
	    nla_put_u8(msg, KVMLOG_A_STOPPING, kvmlog_session_stopping()) ||
	    nla_put_u8(msg, KVMLOG_A_ATTACHED, kvmlog_tracepoints_attached()) ||
	    (waiting_for && nla_put_string(msg, KVMLOG_A_WAITING_FOR, waiting_for)) ||
	    nla_put_u32(msg, KVMLOG_A_EPOCH, kvmlog_session_epoch()) || put_config(msg) ||
	    nla_put_u32(msg, KVMLOG_A_FLUSH_MS, kvmlog_flush_interval_ms()) ||
	    nla_put(msg, KVMLOG_A_COUNTERS, sizeof(counters), &counters) ||
	    nla_put_u64_64bit(msg, KVMLOG_A_NOTES_LOST, kvmlog_counters_notes_lost(),
			      KVMLOG_A_PAD) ||
	    (kvmlog_receiver_exists() &&
	     nla_put_u32(msg, KVMLOG_A_RECEIVER, kvmlog_receiver_portid())) ||
	    nla_put_u32(msg, KVMLOG_A_SCHEMA, KVMLOG_SCHEMA_VERSION) ||
	    nla_put_u32(msg, KVMLOG_A_RECORD_BYTES, KVMLOG_RECORD_BYTES) ||
	    nla_put_u8(msg, KVMLOG_A_ISA, kvmlog_vendor.isa) ||
	    (vendor && nla_put_string(msg, KVMLOG_A_VENDOR, vendor)) ||
	    nla_put_string(msg, KVMLOG_A_MODULE_VERSION, THIS_MODULE->version) ||
	    nla_put_u32(msg, KVMLOG_A_PENDING_SLOTS, kvmlog_vcpu_table_capacity()) ||
	    nla_put(msg, KVMLOG_A_COST, sizeof(cost), &cost))
		return -EMSGSIZE;
	return put_cpus(msg) ?: put_prototypes(msg) ?: put_fields(msg);
}

/* Room for put_status() on a host with as many CPUs as this one may have. */
static size_t status_bytes(void)
{
	return 8192 + num_possible_cpus() * 64 + KVMLOG_MAX_TGIDS * sizeof(u32);
}

static int get_status(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg = genlmsg_new(status_bytes(), GFP_KERNEL);
	void *header;
	int err;

	if (!msg) {
		NL_SET_ERR_MSG(info->extack, "No memory for the status");
		return -ENOMEM;
	}
	header = genlmsg_put_reply(msg, info, &kvmlog_family, 0, KVMLOG_CMD_GET_STATUS);
	if (!header) {
		err = -EMSGSIZE;
		goto err_free_msg;
	}
	mutex_lock(&kvmlog_session_mutex);
	err = put_status(msg);
	mutex_unlock(&kvmlog_session_mutex);
	if (err)
		goto err_free_msg;
	genlmsg_end(msg, header);
	return genlmsg_reply(msg, info);

err_free_msg:
	nlmsg_free(msg);
	return err;
}

static const struct nla_policy prototype_policy[KVMLOG_PROTO_A_MAX + 1] = {
	[KVMLOG_PROTO_A_NAME] = { .type = NLA_NUL_STRING, .len = KVMLOG_MAX_NAME_BYTES - 1 },
	[KVMLOG_PROTO_A_SIGNATURE] = { .type = NLA_NUL_STRING,
				       .len = KVMLOG_MAX_SIGNATURE_BYTES - 1 },
};

static int check_prototypes(struct genl_info *info)
{
	struct nlattr *tb[KVMLOG_PROTO_A_MAX + 1];
	unsigned int count = 0;
	struct nlattr *attr;
	int remaining, err;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, remaining)
	{
		if (nla_type(attr) != KVMLOG_A_PROTOTYPE)
			continue;
		if (++count > KVMLOG_MAX_PROTOTYPES) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "Too many prototypes, at most 16");
			return -E2BIG;
		}
		err = nla_parse_nested(tb, KVMLOG_PROTO_A_MAX, attr, prototype_policy,
				       info->extack);
		if (err)
			return err;
		if (!tb[KVMLOG_PROTO_A_NAME] || !tb[KVMLOG_PROTO_A_SIGNATURE]) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "A prototype needs a name and a signature");
			return -EINVAL;
		}
		err = kvmlog_tracepoints_check(nla_data(tb[KVMLOG_PROTO_A_NAME]),
					       nla_data(tb[KVMLOG_PROTO_A_SIGNATURE]),
					       info->extack);
		if (err)
			return err;
	}
	return 0;
}

static const struct nla_policy field_policy[KVMLOG_FIELD_A_MAX + 1] = {
	[KVMLOG_FIELD_A_NAME] = { .type = NLA_NUL_STRING, .len = KVMLOG_MAX_NAME_BYTES - 1 },
	[KVMLOG_FIELD_A_OFFSET] = { .type = NLA_U32 },
	[KVMLOG_FIELD_A_BYTES] = { .type = NLA_U32 },
};

static int check_field(struct nlattr *attr, struct genl_info *info)
{
	struct nlattr *tb[KVMLOG_FIELD_A_MAX + 1];
	int err = nla_parse_nested(tb, KVMLOG_FIELD_A_MAX, attr, field_policy, info->extack);

	if (err)
		return err;
	if (!tb[KVMLOG_FIELD_A_NAME] || !tb[KVMLOG_FIELD_A_OFFSET] || !tb[KVMLOG_FIELD_A_BYTES]) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "A field needs a name, an offset and a size");
		return -EINVAL;
	}
	return kvmlog_fields_check(nla_data(tb[KVMLOG_FIELD_A_NAME]),
				   nla_get_u32(tb[KVMLOG_FIELD_A_OFFSET]),
				   nla_get_u32(tb[KVMLOG_FIELD_A_BYTES]), info->extack);
}

static int check_fields(struct genl_info *info)
{
	unsigned int count = 0;
	struct nlattr *attr;
	int remaining, err;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, remaining)
	{
		if (nla_type(attr) != KVMLOG_A_FIELD)
			continue;
		if (++count > KVMLOG_MAX_FIELDS) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "Too many fields, at most 32");
			return -E2BIG;
		}
		err = check_field(attr, info);
		if (err)
			return err;
	}
	return 0;
}

static int compare_tgids(const void *a, const void *b)
{
	u32 left = *(const u32 *)a, right = *(const u32 *)b;

	return left < right ? -1 : left > right;
}

static struct kvmlog_config *parse_config(struct genl_info *info)
{
	const struct nlattr *tgids = info->attrs[KVMLOG_A_TGIDS];
	struct kvmlog_config *config;
	u32 nr_tgids = 0;

	if (tgids) {
		nr_tgids = nla_len(tgids) / sizeof(u32);
		if (!nr_tgids || nla_len(tgids) % sizeof(u32)) {
			NL_SET_ERR_MSG_ATTR(info->extack, tgids,
					    "The filter is not a list of 32 bit process ids");
			return ERR_PTR(-EINVAL);
		}
	}
	if (!info->attrs[KVMLOG_A_ON_MS] != !info->attrs[KVMLOG_A_OFF_MS]) {
		NL_SET_ERR_MSG(info->extack, "A sampling window needs both on_ms and off_ms");
		return ERR_PTR(-EINVAL);
	}
	config = kzalloc(struct_size(config, tgids, nr_tgids), GFP_KERNEL);
	if (!config) {
		NL_SET_ERR_MSG(info->extack, "No memory for the configuration");
		return ERR_PTR(-ENOMEM);
	}
	config->one_in = 1;
	if (info->attrs[KVMLOG_A_ONE_IN])
		config->one_in = nla_get_u32(info->attrs[KVMLOG_A_ONE_IN]);
	if (info->attrs[KVMLOG_A_ON_MS]) {
		config->on_ms = nla_get_u32(info->attrs[KVMLOG_A_ON_MS]);
		config->off_ms = nla_get_u32(info->attrs[KVMLOG_A_OFF_MS]);
	}
	if (nr_tgids) {
		config->nr_tgids = nr_tgids;
		nla_memcpy(config->tgids, tgids, nr_tgids * sizeof(u32));
		sort(config->tgids, nr_tgids, sizeof(u32), compare_tgids, NULL);
	}
	return config;
}

/* Why the caller switches off, if it may say so. */
static int parse_cause(struct genl_info *info, enum kvmlog_switch_cause *cause)
{
	const struct nlattr *attr = info->attrs[KVMLOG_A_CAUSE];

	*cause = attr ? nla_get_u32(attr) : KVMLOG_SWITCH_COMMAND;
	if (*cause == KVMLOG_SWITCH_COMMAND || *cause == KVMLOG_SWITCH_BUDGET)
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, attr, "The cause is neither COMMAND nor BUDGET");
	return -EINVAL;
}

static int switch_off(struct genl_info *info)
{
	enum kvmlog_switch_cause cause;
	int err = parse_cause(info, &cause);

	if (err)
		return err;
	mutex_lock(&kvmlog_session_mutex);
	err = kvmlog_session_stop(cause);
	mutex_unlock(&kvmlog_session_mutex);
	if (err == -EALREADY)
		NL_SET_ERR_MSG(info->extack, "Tracing is already off");
	return err;
}

static int configure(struct sk_buff *skb, struct genl_info *info)
{
	struct kvmlog_config *config;
	u32 lease_ms = 0;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, KVMLOG_A_STATE)) {
		NL_SET_ERR_MSG(info->extack, "State is missing: 1 on, 0 off");
		return -EINVAL;
	}
	if (!nla_get_u8(info->attrs[KVMLOG_A_STATE]))
		return switch_off(info);
	kvmlog_tracepoints_begin_check();
	err = check_prototypes(info) ?: check_fields(info);
	if (err)
		return err;
	config = parse_config(info);
	if (IS_ERR(config))
		return PTR_ERR(config);
	if (info->attrs[KVMLOG_A_LEASE_MS])
		lease_ms = nla_get_u32(info->attrs[KVMLOG_A_LEASE_MS]);
	mutex_lock(&kvmlog_session_mutex);
	err = kvmlog_session_start(config, lease_ms, info->extack);
	mutex_unlock(&kvmlog_session_mutex);
	return err;
}

static int start_pending(struct netlink_callback *cb)
{
	return may_read_records(cb->skb, cb->extack);
}

static int dump_pending(struct sk_buff *msg, struct netlink_callback *cb)
{
	unsigned int index = cb->args[0];
	struct kvmlog_record record;

	mutex_lock(&kvmlog_session_mutex);
	for (;;) {
		unsigned int before = index;
		void *header;

		if (!kvmlog_vcpu_table_next_pending(&index, &record))
			break;
		header = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				     &kvmlog_family, NLM_F_MULTI, KVMLOG_CMD_GET_PENDING);
		if (!header || nla_put(msg, KVMLOG_A_RECORD, sizeof(record), &record)) {
			if (header)
				genlmsg_cancel(msg, header);
			index = before;
			break;
		}
		genlmsg_end(msg, header);
	}
	mutex_unlock(&kvmlog_session_mutex);
	cb->args[0] = index;
	return msg->len;
}

/* Not const: the policy's member was not before v6.9. */
static struct netlink_range_validation one_in_range = { 1, KVMLOG_MAX_ONE_IN };
static struct netlink_range_validation window_range = { 1, KVMLOG_MAX_WINDOW_MS };
static struct netlink_range_validation lease_range = { 1, KVMLOG_MAX_LEASE_MS };

static const struct nla_policy no_attributes[1] = {};

static const struct nla_policy configure_policy[KVMLOG_A_MAX + 1] = {
	[KVMLOG_A_STATE] = NLA_POLICY_MAX(NLA_U8, 1),
	[KVMLOG_A_TGIDS] = { .type = NLA_BINARY, .len = KVMLOG_MAX_TGIDS * sizeof(u32) },
	[KVMLOG_A_ONE_IN] = NLA_POLICY_FULL_RANGE(NLA_U32, &one_in_range),
	[KVMLOG_A_ON_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &window_range),
	[KVMLOG_A_OFF_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &window_range),
	[KVMLOG_A_PROTOTYPE] = NLA_POLICY_NESTED(prototype_policy),
	[KVMLOG_A_LEASE_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &lease_range),
	[KVMLOG_A_CAUSE] = { .type = NLA_U32 },
	[KVMLOG_A_FIELD] = NLA_POLICY_NESTED(field_policy),
};

static const struct genl_ops kvmlog_ops[] = {
	{
		.cmd = KVMLOG_CMD_GET_STATUS,
		.flags = GENL_ADMIN_PERM,
		.doit = get_status,
		.policy = no_attributes,
		.maxattr = 0,
	},
	{
		.cmd = KVMLOG_CMD_SUBSCRIBE,
		.flags = GENL_ADMIN_PERM,
		.doit = subscribe,
		.policy = no_attributes,
		.maxattr = 0,
	},
	{
		.cmd = KVMLOG_CMD_CONFIGURE,
		.flags = GENL_ADMIN_PERM,
		.doit = configure,
		.policy = configure_policy,
		.maxattr = KVMLOG_A_MAX,
	},
	{
		.cmd = KVMLOG_CMD_GET_PENDING,
		.flags = GENL_ADMIN_PERM,
		.start = start_pending,
		.dumpit = dump_pending,
		.policy = no_attributes,
		.maxattr = 0,
	},
};

static struct genl_family kvmlog_family __ro_after_init = {
	.name = KVMLOG_GENL_NAME,
	.version = KVMLOG_GENL_VERSION,
	.netnsok = false,
	.parallel_ops =
		true, /* switching on allocates, and off waits for probes: not under genl's lock */
	.module = THIS_MODULE,
	.ops = kvmlog_ops,
	.n_ops = ARRAY_SIZE(kvmlog_ops),
	KVMLOG_RESV_START_OP(KVMLOG_CMD_GET_STATUS)
};

int kvmlog_netlink_init(void)
{
	return genl_register_family(&kvmlog_family);
}

void kvmlog_netlink_exit(void)
{
	genl_unregister_family(&kvmlog_family);
}
