// SPDX-License-Identifier: GPL-2.0-or-later
/* The stream as a whole: where each CPU is in it, what of it is missing, what the engine adds. */
#include "pump/pump.h"

struct kvmlog_pump_cpu *kvmlog_pump_cpu(struct kvmlog_pump *pump, __u32 number)
{
	if (number >= pump->cpus_used)
		pump->cpus_used = number + 1;
	return &pump->cpus[number];
}

/* The configuration that records are taken under, as the header tells it. */
void kvmlog_pump_epoch(struct kvmlog_pump *pump, __u32 config_epoch)
{
	struct kvmlog_ring_header *header = pump->writer->ring.header;

	if (config_epoch == header->config_epoch)
		return;
	kvmlog_writer_info_begin(pump->writer);
	header->config_epoch = config_epoch;
	kvmlog_writer_info_end(pump->writer);
}

/* A record that the engine writes in the source's name. */
void kvmlog_pump_note(struct kvmlog_pump *pump, const void *record)
{
	kvmlog_writer_reserve(pump->writer, 1);
	kvmlog_writer_copy(pump->writer, record, 1);
	kvmlog_writer_publish(pump->writer, 1);
	pump->statistics.records++;
	pump->statistics.notes++;
}

/* What came was not what the source writes. */
void kvmlog_pump_refuse(struct kvmlog_pump *pump)
{
	pump->statistics.bad_messages++;
	kvmlog_writer_info_begin(pump->writer);
	pump->writer->ring.header->bad_messages++;
	kvmlog_writer_info_end(pump->writer);
}

void kvmlog_pump_lose_messages(struct kvmlog_pump *pump, __u16 number, __u64 lost, __u64 ns)
{
	struct kvmlog_pump_cpu *cpu = &pump->cpus[number];
	struct kvmlog_loss_note note = { .cause = KVMLOG_LOSS_MESSAGE, .cpu = number, .ns = ns };

	cpu->lost_messages += lost;
	pump->statistics.lost_messages += lost;
	note.lost = lost;
	note.total = cpu->lost_messages;
	kvmlog_writer_note_loss(pump->writer, &note);
}

void kvmlog_pump_lose_records(struct kvmlog_pump *pump, __u16 number, __u64 dropped, __u64 ns)
{
	struct kvmlog_pump_cpu *cpu = &pump->cpus[number];
	struct kvmlog_loss_note note = { .cause = KVMLOG_LOSS_BUFFER_FULL,
					 .cpu = number,
					 .ns = ns };

	note.lost = dropped - cpu->dropped;
	note.total = dropped;
	cpu->dropped = dropped;
	pump->statistics.lost_records += note.lost;
	kvmlog_writer_note_loss(pump->writer, &note);
}

/* Exits that the source lost on no CPU in particular. */
void kvmlog_pump_lost(struct kvmlog_pump *pump, __u64 lost, __u64 total)
{
	struct kvmlog_loss_note note = {
		.cause = KVMLOG_LOSS_BUFFER_FULL,
		.cpu = KVMLOG_NO_CPU,
		.lost = lost,
		.total = total,
	};

	pthread_mutex_lock(&pump->writer->lock);
	pump->statistics.lost_records += lost;
	kvmlog_writer_note_loss(pump->writer, &note);
	pthread_mutex_unlock(&pump->writer->lock);
}
