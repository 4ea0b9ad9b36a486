# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of a source of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kvmlog.control.sampling import Sampling
from kvmlog.guests.model import Guest
from kvmlog.stat.report import Report
from kvmlog.top.model.health import Status
from kvmlog.top.model.scope import Wanted


class Sample(Protocol):
    """An interval of a host; immutable, for any thread.

    roster: the guests that run, with exits or without. from_start: of all time since the statistics
    began, not of an interval.
    """

    @property
    def status(self) -> Status:
        """The state of bridge and ring at the end of the interval."""

    @property
    def roster(self) -> Sequence[Guest]:
        """The guests that run."""

    @property
    def from_start(self) -> bool:
        """Whether it is of all time."""

    def report(self, wanted: Wanted) -> Report | None:
        """Return a report on the interval; None where the source was not asked for it in time."""


class Source(Protocol):
    """A host; sample() is called in a thread of its own. KvmlogError where something fails."""

    @property
    def host(self) -> str:
        """The host's name."""

    def sample(self, wanted: Sequence[Wanted], interval_s: float | None) -> Sample:
        """Wait so long, and return the exits meanwhile; None: at once, those since the beginning.

        The first call after an error has to be of the latter kind.
        """

    def switch(self, on: bool, vm: Sequence[str], for_s: float | None, sampling: Sampling) -> None:
        """Switch tracing, as SwitchClient.switch() does; for any thread."""

    def close(self) -> None:
        """End a wait, which raises an error then, and release all."""
