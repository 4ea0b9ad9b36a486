# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of the BPF source in files, as the engine maps them: parts on demand, configurations."""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SwitchConfig
from kvmlog.sources.bpf.maps import Maps
from kvmlog.util.errors import SourceError
from tests.native import lib as testing
from tests.support import records as make
from tests.support.bpf_maps import CPUS, PART, THREADS, drain, stream

SLOTS: Final = 1 << 14


class Files:
    """Maps in files instead of BPF maps, which are mapped the same way; others are missing."""

    def __init__(self) -> None:
        sizes = {
            "kvmlog_control": ffi.sizeof("struct kvmlog_bpf_control"),
            "kvmlog_cpus": CPUS * ffi.sizeof("struct kvmlog_bpf_cpu"),
            "kvmlog_records": CPUS * PART * RECORD_BYTES,
            "kvmlog_slots": THREADS * ffi.sizeof("struct kvmlog_bpf_slot"),
        }
        self.fds = dict.fromkeys(("kvmlog_threads", "kvmlog_free", "kvmlog_guests"), -1)
        self.fds["kvmlog_tgids"] = -1
        for name, size in sizes.items():
            self.fds[name] = os.memfd_create(name)
            os.truncate(self.fds[name], -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.maps = Maps(self.fds, CPUS, THREADS)
        self.maps.records(self.fds["kvmlog_records"], None)

    @property
    def native(self) -> Any:
        return self.maps.native

    def mapped(self) -> list[int]:
        """The CPUs whose part is mapped."""
        return [number for number in range(CPUS) if self.native.parts[number] != ffi.NULL]

    def write(self, cpu: int, *records: bytes) -> None:
        """Into the file, as a program does: the engine may only read its parts."""
        for record in records:
            at = (cpu * PART + self.native.cpus[cpu].head % PART) * RECORD_BYTES
            os.pwrite(self.fds["kvmlog_records"], record, at)
            self.native.cpus[cpu].head += 1

    def close(self) -> None:
        """Unmapped, closed."""
        self.maps.close()
        for fd in self.fds.values():
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring that holds all parts at once."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        yield ring_writer


@pytest.fixture
def files() -> Iterator[Files]:
    """Nothing written yet."""
    made = Files()
    yield made
    made.close()


@pytest.fixture
def file_pump(writer: RingWriter, files: Files) -> Iterator[Pump]:
    """A pump on those, which does not run."""
    ring_pump = Pump(writer)
    lib.kvmlog_pump_maps(ring_pump.native, files.native)
    yield ring_pump
    ring_pump.close()


whole_pages = pytest.mark.skipif(
    PART * RECORD_BYTES % mmap.PAGESIZE != 0,
    reason="pages here are larger than a part: parts are mapped all at once",
)


@whole_pages
def test_a_part_is_mapped_for_a_cpu_that_wrote(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """No other part is mapped, not even for a loss; each keeps its own address."""
    assert files.native.records == ffi.NULL
    drain(file_pump)
    files.native.cpus[1].lost = 2
    drain(file_pump)
    assert files.mapped() == []
    files.write(2, make.exit_bytes(exit_ns=20, cpu=2), make.exit_bytes(exit_ns=21, cpu=2))
    drain(file_pump)
    assert files.mapped() == [2]
    at = files.native.parts[2]
    files.write(0, make.exit_bytes(exit_ns=1, cpu=0))
    files.write(2, make.exit_bytes(exit_ns=22, cpu=2))
    drain(file_pump)
    assert files.mapped() == [0, 2]
    assert files.native.parts[2] == at == testing.kvmlog_bpf_part(files.native, 2)
    assert stream(writer) == [(1, 2, 2), 20, 21, 1, 22]


@whole_pages
def test_every_place_of_a_part_that_is_mapped_for_itself(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """The last CPU's part is read to its last byte and around its end."""
    files.native.cpus[CPUS - 1].head = files.native.cpus[CPUS - 1].tail = PART + 7
    files.write(CPUS - 1, *(make.exit_bytes(exit_ns=number) for number in range(PART)))
    drain(file_pump)
    assert stream(writer) == list(range(PART))
    assert file_pump.received(CPUS - 1) == 2 * PART + 7


@whole_pages
def test_a_part_that_cannot_be_mapped_waits(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """Other CPUs' records come; its own, and what it lost, stay until there is room again."""
    files.write(0, make.exit_bytes(exit_ns=1))
    drain(file_pump)
    files.native.records_fd = -1
    files.write(0, make.exit_bytes(exit_ns=2))
    files.write(1, make.exit_bytes(exit_ns=10), make.exit_bytes(exit_ns=11))
    files.native.cpus[1].lost = 3
    drain(file_pump)
    assert stream(writer) == [1, 2]
    assert (files.mapped(), files.native.cpus[1].tail) == ([0], 0)
    assert file_pump.statistics()["bad_messages"] == 0
    files.native.records_fd = files.fds["kvmlog_records"]
    drain(file_pump)
    assert stream(writer) == [1, 2, 10, 11, (1, 3, 3)]


def test_records_come_and_go_while_the_pump_has_the_maps(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """Without records nothing is mapped and nothing taken; a map that comes later is read anew.

    What a late program wrote into the one before does not stand in it.
    """
    files.write(0, make.exit_bytes(exit_ns=1))
    drain(file_pump)
    files.maps.records(-1, file_pump.native)
    assert (files.mapped(), files.native.records) == ([], ffi.NULL)
    assert {one.buffer_bytes for one in files.maps.cpus().values()} == {0}
    files.native.cpus[0].head += 1
    drain(file_pump)
    assert (stream(writer), files.native.cpus[0].tail) == ([1], 1)
    assert testing.kvmlog_bpf_part(files.native, 0) == ffi.NULL
    again = os.memfd_create("again")
    os.truncate(again, CPUS * PART * RECORD_BYTES)
    files.maps.records(again, file_pump.native)
    drain(file_pump)
    assert (stream(writer), files.native.cpus[0].tail) == ([1], 2)
    os.pwrite(again, make.exit_bytes(exit_ns=2), 2 * RECORD_BYTES)
    files.native.cpus[0].head += 1
    drain(file_pump)
    assert (stream(writer), files.native.cpus[0].tail) == ([1, 2], 3)
    files.maps.records(-1, None)
    os.close(again)


def test_maps_that_cannot_be_mapped_are_said(files: Files) -> None:
    """Why, and that it goes on; nothing stays mapped."""
    before = Path("/proc/self/maps").read_text(encoding="utf-8").count("memfd:kvmlog_")
    for name in ("kvmlog_control", "kvmlog_cpus", "kvmlog_slots"):
        with pytest.raises(SourceError) as refused:
            Maps({**files.fds, name: -1}, CPUS, THREADS)
        assert str(refused.value) == (
            f"the BPF maps cannot be mapped ({os.strerror(errno.EBADF)}); "
            "is there memory left? It is tried again"
        )
    after = Path("/proc/self/maps").read_text(encoding="utf-8").count("memfd:kvmlog_")
    assert after == before


def test_what_a_cpu_dropped_is_counted_on_when_switched_on_again(
    file_pump: Pump, files: Files
) -> None:
    """Since the maps were made, for want of room and of slots; what LOSS tells begins at 0."""
    cpu = files.native.cpus[1]
    cpu.head, cpu.dropped_table, cpu.dropped_full, cpu.lost = 9, 3, 4, 7
    for _ in range(2):
        files.maps.begin(file_pump.native)
        status = files.maps.cpus()
        assert [status[n].dropped for n in range(CPUS)] == [0, 7, 0]
        assert [status[n].messages for n in range(CPUS)] == [0, 9, 0]
        assert {one.buffer_bytes for one in status.values()} == {PART * RECORD_BYTES}
        assert [files.native.cpus[n].lost for n in range(CPUS)] == [0] * CPUS
        assert [files.native.cpus[n].on for n in range(CPUS)] == [1] * CPUS
        assert files.native.control.on == 1
        files.maps.end()
        assert [files.native.cpus[n].on for n in range(CPUS)] == [0] * CPUS
        assert files.native.control.on == 0
    files.maps.forget()
    cpu.dropped_full += 1
    assert [files.maps.cpus()[n].dropped for n in range(CPUS)] == [0, 8, 0]


def test_a_configuration_is_written_beside_the_one_that_holds(files: Files) -> None:
    """The one in force stays untouched until the new one is whole; a lease is set in that."""
    control = files.native.control
    for turn in range(1, 4):
        held = bytes(ffi.buffer(control.configs)[:])
        active = control.active
        before = time.monotonic_ns()
        config = SwitchConfig(on=True, one_in=turn, on_ms=30, off_ms=70)
        files.maps.configure(config, epoch=turn, until_ns=10 * turn)
        assert control.active == active ^ 1
        size = ffi.sizeof("struct kvmlog_bpf_config")
        assert (
            ffi.buffer(control.configs)[active * size : (active + 1) * size]
            == (held[active * size : (active + 1) * size])
        )
        fresh = control.configs[control.active]
        assert (fresh.epoch, fresh.one_in, fresh.until_ns, fresh.tgids) == (
            turn,
            turn,
            10 * turn,
            0,
        )
        assert (fresh.open_ns, fresh.period_ns) == (30_000_000, 100_000_000)
        assert before <= fresh.window_ns <= time.monotonic_ns()
        files.maps.lease(5)
        assert fresh.until_ns == 5
        control.on = 1


def test_a_process_that_the_filter_does_not_take_leaves_all_as_it_is(files: Files) -> None:
    """The configuration that holds goes on."""
    files.maps.configure(SwitchConfig(on=True, one_in=4), 1, 0)
    active = files.native.control.active
    with pytest.raises(SourceError, match=r"^process 77 cannot be put into the filter; try again$"):
        files.maps.configure(SwitchConfig(on=True, tgids=(77,)), 2, 0)
    assert files.native.control.active == active
    assert files.native.control.configs[active].one_in == 4
