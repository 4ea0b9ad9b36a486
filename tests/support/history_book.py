# SPDX-License-Identifier: GPL-2.0-or-later
"""A history by hand: events and samples at chosen times, written into a real file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from kvmlog.history import events
from kvmlog.history.model import Action, Fault, Life
from kvmlog.history.moment import Stamp
from kvmlog.history.reader import HistoryReader
from kvmlog.history.samples import Samples
from kvmlog.history.store import Identity, Store
from kvmlog.util.closeable import Closeable
from kvmlog.vmstats.events import Event, Header, Kind, Occurrence
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Sample
from kvmlog.vmstats.snapshot import Vm
from tests.support import vmstats_samples as samples

URI = samples.URI
UUID = samples.WEB1
NAME = "web1"
BOOT = "11111111-0000-4000-8000-000000000001"
NEXT_BOOT = "11111111-0000-4000-8000-000000000002"
IDENTITY = Identity("host1", "5b3dbe9c-95f1-4d21-9f52-2a0a4f9e6c11", "0.1.0")


class Book(Closeable):
    """A store, its reader, and the collector's side of it. Times are seconds since the boot."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "history.db")
        self.boot = BOOT
        self.log_id = "log 1"
        self.sequence = 0
        self.polls = 1
        self.store = Store(self.path, IDENTITY, self.stamp(0))
        self.reader = HistoryReader(self.path)
        self.samples = Samples()

    def stamp(self, seconds: float) -> Stamp:
        """Return a moment of the boot."""
        at = samples.at(seconds)
        return Stamp(at.realtime_ns, at.monotonic_ns, self.boot)

    def event(
        self,
        seconds: float,
        kind: Kind,
        detail: str | None = None,
        uuid: str | None = UUID,
        **facts: str,
    ) -> Event:
        """Return the next event of the collector."""
        self.sequence += 1
        name = None if uuid is None else NAME
        what = Occurrence(samples.at(seconds), URI, kind, uuid, name, detail, facts)
        return Event(self.sequence, what)

    def take(self, *told: Event) -> int:
        """Take events; return how many were lost."""
        last = told[-1].what.at if told else Moment(0, 0)
        now = Stamp(last.realtime_ns, last.monotonic_ns, self.boot)
        with self.store.transaction(now) as transaction:
            return events.take(transaction, Header(self.log_id, self.boot), told)

    def tell(self, seconds: float, kind: Kind, detail: str | None = None, **facts: str) -> None:
        """Have one event happen, and take it."""
        self.take(self.event(seconds, kind, detail, **facts))

    def defined(self, seconds: float = 1) -> None:
        """Define the VM."""
        self.tell(seconds, Kind.DEFINED, "added")

    def started(self, seconds: float = 2) -> None:
        """Define and start the VM."""
        self.defined(seconds - 1)
        self.tell(seconds, Kind.RESUMED, "unpaused")
        self.tell(seconds, Kind.STARTED, "booted")

    def sample(self, seconds: float, **changed: Any) -> Sample:
        """Return a sample of the VM, which runs."""
        return samples.sample(**{"taken": samples.at(seconds), "started": samples.at(2), **changed})

    def poll(self, seconds: float, *found: Sample, connected: bool = True) -> None:
        """Take a poll of the collector's, which found these."""
        now = samples.at(seconds)
        self.polls += 1
        connection = samples.connection(connected=connected, polls=self.polls)
        made = replace(
            samples.snapshot(),
            boot_id=self.boot,
            collector=samples.collector(written=now, connections=(connection,)),
            vms=tuple(Vm(one, None, samples.accumulated()) for one in found),
        )
        with self.store.transaction(self.stamp(seconds)) as transaction:
            self.samples.take(transaction, made)

    def life(self) -> Life:
        """Return the VM's life."""
        found = self.reader.last_life(UUID)
        assert found is not None
        return found

    def actions(self) -> list[Action]:
        """Return all actions, oldest first."""
        return list(reversed(self.reader.actions()))

    def names(self) -> list[str]:
        """Return the names of all actions, oldest first."""
        return [one.action for one in self.actions()]

    def faults(self) -> list[Fault]:
        """Return all faults, oldest first."""
        return list(reversed(self.reader.faults()))

    def close(self) -> None:
        self.store.close()
