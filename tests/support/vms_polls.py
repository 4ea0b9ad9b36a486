# SPDX-License-Identifier: GPL-2.0-or-later
"""Polls of `kvmlog vms` for tests, made of the VMs of vmstats_samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kvmlog.cli.vms.exits import VmExits
from kvmlog.cli.vms.poll import Intervals, Line, Poll, poll_of
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.stat.report import Report
from kvmlog.vmstats import file
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.snapshot import Connection, Snapshot, Vm
from tests.support import vmstats_samples as make

UTC = Clocks([ClockPair(0, make.at(0).realtime_ns, 0)])


def poll(
    *vms: Vm,
    report: Report | None = None,
    complete: bool = True,
    at_s: float = 1_004,
    hosts: tuple[Host, ...] | None = None,
    connections: tuple[Connection, ...] | None = None,
) -> Poll:
    """A poll of these VMs, four seconds after the collector's, with a report's exits.

    connections: None: one, which answers, so that a VM that timed out hangs; else there may be no
    VM.
    """
    snapshot = make.snapshot(*vms, hosts=hosts)
    if connections is not None:
        collector = replace(snapshot.collector, connections=connections)
        snapshot = replace(snapshot, collector=collector, vms=vms)
    exits = VmExits(report, complete)
    return poll_of(snapshot, snapshot.vms, exits, UTC, make.at(at_s), Intervals())


def line(vm: Vm, report: Report | None = None) -> Line:
    """The line of one VM."""
    return poll(vm, report=report).lines[0]


def written(folder: Path, snapshot: Snapshot) -> str:
    """The path of a collector's file with this content."""
    path = folder / "vms.json"
    path.write_bytes(file.encode(snapshot))
    return str(path)
