// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pump's input from the BPF programs: each CPU's part of the records' map
 * (bridge/bpf/shared.h). Nobody wakes the pump: a wakeup for each record would cost
 * ten times the record, so it looks again every KVMLOG_BPF_POLL_MS while tracing is
 * on.
 */
#include "bpf/maps.h"
#include "racing.h"
#include "pump/pump.h"

/* What a CPU wrote until now into the ring. The writer's lock is held. */
static void take_records(struct kvmlog_pump *pump, struct kvmlog_bpf_cpu *shared,
			 const struct kvmlog_record *part, __u64 count)
{
	const struct kvmlog_ring *ring = &pump->writer->ring;
	__u64 tail = shared->tail;
	__u64 head = ring->header->head;
	__u64 exits = 0;

	kvmlog_writer_reserve(pump->writer, count);
	/* One by one: a copy of known size is a few vector moves, shorter than memcpy's start. */
	for (__u64 i = 0; i < count; i++) {
		struct kvmlog_record *to = (void *)kvmlog_ring_slot(ring, head + i);

		*to = part[(tail + i) & (KVMLOG_BPF_CPU_RECORDS - 1)];
		exits += to->type == KVMLOG_RECORD_EXIT;
	}
	kvmlog_writer_publish(pump->writer, count);
	kvmlog_writer_count(pump->writer, exits);
	kvmlog_pump_take(pump, head, count, exits);
	pump->statistics.exits += exits;
	pump->statistics.messages++;
	pump->statistics.records += count;
	__atomic_store_n(&shared->tail, tail + count, __ATOMIC_RELEASE);
}

static void drain_cpu(struct kvmlog_pump *pump, __u32 number)
{
	struct kvmlog_bpf_cpu *shared = &pump->maps->cpus[number];
	__u64 lost = kvmlog_load_relaxed(&shared->lost);
	__u64 left = kvmlog_load_acquire(&shared->head) - shared->tail;
	__u64 most = pump->writer->ring.capacity / 2;
	__u64 last = shared->tail + left - 1;
	const struct kvmlog_record *part;
	__u64 ns;

	if (left > KVMLOG_BPF_CPU_RECORDS) {
		/* Only a map that somebody else wrote into. */
		kvmlog_pump_refuse(pump);
		shared->tail = shared->head;
		return;
	}
	part = left ? kvmlog_bpf_part(pump->maps, number) : NULL;
	if (left && !part)
		return; /* no memory to map it: it stays there until the next look */
	/*
	 * A ring was full when exits were lost: they come behind what stands in it, with its
	 * last one's time, so that sorting by time leaves them there.
	 */
	ns = left ? part[last & (KVMLOG_BPF_CPU_RECORDS - 1)].exit_ns : 0;
	while (left) {
		__u64 count = left < most ? left : most;

		take_records(pump, shared, part, count);
		left -= count;
	}
	if (lost > kvmlog_pump_cpu(pump, number)->dropped)
		kvmlog_pump_lose_records(pump, (__u16)number, lost, ns);
}

static int drain_maps(struct kvmlog_pump *pump, int *again_ms)
{
	for (__u32 i = 0; i < pump->maps->count; i++) {
		const struct kvmlog_bpf_cpu *shared = &pump->maps->cpus[i];

		if (kvmlog_load_acquire(&shared->head) == shared->tail &&
		    !kvmlog_load_relaxed(&shared->lost))
			continue;
		pthread_mutex_lock(&pump->writer->lock);
		drain_cpu(pump, i);
		pthread_mutex_unlock(&pump->writer->lock);
	}
	*again_ms = kvmlog_racing_load(pump->maps->control->on) ? KVMLOG_BPF_POLL_MS : -1;
	return 0;
}

static __u64 records_received(const struct kvmlog_pump *pump, __u32 cpu)
{
	return cpu < pump->maps->count ? pump->maps->cpus[cpu].tail : 0;
}

/* No message can be missing; the count of records stands in the maps until restart(). */
static void settle(struct kvmlog_pump *pump, __u16 number, __u64 messages, __u64 dropped)
{
	(void)messages;
	if (dropped > kvmlog_pump_cpu(pump, number)->dropped)
		kvmlog_pump_lose_records(pump, number, dropped, 0);
}

static void restart(struct kvmlog_pump *pump)
{
	for (__u32 i = 0; i < pump->maps->count; i++) {
		__atomic_store_n(&pump->maps->cpus[i].lost, 0, __ATOMIC_RELAXED);
		kvmlog_pump_cpu(pump, i)->dropped = 0;
	}
}

static const struct kvmlog_pump_input bpf_input = {
	.is_polled = 1,
	.drain = drain_maps,
	.received = records_received,
	.settle = settle,
	.restart = restart,
};

/* From any thread: the map in which CPUs write now, as in kvmlog_bpf_records(). */
int kvmlog_pump_records(struct kvmlog_pump *pump, int fd)
{
	int rc;

	pthread_mutex_lock(&pump->writer->lock);
	rc = kvmlog_bpf_records(pump->maps, fd);
	pthread_mutex_unlock(&pump->writer->lock);
	return rc;
}

/* While the pump does not run: take records out of these maps, which outlive that input. */
void kvmlog_pump_maps(struct kvmlog_pump *pump, struct kvmlog_bpf_maps *maps)
{
	if (pump->watch.event_fd < 0)
		pump->watch.event_fd = kvmlog_hotplug_open();
	kvmlog_pump_set_input(pump, &bpf_input, -1, maps);
}
