# SPDX-License-Identifier: GPL-2.0-or-later
"""What VMs use, in the names and labels of inovex' prometheus-libvirt-exporter.

Where that is ambiguous, this is not: no two series have the same labels, whatever names domains and
devices have; what is not known has no sample; what libvirt counts in ns is in seconds throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import Metric

from kvmlog.metrics.series import Families, Kind, Labels, Room, apart, label
from kvmlog.vmstats.definition import Instance
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Block, Interface, Memory, Sample, State, Vcpu
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views.devices import disks

_STATES: Final = {
    State.NOSTATE: "no state",
    State.RUNNING: "the domain is running",
    State.BLOCKED: "the domain is blocked on resource",
    State.PAUSED: "the domain is paused by user",
    State.SHUTDOWN: "the domain is being shut down",
    State.SHUTOFF: "the domain is shut off",
    State.CRASHED: "the domain is crashed",
    State.PMSUSPENDED: "the domain is suspended by guest power management",
}
# enum virVcpuState
_VCPU_STATES: Final = {"offline": 0, "running": 1, "blocked": 2}
_DOMAIN: Final = "libvirt_domain_"
_BLOCK: Final = f"{_DOMAIN}block_stats_"
_NET: Final = f"{_DOMAIN}interface_stats_"
_MEMORY: Final = f"{_DOMAIN}memory_stats_"

# Field of the sample, by what follows the prefix.
_BLOCK_FIGURES: Final = {
    "read_bytes_total": ("read_bytes", "Bytes read from the disk."),
    "read_requests_total": ("read_requests", "Read requests to the disk."),
    "write_bytes_total": ("write_bytes", "Bytes written to the disk."),
    "write_requests_total": ("write_requests", "Write requests to the disk."),
    "flush_requests_total": ("flush_requests", "Flush requests to the disk."),
}
_BLOCK_TIMES: Final = {
    "read_time_seconds_total": ("read_time_ns", "Time in read requests that completed."),
    "write_time_seconds_total": ("write_time_ns", "Time in write requests that completed."),
    "flush_time_seconds_total": ("flush_time_ns", "Time in flush requests that completed."),
}
_NET_FIGURES: Final = {
    "receive_bytes_total": ("rx_bytes", "Bytes that the guest received."),
    "receive_packets_total": ("rx_packets", "Packets that the guest received."),
    "receive_errors_total": ("rx_errors", "Errors in receiving."),
    "receive_drops_total": ("rx_drops", "Packets to the guest that were dropped."),
    "transmit_bytes_total": ("tx_bytes", "Bytes that the guest sent."),
    "transmit_packets_total": ("tx_packets", "Packets that the guest sent."),
    "transmit_errors_total": ("tx_errors", "Errors in sending."),
    "transmit_drops_total": ("tx_drops", "Packets of the guest that were dropped."),
}
_MEMORY_FIGURES: Final = {
    "current_balloon_bytes": ("actual_bytes", "Memory that the guest has now."),
    "maximum_bytes": ("maximum_bytes", "Memory that it may have."),
    "rss_bytes": ("rss_bytes", "Resident memory of the domain's process."),
    "available_bytes": ("available_bytes", "Memory that the guest's kernel manages."),
    "unused_bytes": ("unused_bytes", "Memory of the guest that nothing has touched."),
    "usable_bytes": ("usable_bytes", "Memory that the guest can have without swapping."),
    "disk_caches_bytes": ("disk_caches_bytes", "Disk caches of the guest."),
    "swap_in_bytes": ("swap_in_bytes", "Bytes that the guest has swapped in."),
    "swap_out_bytes": ("swap_out_bytes", "Bytes that the guest has swapped out."),
    "major_fault_total": ("major_faults", "Page faults of the guest that took I/O."),
    "minor_fault_total": ("minor_faults", "Page faults of the guest without I/O."),
    "hugetlb_pgalloc_total": ("huge_page_allocations", "Huge pages that the guest allocated."),
    "hugetlb_pgfail_total": ("huge_page_failures", "Huge pages that it could not have."),
}
_VCPU_TIMES: Final = {
    "time_seconds_total": ("time_ns", "CPU time of the vCPU's thread."),
    "wait_seconds_total": ("wait_ns", "Time that it was on a run queue, as the scheduler counts."),
    "delay_seconds_total": ("delay_ns", "Time that it was ready without a CPU: steal."),
}


def _kind(name: str) -> Kind:
    return "counter" if name.endswith("_total") else "gauge"


def _declared(prefix: str, figures: Mapping[str, tuple[str, str]]) -> dict[str, tuple[Kind, str]]:
    return {f"{prefix}{name}": (_kind(name), about) for name, (_, about) in figures.items()}


FAMILIES: Final[Mapping[str, tuple[Kind, str]]] = {
    "libvirt_up": ("gauge", "1: all libvirt connections answer the collector."),
    "libvirt_domains": ("gauge", "Domains, those that do not run included."),
    "kvmlog_collector_connected": ("gauge", "1: this libvirt connection answers."),
    "kvmlog_collector_hung_domains": ("gauge", "Domains that do not answer."),
    "kvmlog_collector_age_seconds": ("gauge", "Since the collector wrote its figures."),
    "kvmlog_collector_interval_seconds": ("gauge", "Between two polls, as its budget allows."),
    "kvmlog_collector_cpu_seconds_total": (
        "counter",
        "CPU time that collecting took: of the collector, and of libvirtd for it.",
    ),
    "kvmlog_domain_info": ("gauge", "The UUID of a domain, which kvmlog_exits_total has too."),
    f"{_DOMAIN}info": ("gauge", "What the domain is, as labels."),
    f"{_DOMAIN}info_state": ("gauge", "State of the domain (virDomainState)."),
    f"{_DOMAIN}info_maximum_memory_bytes": ("gauge", "Memory that the domain may have."),
    f"{_DOMAIN}info_memory_usage_bytes": ("gauge", "Memory that the domain has: its balloon."),
    f"{_DOMAIN}info_virtual_cpus": ("gauge", "vCPUs that the domain has."),
    f"{_DOMAIN}info_cpu_time_seconds_total": ("counter", "CPU time of the domain's process."),
    f"{_DOMAIN}timed_out": ("gauge", "1: it did not answer; its figures are the last known."),
    f"{_DOMAIN}openstack_info": ("gauge", "What Nova wrote of the domain, as labels."),
    f"{_DOMAIN}vcpu_current": ("gauge", "vCPUs that are online."),
    f"{_DOMAIN}vcpu_maximum": ("gauge", "vCPUs that it may have."),
    f"{_DOMAIN}vcpu_state": ("gauge", "0: offline, 1: running, 2: blocked."),
    **_declared(f"{_DOMAIN}vcpu_", _VCPU_TIMES),
    **_declared(_BLOCK, {**_BLOCK_FIGURES, **_BLOCK_TIMES}),
    f"{_BLOCK}capacity_bytes": ("gauge", "Size of the disk, as the guest sees it."),
    f"{_BLOCK}allocation_bytes": ("gauge", "Highest offset written in the image."),
    "kvmlog_domain_block_errors_total": (
        "counter",
        "I/O errors of the disk that the guest, or its pause, saw.",
    ),
    **_declared(_NET, _NET_FIGURES),
    **_declared(_MEMORY, _MEMORY_FIGURES),
    f"{_MEMORY}used_percent": ("gauge", "Memory of the guest that it cannot do without, of all."),
    f"{_MEMORY}last_update_timestamp_seconds": ("gauge", "When the guest last told its memory."),
}


def families(snapshot: Snapshot | None, late: bool, now: Moment, room: Room) -> list[Metric]:
    """Return the families of all domains, as far as there is room.

    snapshot None: there is none; late: it should have been replaced by now. Then there is
    libvirt_up alone, and 0: figures of long ago would look like those of an idle VM.
    """
    made = Families(FAMILIES)
    if snapshot is None or late:
        made.add("libvirt_up", {}, 0)
    if snapshot is None:
        return made.metrics()
    _collector(made, snapshot, now, late)
    if late:
        return made.metrics()
    # As labels: of two that are cut, their ends may be all that differs.
    uris = {label(one.uri) for one in snapshot.collector.connections}
    uris |= {label(vm.sample.uri) for vm in snapshot.vms}
    taken: dict[str, set[str]] = {}
    # In the same order each time: whose name gets something added, and who finds room.
    for vm in sorted(snapshot.vms, key=lambda vm: (vm.sample.uri, vm.sample.uuid)):
        sample = vm.sample
        uri = label(sample.uri)
        name = apart(taken.setdefault(uri, set()), label(sample.name), label(sample.uuid))
        labels = {"domain": name, **({"uri": uri} if len(uris) > 1 else {})}
        if room.admit(_series(sample)):
            _domain(made, vm, labels)
    return made.metrics()


def _collector(made: Families, snapshot: Snapshot, now: Moment, late: bool) -> None:
    collector = snapshot.collector
    if not late:
        connected = all(one.connected for one in collector.connections)
        made.add("libvirt_up", {}, int(connected))
        made.add("libvirt_domains", {}, len(snapshot.vms))
    uris: set[str] = set()
    for one in collector.connections:
        labels = {"uri": apart(uris, label(one.uri), "again")}
        made.add("kvmlog_collector_connected", labels, int(one.connected and not late))
        made.add("kvmlog_collector_hung_domains", labels, len(one.hung))
    age_ns = max(0, now.monotonic_ns - collector.written.monotonic_ns)
    made.add_seconds("kvmlog_collector_age_seconds", {}, age_ns)
    made.add("kvmlog_collector_interval_seconds", {}, collector.effective_interval_s)
    cost = collector.cost
    for process, ns in (("collector", cost.own_cpu_ns), ("libvirtd", cost.libvirtd_cpu_ns)):
        made.add_seconds("kvmlog_collector_cpu_seconds_total", {"process": process}, ns)


def _series(sample: Sample) -> int:
    """Return how many series a domain has at most."""
    vcpus = len(sample.cpu.vcpus) if sample.cpu else 0
    return (
        len(_MEMORY_FIGURES)
        + 14
        + 4 * vcpus
        + 11 * len(sample.blocks or ())
        + len(_NET_FIGURES) * len(sample.interfaces or ())
    )


def _domain(made: Families, vm: Vm, domain: Labels) -> None:
    sample = vm.sample
    definition = sample.definition
    made.add("kvmlog_domain_info", {**domain, "uuid": label(sample.uuid)}, 1)
    kind = {
        "os_type": "hvm" if definition.kind in ("kvm", "qemu") else "",
        "os_type_arch": label(definition.arch),
        "os_type_machine": label(definition.machine),
    }
    made.add(f"{_DOMAIN}info", {**domain, **kind}, 1)
    state = {"state_desc": _STATES[sample.state]}
    made.add(f"{_DOMAIN}info_state", {**domain, **state}, int(sample.state))
    made.add(f"{_DOMAIN}info_maximum_memory_bytes", domain, definition.maximum_memory_bytes)
    balloon = sample.memory.actual_bytes if sample.memory else None
    made.add(
        f"{_DOMAIN}info_memory_usage_bytes",
        domain,
        definition.memory_bytes if balloon is None else balloon,
    )
    made.add(f"{_DOMAIN}info_virtual_cpus", domain, definition.vcpus)
    made.add(f"{_DOMAIN}timed_out", domain, int(sample.timed_out))
    if definition.instance is not None:
        labels = {**domain, **_openstack(definition.instance, sample.uuid)}
        made.add(f"{_DOMAIN}openstack_info", labels, 1)
    if not sample.active:
        return
    if sample.cpu is not None:
        made.add_seconds(f"{_DOMAIN}info_cpu_time_seconds_total", domain, sample.cpu.time_ns)
        _vcpus(made, sample.cpu.vcpus, domain)
        made.add(f"{_DOMAIN}vcpu_maximum", domain, definition.max_vcpus)
    if sample.memory is not None:
        _memory(made, sample.memory, domain)
    _blocks(made, vm, domain)
    for name, one in _interfaces(sample.interfaces or ()):
        labels = {**domain, "target_device": name}
        for figure, (field, _) in _NET_FIGURES.items():
            made.add(f"{_NET}{figure}", labels, getattr(one, field))


def _openstack(instance: Instance, uuid: str) -> Labels:
    return {
        "instance_name": label(instance.name),
        "instance_id": label(uuid),
        "flavor_name": label(instance.flavor_name),
        "user_name": label(instance.user_name),
        "user_id": label(instance.user_id),
        "project_name": label(instance.project_name),
        "project_id": label(instance.project_id),
    }


def _vcpus(made: Families, vcpus: tuple[Vcpu, ...], domain: Labels) -> None:
    made.add(f"{_DOMAIN}vcpu_current", domain, len(vcpus))
    for one in {one.number: one for one in vcpus}.values():
        labels = {**domain, "vcpu": str(one.number)}
        made.add(f"{_DOMAIN}vcpu_state", labels, _VCPU_STATES.get(one.state or ""))
        for name, (field, _) in _VCPU_TIMES.items():
            made.add_seconds(f"{_DOMAIN}vcpu_{name}", labels, getattr(one, field))


def _memory(made: Families, memory: Memory, domain: Labels) -> None:
    for name, (field, _) in _MEMORY_FIGURES.items():
        made.add(f"{_MEMORY}{name}", domain, getattr(memory, field))
    if memory.used_bytes is not None and memory.available_bytes:
        percent = 100 * memory.used_bytes / memory.available_bytes
        made.add(f"{_MEMORY}used_percent", domain, percent)
    made.add_seconds(
        f"{_MEMORY}last_update_timestamp_seconds", domain, memory.guest_updated_realtime_ns
    )


def _blocks(made: Families, vm: Vm, domain: Labels) -> None:
    told = {one.target for one in vm.sample.blocks or ()}
    # Without CD-ROM and floppy drives.
    found: dict[str, Block] = {disk.target: disk.block for disk in disks(vm) if disk.target in told}
    targets: set[str] = set()
    for target, one in found.items():
        labels = {**domain, "target_device": apart(targets, label(target), "again")}
        for name, (field, _) in _BLOCK_FIGURES.items():
            made.add(f"{_BLOCK}{name}", labels, getattr(one, field))
        for name, (field, _) in _BLOCK_TIMES.items():
            made.add_seconds(f"{_BLOCK}{name}", labels, getattr(one, field))
        made.add(f"{_BLOCK}capacity_bytes", labels, one.capacity_bytes)
        made.add(f"{_BLOCK}allocation_bytes", labels, one.allocation_bytes)
        made.add("kvmlog_domain_block_errors_total", labels, one.io_errors)


def _interfaces(interfaces: tuple[Interface, ...]) -> Iterator[tuple[str, Interface]]:
    """Yield each with a name that no other of the domain has: the host's device, where it has."""
    names: set[str] = set()
    for one in interfaces:
        name = label(one.target or one.alias or one.mac)
        yield apart(names, name, label(one.mac or one.alias)), one
