# SPDX-License-Identifier: GPL-2.0-or-later
"""Which exits `dump` and `tail` show: by reason and by how long they took."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Final

from kvmlog.bridge import wire
from kvmlog.bridge._native import lib
from kvmlog.cli.explain import unknown_words
from kvmlog.exits import explain
from kvmlog.exits.reasons import basic_reason

_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s)")
_ISAS: Final = {name: n for n, name in wire.enum_names("kvmlog_isa", "KVMLOG_ISA_").items()}


@dataclass(frozen=True)
class Selection:
    """reasons: (enum kvmlog_isa, basic reason), returns: KVM_EXIT_*; empty and 0: all."""

    reasons: frozenset[tuple[int, int]] = frozenset()
    returns: frozenset[int] = frozenset()
    slower_than_ns: int = 0

    @property
    def all(self) -> bool:
        """Nothing is left out."""
        return not (self.reasons or self.returns or self.slower_than_ns)

    def shows(self, record: wire.AnyRecord) -> bool:
        """Whether a record is shown: exits as chosen; losses, guests, switches always."""
        if not isinstance(record, wire.Record):
            return True
        if record.total_ns < self.slower_than_ns:
            return False
        if not self.reasons and not self.returns:
            return True
        returned = bool(record.flags & lib.KVMLOG_F_USER_REASON)
        return (record.isa, basic_reason(record.isa, record.reason)) in self.reasons or (
            returned and record.user_reason in self.returns
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --reason and --slower-than."""
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        type=_reason,
        metavar="REASON",
        help="only exits of this reason, as `kvmlog explain` takes it; several: any of them",
    )
    parser.add_argument(
        "--slower-than",
        default=0,
        type=duration_ns,
        metavar="TIME",
        help="only exits that took at least so long: 500us, 1ms, 0.5s",
    )


def chosen(args: argparse.Namespace) -> Selection:
    """What these arguments choose."""
    found = [reason for one in args.reason for reason in one]
    return Selection(
        frozenset((_ISAS[r.isa], r.number) for r in found if r.isa != explain.KVM),
        frozenset(r.number for r in found if r.isa == explain.KVM),
        args.slower_than,
    )


def duration_ns(value: str) -> int:
    """Parses "1ms" and the like into nanoseconds, for argparse."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{value!r}: no time; give a number and ns, us, ms or s, as in 1ms"
        )
    return round(float(match[1]) * _NS[match[2]])


def _reason(value: str) -> list[explain.Reason]:
    found = explain.find(value)
    if not found:
        raise argparse.ArgumentTypeError(unknown_words(value, None))
    return found
