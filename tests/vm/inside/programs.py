# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF source as the tests drive it, with the names that netlink.py gives to the module.

Real programs, their maps, the pump and a ring of its own. Compiling takes ten seconds in
emulation, so that one Programs serves many tests: each begins with counts of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kvmlog.engine.pump import Pump
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import AnyRecord, Record, iter_records
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SourceGoneError, SourceStatus, SwitchConfig
from kvmlog.sources.bpf import loader
from kvmlog.sources.bpf.source import BpfSource
from tests.vm.inside import host
from tests.vm.inside.received import CounterSum, ReceivedRecords

_SLOTS = 1 << 18
# A bridge gives up earlier, for its watchdog; on a busy machine LLVM may take minutes in emulation.
loader.COMPILE_LIMIT_S = host.HANG_S  # type: ignore[misc]  # final for all others


@dataclass(frozen=True)
class ProgramsStatus(CounterSum):
    """Status of the source, its counts since the test began."""

    source: SourceStatus
    counters: dict[str, int]

    @property
    def on(self) -> bool:
        return self.source.on

    @property
    def attached(self) -> bool:
        return self.source.attached

    @property
    def window_ms(self) -> tuple[int | None, int | None]:
        return self.source.on_ms, self.source.off_ms


class Programs(ReceivedRecords):
    """Commands to the source, and what came of it: Control and Receiver in one."""

    def __init__(self, folder: Path, reason: str) -> None:
        self._path = str(folder / f"ring-{reason}")
        self._writer = RingWriter(self._path, _SLOTS)
        self._pump = Pump(self._writer)
        self.source = BpfSource(reason)
        self._begin = 0
        self._base: dict[str, int] = {}
        self._read_to = 0
        self._records: list[AnyRecord] = []

    def begin(self) -> Programs:
        """Begin a test: off, counting from 0, guests and configurations numbered from 1."""
        try:
            status = self.source.open()
        except SourceGoneError:
            self.source.close()
            status = self.source.open()
        self._pump.stop()
        self.source.pump(self._pump.native)
        self._pump.start()
        assert not status.on
        assert self.source._maps is not None
        self.source._maps.native.control.last_guest = 0
        self.source._epoch = 0
        self._base = status.counters
        self._read_to = int(self._writer.header().head)
        self._records = []
        return self

    def end(self) -> None:
        """Off, whatever the test left."""
        self.source.switch(SwitchConfig(on=False))

    def close(self) -> None:
        """Everything goes."""
        self._pump.close()
        self.source.close()
        self._writer.close()

    def switch_on(
        self,
        tgids: Iterable[int] = (),
        one_in: int | None = None,
        window_ms: tuple[int, int] | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Switches on with this configuration."""
        on_ms, off_ms = window_ms or (0, 0)
        self.source.switch(SwitchConfig(True, tuple(tgids), one_in or 1, on_ms, off_ms, lease_ms))

    def switch_off(self) -> None:
        """Switches off; returns when everything is in the ring."""
        self.source.switch(SwitchConfig(on=False))
        for number, cpu in self.source.status().cpus.items():
            self._pump.settle(number, cpu.messages, 0)

    def status(self) -> ProgramsStatus:
        """The source's status."""
        status = self.source.status()
        counters = {name: value - self._base[name] for name, value in status.counters.items()}
        return ProgramsStatus(status, counters)

    def pending(self) -> list[Record]:
        """Exits whose re-entry has not come."""
        found = []
        for record in iter_records(self.source.pending()):
            assert isinstance(record, Record)
            found.append(record)
        return found

    def drain(self, quiet_s: float = 0.0) -> None:
        """Returns when the pump has taken all that the programs wrote."""
        deadline = time.monotonic() + host.HANG_S
        assert self.source._maps is not None
        while not self.source._maps.drained():
            assert time.monotonic() < deadline, "the pump does not take the records"
            time.sleep(0.01)

    def take_for(self, duration_s: float) -> None:
        """Lets the pump take what comes for this long."""
        time.sleep(duration_s)

    @property
    def records(self) -> list[AnyRecord]:
        """All records since the test began."""
        with RingReader(self._path) as reader:
            snapshot = reader.snapshot(since=self._read_to)
        assert snapshot.overwritten == 0
        self._read_to = snapshot.next_index
        self._records += iter_records(snapshot.records)
        return self._records
