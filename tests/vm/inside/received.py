# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that fit every source: the sum of its counters, and its records by type and reason.

Mixins, so that the module (netlink.py) and the BPF programs (programs.py) are judged by one rule.
They keep their counters and records each in its own way, hence the protocols instead of fields.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from kvmlog.ring.records import AnyRecord, Record


class HasCounters(Protocol):
    """A status with struct kvmlog_counters by field name."""

    @property
    def counters(self) -> dict[str, int]: ...


class HasRecords(Protocol):
    """Anything with the records that have come so far."""

    @property
    def records(self) -> list[AnyRecord]: ...
    @property
    def exits(self) -> list[Record]: ...


class CounterSum:
    """A status whose counters have to add up."""

    def check_sum(self: HasCounters) -> dict[str, int]:
        """The counters, after the promise that nothing vanishes was checked."""
        c = self.counters
        assert c["seen"] == (
            c["emitted"] + c["filtered"] + c["sampled"] + c["dropped"] + c["pending"]
        ), c
        return c


class ReceivedRecords:
    """Records, chosen by type and counted by reason."""

    @property
    def exits(self: HasRecords) -> list[Record]:
        """All EXIT records so far."""
        return [record for record in self.records if isinstance(record, Record)]

    def of_type(self: HasRecords, kind: type) -> list[AnyRecord]:
        """All records of one class so far."""
        return [record for record in self.records if isinstance(record, kind)]

    def reasons(self: HasRecords) -> Counter[int]:
        """EXIT records by reason."""
        return Counter(record.reason for record in self.exits)
