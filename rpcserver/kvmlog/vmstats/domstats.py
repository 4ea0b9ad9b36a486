# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of a domain from one record of virConnectGetAllDomainStats.

The keys are described in libvirt's src/libvirt-domain.c. What libvirt did not give, gave as -1, or
as the unsigned number that -1 becomes, is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats.definition import Definition, Nic
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import (
    ACTIVE,
    Absence,
    Block,
    Cpu,
    Interface,
    Memory,
    State,
    Vcpu,
)

# Where the XML has no period, somebody may have set one since; this is Nova's, and the usual one.
ASSUMED_PERIOD_S: Final = 10
_STALE_PERIODS: Final = 2
_BUSY: Final = "another request, or a migration that comes in, occupies its QEMU"
_KIB: Final = 1024
_STATES: Final = frozenset(State)
_VCPU_STATES: Final = ("offline", "running", "blocked")  # virVcpuState
# A counter that got so far would have been counting since before there was libvirt.
_MOST: Final = (1 << 63) - 1

# The keys of one record below "GROUP.N.", by group and N.
_Groups = dict[str, dict[int, dict[str, Any]]]


@dataclass(frozen=True)
class Parts:
    """The groups of a sample, and what is not there."""

    state: State
    state_reason: int
    cpu: Cpu | None
    memory: Memory | None
    blocks: tuple[Block, ...] | None
    interfaces: tuple[Interface, ...] | None
    absent: tuple[Absence, ...]


def read(
    record: Mapping[str, Any],
    taken: Moment,
    definition: Definition,
    *,
    io_errors: Mapping[str, int],
) -> Parts:
    """Read one record; its domain's definition says which devices there are.

    io_errors: events IO_ERROR by target. A domain that does not run has no figures, and nothing is
    absent then: its cpu.* is the CPU time of libvirtd.
    """
    number = _count(record, "state.state")
    state = State(number) if number in _STATES else State.NOSTATE
    reason = _count(record, "state.reason") or 0
    if state not in ACTIVE:
        return Parts(state, reason, None, None, None, None, ())
    groups = _grouped(record)
    cpu = _cpu(record, groups, taken)
    memory, silent = _memory(record, taken, definition)
    blocks = _blocks(groups, definition, io_errors) if "block.count" in record else None
    interfaces = _interfaces(groups, definition) if "net.count" in record else None
    absent = [
        Absence(group, f"libvirt gave no {what}")
        for group, what, figures in (
            ("cpu", "CPU time", cpu),
            ("memory", "memory figures", memory),
            ("blocks", f"disk figures: {_BUSY}", blocks),
            ("interfaces", "interface figures", interfaces),
        )
        if figures is None
    ]
    if silent is not None and memory is not None:
        absent.append(silent)
    return Parts(state, reason, cpu, memory, blocks, interfaces, tuple(absent))


def _grouped(record: Mapping[str, Any]) -> _Groups:
    groups: _Groups = {"vcpu": {}, "net": {}, "block": {}}
    for key in record:
        group, _, rest = key.partition(".")
        index, _, name = rest.partition(".")
        if group in groups and name and index.isascii() and index.isdecimal():
            groups[group].setdefault(int(index), {})[name] = record[key]
    return groups


def _count(record: Mapping[str, Any], key: str, scale: int = 1) -> int | None:
    """Return a figure that cannot be negative, times `scale`; None where it is not known."""
    value = record.get(key)
    if type(value) is not int or not 0 <= value <= _MOST:
        return None
    return value * scale


def _cpu(record: Mapping[str, Any], groups: _Groups, taken: Moment) -> Cpu | None:
    vcpus = tuple(_vcpu(number, keys) for number, keys in sorted(groups["vcpu"].items()))
    cpu = Cpu(
        taken=taken,
        time_ns=_count(record, "cpu.time"),
        user_ns=_count(record, "cpu.user"),
        system_ns=_count(record, "cpu.system"),
        guest_ns=None,
        vcpus=vcpus,
    )
    return cpu if cpu.time_ns is not None or vcpus else None


def _vcpu(number: int, keys: Mapping[str, Any]) -> Vcpu:
    state = _count(keys, "state")
    halted = keys.get("halted")
    return Vcpu(
        number=number,
        state=_VCPU_STATES[state] if state is not None and state < len(_VCPU_STATES) else None,
        time_ns=_count(keys, "time"),
        # libvirt gives 0 where the kernel does not count them: no vCPU that ran has never waited.
        wait_ns=_count(keys, "wait") or None,
        delay_ns=_count(keys, "delay") or None,
        halted=halted if isinstance(halted, bool) else None,
    )


def _memory(
    record: Mapping[str, Any], taken: Moment, definition: Definition
) -> tuple[Memory | None, Absence | None]:
    """Return the figures, and why those that only the guest knows are not among them."""
    updated_s = _count(record, "balloon.last-update") or None
    if "balloon.rss" in record:
        silent = _silence(updated_s, taken, definition)
    else:
        silent = Absence("memory", f"libvirt gave no memory figures of the guest: {_BUSY}")
    guest = record if silent is None else {}
    memory = Memory(
        taken=taken,
        actual_bytes=_count(record, "balloon.current", _KIB),
        maximum_bytes=_count(record, "balloon.maximum", _KIB),
        rss_bytes=_count(record, "balloon.rss", _KIB),
        guest_updated_realtime_ns=None if updated_s is None else updated_s * NS_PER_S,
        available_bytes=_count(guest, "balloon.available", _KIB),
        unused_bytes=_count(guest, "balloon.unused", _KIB),
        usable_bytes=_count(guest, "balloon.usable", _KIB),
        disk_caches_bytes=_count(guest, "balloon.disk_caches", _KIB),
        swap_in_bytes=_count(guest, "balloon.swap_in", _KIB),
        swap_out_bytes=_count(guest, "balloon.swap_out", _KIB),
        major_faults=_count(guest, "balloon.major_fault"),
        minor_faults=_count(guest, "balloon.minor_fault"),
        huge_page_allocations=_count(guest, "balloon.hugetlb_pgalloc"),
        huge_page_failures=_count(guest, "balloon.hugetlb_pgfail"),
    )
    if all(value is None for name, value in vars(memory).items() if name != "taken"):
        return None, None
    return memory, silent


