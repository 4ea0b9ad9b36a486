// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring: the pump's thread and Python's write, readers read in all the ways there are. */
#include "threads.h"

static struct kvmlog_writer *writer;

static void append(__u64 number)
{
	struct kvmlog_record records[64];

	kvmlog_writer_append(writer, records, make_batch(number, records));
}

/* What Python's control thread writes meanwhile. */
static void control(__u64 number)
{
	static const struct kvmlog_counters counters = { .seen = 7 };
	static const __u8 id[16] = "boot";
	struct kvmlog_ring_header header;

	switch (number % 8) {
	case 0:
		kvmlog_writer_start(writer, 1, 1, id);
		break;
	case 1:
		kvmlog_writer_switched(writer, number & 1, KVMLOG_SOURCE_KMOD);
		break;
	case 2:
		kvmlog_writer_statistics(writer, id);
		break;
	case 3:
		kvmlog_writer_counters(writer, &counters);
		break;
	case 4:
		kvmlog_writer_heartbeat(writer);
		break;
	case 5:
		kvmlog_writer_recount(writer);
		break;
	case 6:
		kvmlog_writer_loss(writer, KVMLOG_LOSS_BUFFER_FULL, 3, 3, 0);
		break;
	default:
		kvmlog_writer_header(writer, &header);
	}
}

static void check_whole(const struct kvmlog_record *records, __u64 count)
{
	for (__u64 i = 0; i < count; i++)
		must(records[i].type != KVMLOG_RECORD_EXIT || is_of_batch(&records[i]));
}

static void read_copies(__u64 number)
{
	static struct kvmlog_record records[SLOTS];
	const struct kvmlog_ring *ring = &writer->ring;
	struct kvmlog_ring_counts counts;
	struct kvmlog_ring_header header;
	struct kvmlog_span span;

	if (number & 1)
		must(!kvmlog_ring_newest(ring, SLOTS, records, sizeof(records), &span));
	else
		must(!kvmlog_ring_since(ring, number, SLOTS, records, sizeof(records), &span));
	check_whole(records + span.offset / sizeof(*records), span.next_index - span.first_index);
	must(!kvmlog_ring_check(ring, &counts));
	must(!kvmlog_ring_read_header(ring, &header));
}

static void search(__u64 number)
{
	static struct kvmlog_record records[SLOTS];
	static __u64 indices[SLOTS];
	__u64 reasons[] = { (__u64)KVMLOG_ISA_SVM << 32 | 3, (__u64)KVMLOG_ISA_SVM << 32 | 9 };
	struct kvmlog_guest_time guests[] = { { .until_ns = ~0ULL, .guest = 2 } };
	struct kvmlog_filter filter = {
		.types = 1 << KVMLOG_RECORD_EXIT,
		.reasons = reasons,
		.reasons_count = 2,
		.of_guests = number % 3 == 0,
		.guests = guests,
		.guests_count = 1,
	};
	struct kvmlog_selected found;

	if (number & 1)
		must(!kvmlog_ring_select_newest(&writer->ring, &filter, ~0ULL, SLOTS, records,
						indices, SLOTS, &found));
	else
		must(!kvmlog_ring_select_since(&writer->ring, &filter, 0, ~0ULL, SLOTS, records,
					       indices, SLOTS, &found));
	check_whole(records + found.offset / sizeof(*records), found.count);
}

static void read_legacy(__u64 number)
{
	static struct kvmlog_legacy legacy;

	(void)number;
	must(kvmlog_ring_legacy(&writer->ring, &legacy) >= 0);
}

void meet_at_ring(__u64 turns)
{
	struct part parts[] = {
		{ .turn = append, .turns = turns },
		{ .turn = control },
		{ .turn = read_copies },
		{ .turn = search },
		{ .turn = read_legacy },
	};

	writer = new_writer();
	meet(parts, sizeof(parts) / sizeof(*parts));
	free_writer(writer);
}

/* The control: a reader that copies as if nobody wrote. */
static void read_without_protocol(__u64 number)
{
	const struct kvmlog_record *record = (const void *)kvmlog_ring_slot(&writer->ring, number);

	must(record->type <= KVMLOG_RECORD_EXIT);
}

void meet_without_protocol(__u64 turns)
{
	struct part parts[] = {
		{ .turn = append, .turns = turns },
		{ .turn = read_without_protocol },
	};

	writer = new_writer();
	meet(parts, sizeof(parts) / sizeof(*parts));
	free_writer(writer);
}
