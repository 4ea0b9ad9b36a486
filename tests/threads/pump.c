// SPDX-License-Identifier: GPL-2.0-or-later
/* The pump: its loop in one thread, what Python asks of it in others. */
#include "threads.h"

static struct kvmlog_writer *writer;
static struct kvmlog_pump *pump;

/* Ends by a stop, which one of the others sends now and then; the next turn begins it again. */
static void pump_on(__u64 number)
{
	(void)number;
	must(!kvmlog_pump_run(pump));
}

static void append(__u64 number)
{
	struct kvmlog_record records[64];

	kvmlog_pump_append(pump, records, make_batch(number, records));
	kvmlog_pump_wake(pump);
	if (number % 64 == 0)
		kvmlog_pump_stop(pump);
}

static void control(__u64 number)
{
	static struct kvmlog_record_guest guests[KVMLOG_GUESTS_WAITING];
	struct kvmlog_pump_statistics statistics;
	__u64 missed;

	kvmlog_pump_read(pump, &statistics);
	switch (number % 6) {
	case 0:
		kvmlog_pump_watch(pump, (__u32)number);
		break;
	case 1:
		kvmlog_pump_unwatch(pump);
		break;
	case 2:
		kvmlog_pump_lost(pump, 1, 1);
		break;
	case 3:
		kvmlog_pump_guests(pump, guests, KVMLOG_GUESTS_WAITING, &missed);
		break;
	case 4:
		must(!kvmlog_pump_received(pump, 0));
		kvmlog_pump_settle(pump, 0, 0, 0);
		break;
	default:
		kvmlog_pump_restart(pump);
	}
}

/* The last thing that ends: the loop is stopped until it has noticed. */
static void stop(__u64 number)
{
	(void)number;
	kvmlog_pump_stop(pump);
}

void meet_at_pump(__u64 turns)
{
	struct part parts[] = {
		{ .turn = append, .turns = turns },
		{ .turn = pump_on, .turns = turns / 64 + 1 },
		{ .turn = control },
		{ .turn = stop },
	};

	writer = new_writer();
	pump = kvmlog_pump_new(writer);
	must(pump);
	meet(parts, sizeof(parts) / sizeof(*parts));
	kvmlog_pump_free(pump);
	free_writer(writer);
}