def _silence(updated_s: int | None, taken: Moment, definition: Definition) -> Absence | None:
    """Return why the guest's own figures of memory cannot be used; None where they can.

    They stand still while the guest does not run or has no driver, and where no period is set. One
    second more than two periods: last-update is in whole seconds.
    """
    if not definition.balloon:
        return Absence("memory", "the domain has no memory balloon, which would tell the guest's")
    if updated_s is None:
        return Absence("memory", "the guest's balloon driver has told nothing yet")
    age_s = taken.realtime_ns / NS_PER_S - updated_s
    period_s = definition.balloon_period_s
    if age_s <= _STALE_PERIODS * (period_s or ASSUMED_PERIOD_S) + 1:
        return None
    if period_s is None:
        reason = (
            "the balloon has no statistics period; set one: virsh dommemstat DOMAIN --period 10 "
            "--live, or kvmlog vmstats --balloon-period 10"
        )
    else:
        reason = f"the guest's balloon driver is silent, though it is asked every {period_s} s"
    return Absence("memory", reason, age_s)


def _blocks(
    groups: _Groups, definition: Definition, io_errors: Mapping[str, int]
) -> tuple[Block, ...] | None:
    """Return the disks of the XML, in its order; None where libvirt counted for none of them."""
    entries: dict[str, Mapping[str, Any]] = {}
    for _, keys in sorted(groups["block"].items()):
        # Images of a backing chain follow their disk and have its name; only the first of a name
        # has the guest's counters. block.N.backingIndex does not tell: the first has it too.
        entries.setdefault(clean(str(keys.get("name", ""))), keys)
    blocks = tuple(
        _block(disk.target, entries.get(disk.target, {}), io_errors.get(disk.target, 0))
        for disk in definition.disks
    )
    unknown = _block("", {}, 0)
    known = any(replace(block, target="", io_errors=0) != unknown for block in blocks)
    return blocks if known or not blocks else None


def _block(target: str, keys: Mapping[str, Any], io_errors: int) -> Block:
    return Block(
        target=target,
        read_bytes=_count(keys, "rd.bytes"),
        read_requests=_count(keys, "rd.reqs"),
        read_time_ns=_count(keys, "rd.times"),
        write_bytes=_count(keys, "wr.bytes"),
        write_requests=_count(keys, "wr.reqs"),
        write_time_ns=_count(keys, "wr.times"),
        flush_requests=_count(keys, "fl.reqs"),
        flush_time_ns=_count(keys, "fl.times"),
        errors=_count(keys, "errors"),
        io_errors=io_errors,
        capacity_bytes=_count(keys, "capacity"),
        allocation_bytes=_count(keys, "allocation"),
        physical_bytes=_count(keys, "physical"),
    )


def _interfaces(groups: _Groups, definition: Definition) -> tuple[Interface, ...]:
    """Return the interfaces of the XML, in its order, then those that it does not have.

    An entry belongs to the interface with its name; where several have it, to the one at its place.
    """
    nics = definition.nics
    chosen: dict[int, Mapping[str, Any]] = {}
    unknown: dict[str, Mapping[str, Any]] = {}
    for index, keys in sorted(groups["net"].items()):
        name = clean(str(keys.get("name", "")))
        places = [at for at, nic in enumerate(nics) if nic.target == name and at not in chosen]
        if places:
            chosen[index if index in places else places[0]] = keys
        elif name:
            unknown.setdefault(name, keys)
    macs = Counter(nic.mac for nic in nics if nic.mac is not None)
    found = [
        _interface(nic, chosen.get(at, {}), shared=nic.mac is not None and macs[nic.mac] > 1)
        for at, nic in enumerate(nics)
    ]
    found += [
        _interface(Nic(None, "", name, None, None, None), keys, shared=False)
        for name, keys in unknown.items()
    ]
    by_key: dict[str, Interface] = {}
    for interface in found:
        by_key.setdefault(interface.key, interface)
    return tuple(by_key.values())


def _interface(nic: Nic, keys: Mapping[str, Any], *, shared: bool) -> Interface:
    """Return an interface; libvirt counts as the guest does (virDomainNetTypeSharesHostView)."""
    return Interface(
        mac=nic.mac,
        target=nic.target,
        alias=nic.alias,
        rx_bytes=_count(keys, "rx.bytes"),
        rx_packets=_count(keys, "rx.pkts"),
        rx_errors=_count(keys, "rx.errs"),
        rx_drops=_count(keys, "rx.drop"),
        tx_bytes=_count(keys, "tx.bytes"),
        tx_packets=_count(keys, "tx.pkts"),
        tx_errors=_count(keys, "tx.errs"),
        tx_drops=_count(keys, "tx.drop"),
        mac_shared=shared,
    )
