# SPDX-License-Identifier: GPL-2.0-or-later
"""What the table shows: guests, a guest's vCPUs, reasons, or the details of a reason."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from kvmlog.exits.reasons import names
from kvmlog.ring.statistics.reader import By, Row
from kvmlog.stat import words
from kvmlog.stat.query import Query


class Level(enum.Enum):
    """The keys of the table's lines."""

    GUESTS = "guests"
    VCPUS = "vCPUs"
    REASONS = "reasons"
    DETAILS = "details"


# In place of the number of a guest that the statistics have not met yet.
UNCOUNTED: Final = -1


class GuestKey(NamedTuple):
    """A guest of the statistics: its number there, or UNCOUNTED, and its process (0: unknown)."""

    id: int
    pid: int


class ReasonKey(NamedTuple):
    """A reason as the statistics keep it apart."""

    isa: int
    reason: int
    nested: bool
    handler: int
    halt: bool

    @classmethod
    def of(cls, row: Row) -> ReasonKey:
        """Return the key of a group."""
        return cls(row.isa, row.reason, row.nested, row.handler, row.halt)

    @property
    def name(self) -> str:
        """The reason's name."""
        return names.reason_name(self.isa, self.reason)


class Wanted(NamedTuple):
    """A report to make: of all guests, or of one."""

    query: Query
    guest: GuestKey | None


@dataclass(frozen=True)
class Scope:
    """A place in the tree guest, vCPU, reason, detail.

    guest: None for all of them; vcpu: None for all of the guest's. label: the guest's name as it
    was when its line was chosen.
    """

    level: Level = Level.GUESTS
    guest: GuestKey | None = None
    label: str = ""
    vcpu: int | None = None
    reason: ReasonKey | None = None

    def wanted(self) -> Wanted:
        """Return the report that the table is made of."""
        return Wanted(Query(self._by(), octaves=True), self.guest)

    def _by(self) -> By:
        if self.level is Level.GUESTS:
            return By.GUEST
        by = By.GUEST if self.guest is not None else By(0)
        if self.level is Level.VCPUS:
            return by | By.VCPU
        if self.level is Level.REASONS:
            return by | By.REASON | (By.VCPU if self.vcpu is not None else By(0))
        return by | By.REASON | By.DETAIL

    def has(self, row: Row) -> bool:
        """Return whether a group of the report belongs to the table."""
        if self.level is Level.REASONS and self.vcpu is not None:
            return row.vcpu == self.vcpu
        return self.level is not Level.DETAILS or ReasonKey.of(row) == self.reason

    def of_guest(self, guest: GuestKey | None, label: str) -> Scope:
        """Return what a line of guests leads to: its vCPUs; of all guests: reasons."""
        level = Level.REASONS if guest is None else Level.VCPUS
        return replace(self, level=level, guest=guest, label=label)

    def of_vcpu(self, vcpu: int | None) -> Scope:
        """Return the reasons of a vCPU, None: of all."""
        return replace(self, level=Level.REASONS, vcpu=vcpu)

    def of_reason(self, reason: ReasonKey) -> Scope:
        """Return the details of a reason, which are those of all vCPUs."""
        return replace(self, level=Level.DETAILS, reason=reason)

    def path(self) -> str:
        """Return where this is, in words: "guests > web1 > vCPU 2 > npf"."""
        parts = ["guests"]
        if self.level is Level.GUESTS:
            return parts[0]
        parts.append(self.label if self.guest is not None else "all")
        if self.level is not Level.VCPUS and self.guest is not None:
            # Details are not counted by vCPU.
            one = self.vcpu is not None and self.level is Level.REASONS
            parts.append(f"vCPU {self.vcpu}" if one else "all vCPUs")
        if self.reason is not None and self.level is Level.DETAILS:
            parts.append(self.reason.name)
        return " > ".join(parts)


ROOT: Final = Scope()


def reason_of(row: Row) -> ReasonKey | None:
    """Return the reason of a group; None where KVM tells none."""
    return None if words.lacks_reason(row) else ReasonKey.of(row)
