# SPDX-License-Identifier: GPL-2.0-or-later
"""What the history costs: CPU time of its ticks, and of a reader's call.

python -m tests.bench.history [VMS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kvmlog.history.moment import Stamp
from kvmlog.history.reader import HistoryReader
from kvmlog.history.recorder import Recorder, Settings
from kvmlog.history.retention import Limits
from kvmlog.history.store import Identity, Store
from kvmlog.ring.writer import RingWriter
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.events import Kind, Occurrence, path_of
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.writer import SnapshotWriter
from tests.support import vmstats_samples as samples
from tests.support.history_book import BOOT, IDENTITY

_VMS: Final = 200
_EVENTS: Final = 1_000
_INTERVAL_S: Final = 10


def main() -> None:
    """Print a line for each kind of work."""
    vms = int(sys.argv[1]) if len(sys.argv) > 1 else _VMS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, file = str(folder / "history.db"), str(folder / "vms.json")
        settings = Settings(
            ring=str(folder / "ring"),
            switch=str(folder / "switch"),
            vmstats=file,
            zone="nova",
            host_uuid=IDENTITY.host_uuid,
            boot_id=BOOT,
        )
        identity = Identity("host1", IDENTITY.host_uuid, "0.1.0")
        with (
            RingWriter(settings.ring, 1 << 16),
            SnapshotWriter(file) as writer,
            EventLog(path_of(file), BOOT) as events,
            Store(path, identity, Stamp.now(BOOT)) as store,
            Recorder(settings, store, Limits(400, 256 << 20)) as recorder,
        ):

            def poll() -> None:
                # Samples are taken two seconds after they were written.
                now = Moment(time.monotonic_ns() - 3 * 10**9, time.time_ns() - 3 * 10**9)
                made = samples.snapshot(
                    *(
                        samples.vm(uuid=_uuid(number), name=f"vm{number}", taken=now)
                        for number in range(vms)
                    ),
                    collector=samples.collector(written=now),
                )
                writer.write(made.__class__(BOOT, made.collector, made.hosts, made.vms))

            poll()
            recorder.tick()
            idle_ms = _cpu_ms(recorder.tick, 100)
            poll_ms = _cpu_ms(recorder.tick, 20, before=poll)

            def beat() -> None:
                recorder._beat_due = 0.0

            beat_ms = _cpu_ms(recorder.tick, 20, before=beat)
            for number in range(_EVENTS):
                kind = Kind.SUSPENDED if number % 2 else Kind.RESUMED
                detail = "paused" if number % 2 else "unpaused"
                uuid = _uuid(number % vms)
                events.note(Occurrence(Moment.now(), samples.URI, kind, uuid, "vm", detail))
            events.handle()
            events_ms = _cpu_ms(recorder.tick, 1)
            reader = HistoryReader(path)
            call_ms = _cpu_ms(reader.services, 100)
            lives_ms = _cpu_ms(reader.lives, 10)
    per_s = idle_ms + (poll_ms + beat_ms) / _INTERVAL_S
    print(f"tick without news                       {idle_ms:8.3f} ms of CPU")
    print(f"tick with a poll of {vms} VMs             {poll_ms:8.1f} ms")
    print(f"tick with heartbeats                    {beat_ms:8.1f} ms")
    print(f"{_EVENTS} events in one tick                {events_ms:8.1f} ms")
    print(f"{vms} VMs, polled every {_INTERVAL_S} s: {per_s / 10:.2f} % of one CPU")
    print(f"a reader's call: services {call_ms:.2f} ms, lives of {vms} VMs {lives_ms:.1f} ms")


def _cpu_ms(work: Callable[[], object], times: int, before: Callable[[], object] = bool) -> float:
    """Return the CPU time of one call, without that of `before`."""
    spent = 0
    for _ in range(times):
        before()
        began = time.process_time_ns()
        work()
        spent += time.process_time_ns() - began
    return spent / times / 1e6


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


if __name__ == "__main__":
    main()
