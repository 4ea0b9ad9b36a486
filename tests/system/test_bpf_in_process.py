# SPDX-License-Identifier: GPL-2.0-or-later
"""The source bpf connected in the test's own process: its notes, its leases, its maps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import AnyRecord, GuestRecord, Record, SwitchRecord, unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SwitchConfig
from kvmlog.sources.bpf import plan
from kvmlog.sources.bpf.source import BpfSource
from tests.support.bpf_host import needs_returns
from tests.support.bpf_process import exits_of, guests, run_guest, user_exits
from tests.support.bridge_process import BPF_CACHE, HANG_S, until


class InProcess:
    """The source, a pump and a ring in this process, connected as the engine does it."""

    def __init__(self, folder: Path) -> None:
        self.writer = RingWriter(str(folder / "own ring"), 1 << 16)
        self.pump = Pump(self.writer)
        self.source = BpfSource(cache=str(BPF_CACHE))

    def connect(self) -> None:
        """Programs are compiled anew; what the ring holds stays."""
        self.source.open()
        self.pump.stop()
        self.source.pump(self.pump.native)
        self.pump.start()

    def disconnect(self) -> None:
        """The pump leaves the maps before they go."""
        self.pump.detach()
        self.source.close()

    def records(self) -> list[AnyRecord]:
        with RingReader(self.writer.path) as reader:
            return unpack_records(reader.snapshot().records)

    def notes(self) -> int:
        """Records in the ring that are no exits."""
        return sum(not isinstance(r, Record) for r in self.records())

    def switches(self) -> list[SwitchRecord]:
        return [r for r in self.records() if isinstance(r, SwitchRecord)]

    def close(self) -> None:
        """A second call does nothing."""
        self.pump.close()
        self.source.close()
        self.writer.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[InProcess]:
    """Connected, and off."""
    made_here = InProcess(tmp_path)
    made_here.connect()
    yield made_here
    made_here.close()


@needs_returns
def test_notes_are_counted_right_over_several_connections(own: InProcess) -> None:
    """Each counts its own, of the programs, of the pump and of the source: all that was written."""
    told = []
    written = 0
    for turns, stays_on in ((1, False), (2, True), (1, False)):
        for _ in range(turns):
            own.source.switch(SwitchConfig(on=True))
            run_guest("--turns", "20", "--vcpus", "2")
            own.source.switch(SwitchConfig(on=False))
        if stays_on:
            own.source.switch(SwitchConfig(on=True, one_in=2))
        # Nothing is written any more: what is told has to stand there.
        own.pump.stop()
        told.append(own.source.status().counters["notes"])
        assert told[-1] == own.notes() - written
        written = own.notes()
        own.disconnect()
        own.connect()
        assert own.source.status().counters["notes"] == 0
    # At least a CLOCK, a GUEST and two SWITCH records each time.
    assert told[0] >= 4
    assert told[1] >= 2 * 4 + 2
    assert sum(told) == own.notes() == own.pump.statistics()["notes"] + len(all_guests(own))
    assert own.writer.header().lost_records == 0


def all_guests(of: InProcess) -> list[GuestRecord]:
    """The GUEST records, which programs write."""
    return [r for r in of.records() if isinstance(r, GuestRecord)]


@needs_returns
def test_a_lease_ends_by_itself(own: InProcess) -> None:
    """The lease ends at its time, whenever that is noticed; programs do nothing afterwards."""
    lease_ms = 300
    before = time.monotonic_ns()
    own.source.switch(SwitchConfig(on=True, lease_ms=lease_ms))
    after = time.monotonic_ns()
    sleep_until(after + lease_ms * 1_000_000)
    said = run_guest("--turns", "50")
    until(lambda: not own.source.status().on)
    assert not own.source.status().attached
    records = own.records()
    assert guests(records, said["pid"]) == []
    begin, end = own.switches()
    assert (begin.on, begin.cause) == (1, lib.KVMLOG_SWITCH_COMMAND)
    assert (end.on, end.cause) == (0, lib.KVMLOG_SWITCH_LEASE)
    assert before <= end.ns - lease_ms * 1_000_000 <= after
    assert begin.config_epoch == end.config_epoch
    assert all(r.exit_ns < end.ns for r in records if isinstance(r, Record))


@needs_returns
def test_a_lease_that_is_renewed_after_its_end_is_a_new_switch_on(own: InProcess) -> None:
    """Also where nobody asked in between; then programs are attached and record again."""
    own.source.switch(SwitchConfig(on=True, lease_ms=1))
    sleep_until(time.monotonic_ns() + 1_000_000)
    own.source.switch(SwitchConfig(on=True, lease_ms=1000 * HANG_S))
    assert own.source.status().attached
    said = run_guest("--turns", "50")
    # The same before its end: longer, and no switch.
    own.source.switch(SwitchConfig(on=True, lease_ms=2000 * HANG_S))
    assert own.source.status().lease_ms > 1000 * HANG_S
    own.source.switch(SwitchConfig(on=False))
    first, end, second, off = own.switches()
    assert [(r.on, r.cause) for r in (first, end, second, off)] == [
        (1, lib.KVMLOG_SWITCH_COMMAND),
        (0, lib.KVMLOG_SWITCH_LEASE),
        (1, lib.KVMLOG_SWITCH_COMMAND),
        (0, lib.KVMLOG_SWITCH_COMMAND),
    ]
    assert end.ns <= second.ns <= off.ns
    assert second.config_epoch == off.config_epoch == first.config_epoch + 1
    records = own.records()
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert user_exits(exits) == said["user_exits"]
    assert {r.config_epoch for r in exits} == {second.config_epoch}


def sleep_until(ns: int) -> None:
    """CLOCK_MONOTONIC has come there."""
    while time.monotonic_ns() < ns:
        time.sleep(0.001)


@needs_returns
def test_a_part_is_mapped_only_for_cpus_that_wrote(own: InProcess) -> None:
    """Parts that no CPU wrote are not resident, and none while off.

    The records in the others are the guest's.
    """
    assert own.source._maps is not None
    native = own.source._maps.native
    assert native.records == ffi.NULL
    assert native.count == plan.possible_cpus()
    assert [number for number in range(native.count) if native.parts[number] != ffi.NULL] == []
    allowed = os.sched_getaffinity(0)
    only = max(allowed)
    own.source.switch(SwitchConfig(on=True))
    os.sched_setaffinity(0, {only})
    try:
        said = run_guest("--turns", "50", "--vcpus", "2")
    finally:
        os.sched_setaffinity(0, allowed)
    assert own.source._maps is not None
    until(own.source._maps.drained)
    mapped = {number for number in range(native.count) if native.parts[number] != ffi.NULL}
    assert mapped == {number for number in range(native.count) if native.cpus[number].head}
    assert only in mapped
    own.source.switch(SwitchConfig(on=False))
    assert [number for number in range(native.count) if native.parts[number] != ffi.NULL] == []
    records = own.records()
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert user_exits(exits) == said["user_exits"]
    assert {r.cpu for r in exits} == {only}
