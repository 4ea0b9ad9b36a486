# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to the source: its status, the pump that receives from it, the ring's counters."""

from __future__ import annotations

import time
from typing import Final

from kvmlog.engine.counters import CounterTotals
from kvmlog.engine.pump import Pump
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import Source, SourceGoneError, SourceStatus, SwitchConfig
from kvmlog.util.errors import SourceError

# How long the last batches may take after tracing was switched off.
SETTLE_S: Final = 3.0
_SETTLE_STEP_S: Final = 0.005
# A receiver that was killed is forgotten by the source's worker, not at once.
OPEN_TRIES: Final = 10
_OPEN_STEP_S: Final = 0.05


class SourceConnection:
    """A source and the ring that its records go to; `connected` says whether it is open.

    status: the source's last, None before the first; its methods raise SourceError, SourceGoneError
    when the source is gone, after which lose() is to be called.
    """

    def __init__(
        self, writer: RingWriter, source: Source, statistics: StatisticsWriter | None
    ) -> None:
        self.source = source
        self.statistics = statistics
        self.pump = Pump(writer)
        if statistics is not None:
            self.pump.count(statistics.native)
        self.connected = False
        self.status: SourceStatus | None = None
        self.counters = CounterTotals(writer.counters())
        self._writer = writer
        self._received_before = self._received()
        self._dropped_before: dict[int, int] = {}
        self._unsettled = False  # switched on, and what came since not compared with the source

    def open(self, tries: int) -> SourceStatus:
        """Open the source and have the pump receive from it."""
        status = self._open_source(tries)
        self.pump.stop()
        if self.statistics is not None:
            self.statistics.begin(fresh=True)
        self.source.pump(self.pump.native)
        self.pump.start()
        self.counters.begin(status.counters)
        self._received_before = self._received()
        self.status = status
        self.connected = True
        return status

    def refresh(self) -> SourceStatus:
        """Ask the source for its status, and publish its counters in the ring."""
        self.status = self.source.status()
        self._writer.publish_counters(self.counters.update(self.status.counters))
        return self.status

    def configure(self, config: SwitchConfig) -> SourceStatus:
        """Replace the source's configuration, missing nothing; return its status after that."""
        self.status = self.source.switch(config)
        return self.status

    def switch_on(self, config: SwitchConfig) -> SourceStatus:
        """Configure a source that is off to be on; return its status after that."""
        self.settle()
        # It is off, and has dropped nothing since its last status.
        cpus = {} if self.status is None else self.status.cpus
        self._dropped_before = {number: cpu.dropped for number, cpu in cpus.items()}
        if self.statistics is not None:
            self.statistics.begin(fresh=False)
        self.status = self.source.switch(config)
        self._unsettled = True
        return self.status

    def settle(self) -> None:
        """Wait, after off, until every message that the source delivered is in the ring."""
        if not self._unsettled:
            return
        deadline = time.monotonic() + SETTLE_S
        while True:
            status = self.refresh()
            late = any(
                cpu.messages > self.pump.received(number) for number, cpu in status.cpus.items()
            )
            if not (late or status.stopping) or time.monotonic() > deadline:
                break
            time.sleep(_SETTLE_STEP_S)
        for number, cpu in status.cpus.items():
            dropped = cpu.dropped - self._dropped_before.get(number, 0)
            self.pump.settle(number, cpu.messages, dropped)
        if self.statistics is not None:
            self.statistics.flush()
        self._unsettled = False

    def lose(self) -> None:
        """Leave a source that is gone: the ring's heartbeat goes on, the counters are closed."""
        self.pump.detach()
        self.source.close()
        self.connected = self._unsettled = False
        received = {name: n - self._received_before[name] for name, n in self._received().items()}
        self._writer.publish_counters(self.counters.lose(received))

    def close(self) -> None:
        """End the pump and leave the source; a second call does nothing."""
        # Whatever happened: a pump that runs would write where nothing is mapped any more.
        self.pump.close()
        self.source.close()
        self.connected = False

    def _open_source(self, tries: int) -> SourceStatus:
        while True:
            tries -= 1
            try:
                return self.source.open()
            except SourceGoneError:
                raise
            except SourceError:
                if tries <= 0:
                    raise
            time.sleep(_OPEN_STEP_S)

    def _received(self) -> dict[str, int]:
        """Return what the pump has received so far, as fields of struct kvmlog_counters."""
        pump = self.pump.statistics()
        exits = pump["exits"]
        return {"emitted": exits, "notes": pump["records"] - exits, "dropped": pump["lost_records"]}
