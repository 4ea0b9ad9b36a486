# SPDX-License-Identifier: GPL-2.0-or-later
"""A selection of records: by reason, duration and guest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kvmlog.exits.reasons.lookup import KVM, Reason
from kvmlog.exits.reasons.names import basic_reason
from kvmlog.guests.view import GuestView
from kvmlog.native import lib
from kvmlog.ring.filter import Filter
from kvmlog.ring.records import AnyRecord, Record, enum_names

_ISAS: Final = {name: n for n, name in enum_names("kvmlog_isa", "KVMLOG_ISA_").items()}


@dataclass(frozen=True)
class Selection:
    """Criteria; empty, 0 and None select all.

    reasons: (enum kvmlog_isa, basic reason); returns: KVM_EXIT_*; guests: those selected.
    """

    reasons: frozenset[tuple[int, int]] = frozenset()
    returns: frozenset[int] = frozenset()
    slower_than_ns: int = 0
    guests: GuestView | None = None

    @classmethod
    def of(
        cls, reasons: Iterable[Reason], slower_than_ns: int = 0, guests: GuestView | None = None
    ) -> Selection:
        """Make a selection of exits with these reasons, which may include KVM_EXIT_*."""
        found = list(reasons)
        return cls(
            frozenset((_ISAS[r.isa], r.number) for r in found if r.isa != KVM),
            frozenset(r.number for r in found if r.isa == KVM),
            slower_than_ns,
            guests,
        )

    def filter(self) -> Filter:
        """Return the same for the native search, with the guests as they are known now.

        It passes all announcements of guests: which of them are shown, shows() says.
        """
        return Filter(
            reasons=self.reasons,
            returns=self.returns,
            total_ns=self.slower_than_ns,
            guests=None if self.guests is None else self.guests.times(),
        )

    def shows(self, record: AnyRecord) -> bool:
        """Return whether to show a record: exits as selected, losses and switches always."""
        if self.guests is not None and not self.guests.shows(record):
            return False
        if not isinstance(record, Record):
            return True
        if record.total_ns < self.slower_than_ns:
            return False
        if not self.reasons and not self.returns:
            return True
        returned = bool(record.flags & lib.KVMLOG_F_USER_REASON)
        return (record.isa, basic_reason(record.isa, record.reason)) in self.reasons or (
            returned and record.user_reason in self.returns
        )
