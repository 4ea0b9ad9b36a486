# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of two CPUs and the pump at the same maps at once."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Final

from kvmlog.bridge import wire
from kvmlog.bridge.pump import Pump
from kvmlog.bridge.ring import RingReader
from kvmlog.bridge.writer import RingWriter
from kvmlog.native import ffi, lib
from tests import ring_making as make
from tests.bpf_maps_making import PART, Programs

# By each of two threads, into a ring that holds them all.
PLAYED: Final = 125_000
PLAYED_SLOTS: Final = 1 << 18
HANG_S: Final = 60


def play(programs: Programs, cpu: int) -> None:
    """A thread: PLAYED records with their number in three places, none given up for want of room.

    On x86-64 the two stores keep their order, as the program's barrier has it.
    """
    shared, part = programs.cpus[cpu], programs.records + cpu * PART
    for number in range(PLAYED):
        while number - shared.tail == PART:
            time.sleep(0.0005)
        record = part[number % PART]
        record.exit_ns = record.total_ns = record.detail = number
        shared.head = number + 1


def test_programs_and_pump_at_once(tmp_path: Path) -> None:
    """Two CPUs write while the pump takes: every record once, whole, and in the CPU's order."""
    cpus = 2
    programs = Programs(cpus)
    for cpu in range(cpus):
        template = make.exit_bytes(cpu=cpu)
        ffi.memmove(programs.records + cpu * PART, template * PART, PART * wire.RECORD_BYTES)
    with RingWriter(str(tmp_path / "large"), PLAYED_SLOTS) as writer:
        pump = Pump(writer)
        lib.kvmlog_pump_maps(pump.native, programs.native)
        pump.start()
        players = [
            threading.Thread(target=play, args=(programs, cpu), daemon=True) for cpu in range(cpus)
        ]
        for player in players:
            player.start()
        for player in players:
            player.join(HANG_S)
            assert not player.is_alive()
        pump.close()
        with RingReader(writer.path) as reader:
            records = reader.snapshot().records
        assert writer.header().head == cpus * PLAYED
    offsets = [
        ffi.offsetof("struct kvmlog_record", name)
        for name in ("exit_ns", "total_ns", "detail", "cpu")
    ]
    came: dict[int, list[int]] = {cpu: [] for cpu in range(cpus)}
    for at in range(0, len(records), wire.RECORD_BYTES):
        first, second, third = (
            struct.unpack_from("=Q", records, at + offset)[0] for offset in offsets[:3]
        )
        assert first == second == third
        came[struct.unpack_from("=H", records, at + offsets[3])[0]].append(first)
    assert came == {cpu: list(range(PLAYED)) for cpu in range(cpus)}
