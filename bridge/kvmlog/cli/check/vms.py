# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of VMs from the collector, as `kvmlog rpc` gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from kvmlog.cli.check.figures import Extra, Figure, Measured
from kvmlog.cli.check.status import State
from kvmlog.client import Client
from kvmlog.util.errors import KvmlogError
from kvmlog.vmstats.sample import State as VmState
from kvmlog.vmstats.snapshot import Vm

_NO_RATES: Final = "there is no rate yet: it was polled only once, or its counters began anew"
# State of a VM that nobody has asked for by name; those not named here are fine.
_BAD: Final = {VmState.CRASHED: State.CRITICAL, VmState.NOSTATE: State.UNKNOWN}
# The same of one that is expected to run.
_STOPPED: Final = {
    VmState.BLOCKED: State.OK,
    VmState.CRASHED: State.CRITICAL,
    VmState.NOSTATE: State.UNKNOWN,
    VmState.PAUSED: State.WARNING,
    VmState.PMSUSPENDED: State.WARNING,
    VmState.RUNNING: State.OK,
    VmState.SHUTDOWN: State.WARNING,
    VmState.SHUTOFF: State.CRITICAL,
}
_MS: Final = 1e6


class NotMeasuredError(KvmlogError):
    """Nothing can be measured; the sentence says why."""


def measure(client: Client, words: Sequence[str], of: Callable[[Vm], Figure]) -> Measured:
    """Return a figure of each VM that runs; words: of these VMs only, whether they run or not."""
    return Measured([_figure(vm, of) for vm in _vms(client, words) if words or vm.sample.active])


def cpu(vm: Vm) -> Figure:
    """Return CPU time, in percent of what its vCPUs could have."""
    rates = vm.rates and vm.rates.cpu
    percent = rates.percent_of_vcpus if rates else None
    return _of(vm, percent, "%", _NO_RATES, high=100)


def steal(vm: Vm) -> Figure:
    """Return the time that the worst vCPU was ready without a CPU, in percent."""
    rates = vm.rates and vm.rates.cpu
    if not rates:
        return _of(vm, None, "%", _NO_RATES)
    known = [
        (one.steal_percent, one.number) for one in rates.vcpus if one.steal_percent is not None
    ]
    if not known:
        return _of(vm, None, "%", "libvirt does not tell vcpu.delay")
    percent, vcpu = max(known)
    return _of(vm, percent, "%", high=100, about=f"vCPU {vcpu}")


def memory(vm: Vm) -> Figure:
    """Return the guest's memory that it cannot do without, in percent."""
    found = vm.sample.memory
    if found is None or found.used_bytes is None or not found.available_bytes:
        why = "the guest does not tell (no balloon driver, or its statistics are off)"
        return _of(vm, None, "%", why)
    percent = 100 * found.used_bytes / found.available_bytes
    extras = [Extra("used", found.used_bytes, "B")]
    if found.rss_bytes is not None:
        extras.append(Extra("rss", found.rss_bytes, "B"))
    return _of(vm, percent, "%", high=100, extras=extras)


def disk(vm: Vm) -> Figure:
    """Return the mean time of a request, of the worst disk and direction, in ms."""
    blocks = vm.rates.blocks if vm.rates else None
    if blocks is None:
        return _of(vm, None, "ms", _NO_RATES)
    waits = [
        (ns / _MS, f"{one.target}, {doing}")
        for one in blocks
        for doing, ns in (
            ("reading", one.read_latency_ns),
            ("writing", one.write_latency_ns),
            ("flushing", one.flush_latency_ns),
        )
        if ns is not None
    ]
    longest, where = max(waits, default=(0.0, "no requests"))
    extras = [
        Extra(f"{one.target}_{name}", value, "B")
        for one in blocks
        for name, value in (("read", one.read_bytes_per_s), ("write", one.write_bytes_per_s))
        if value is not None
    ]
    return _of(vm, longest, "ms", about=where, extras=extras)


def network(vm: Vm) -> Figure:
    """Return errors and drops of all interfaces, per second."""
    interfaces = vm.rates.interfaces if vm.rates else None
    if interfaces is None:
        return _of(vm, None, "", _NO_RATES)
    lost = [
        (value, f"{one.key}, {name}")
        for one in interfaces
        for name, value in (
            ("rx errors", one.rx_errors_per_s),
            ("rx drops", one.rx_drops_per_s),
            ("tx errors", one.tx_errors_per_s),
            ("tx drops", one.tx_drops_per_s),
        )
        if value is not None
    ]
    most, where = max(lost, default=(0.0, ""))
    extras = [
        Extra(f"{one.key}_{name}", value, "B")
        for one in interfaces
        for name, value in (("rx", one.rx_bytes_per_s), ("tx", one.tx_bytes_per_s))
        if value is not None
    ]
    about = f"most {where}" if most else ""
    total = sum(value for value, _ in lost)
    return replace(_of(vm, total, "", about=about, extras=extras), per="a second")


def state(client: Client, words: Sequence[str]) -> Measured:
    """Return how many VMs run, and which are not as they should be; words: these should run."""
    vms = _vms(client, words)
    expected = _STOPPED if words else _BAD
    fixed = [
        (
            State.CRITICAL if vm.sample.timed_out else expected.get(vm.sample.state, State.OK),
            _state_words(vm),
        )
        for vm in vms
    ]
    running = sum(vm.sample.state in (VmState.RUNNING, VmState.BLOCKED) for vm in vms)
    figure = Figure("running", running, "", high=len(vms))
    good = f"{running} of {len(vms)} VMs run" if len(vms) != 1 else fixed[0][1]
    return Measured([figure], fixed=fixed, good=good, notes=[words for _, words in fixed])


def _vms(client: Client, words: Sequence[str]) -> Sequence[Vm]:
    found = client.vm_stats(words)
    if found.late is not None:
        raise NotMeasuredError(found.late)
    return found.snapshot.vms


def _figure(vm: Vm, of: Callable[[Vm], Figure]) -> Figure:
    sample = vm.sample
    if not sample.active:
        return _of(vm, None, "", f"does not run ({sample.state.name.lower()})")
    if sample.timed_out:
        return _of(vm, None, "", "does not answer libvirt; its figures are old")
    return of(vm)


def _state_words(vm: Vm) -> str:
    hung = ", and does not answer libvirt" if vm.sample.timed_out else ""
    return f"{vm.sample.name} is {vm.sample.state.name.lower()}{hung}"


def _of(
    vm: Vm,
    value: float | None,
    unit: str,
    why: str = "",
    high: float | None = None,
    about: str = "",
    extras: Iterable[Extra] = (),
) -> Figure:
    return Figure(
        vm.sample.name, value, unit, high=high, why=why, about=about, extras=tuple(extras)
    )
