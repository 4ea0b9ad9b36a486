# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings in place of the ring: what the commands that have --from share."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.cli import records, selection
from kvmlog.exits.format import lines
from kvmlog.exits.format.notes import counted
from kvmlog.exits.reasons import lookup
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.recording.reader import Recording
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, enum_names, unpack_records
from kvmlog.ring.statistics.reader import By, Row
from kvmlog.util import units

_POLL_S: Final = 0.2
_ISAS: Final = enum_names("kvmlog_isa", "KVMLOG_ISA_")


@contextlib.contextmanager
def opened(path: str) -> Iterator[Recording]:
    """Provide a recording; say on stderr what is missing in it, in the end what was damaged."""
    with Recording(path) as recording:
        if recording.is_cut() and not recording.is_being_written():
            warn(
                f"{path}: the recording was cut short (its writer was killed, or had no space "
                f"left); its {counted(recording.records, 'whole record')} follow"
            )
        if not recording.records:
            warn(f"{path}: the recording is empty: no exit came while it was made")
        yield recording
        for sentence in recording.damaged:
            warn(sentence)


def warn(sentence: str) -> None:
    """Print a warning to stderr."""
    print(f"kvmlog: {sentence}", file=sys.stderr, flush=True)


def view_of(recording: Recording, words: Sequence[str]) -> GuestView:
    """Return the guests of a recording, limited to these; GuestError for a word that names none."""
    return GuestView(GuestList(recording.guests.guests), words)


def print_newest(args: argparse.Namespace, recording: Recording, as_json: bool) -> GuestView:
    """Print the last args.count records that the arguments select; return the guests."""
    view = view_of(recording, args.vm)
    chosen = selection.from_arguments(args, view)
    parts: list[bytes] = []
    if args.count:
        for block in recording.blocks():
            parts = _last(parts, chosen.passed(block), args.count)
    shown = unpack_records(b"".join(parts))
    view.learn(shown)
    if not as_json:
        print(lines.HEADER)
    print_records(shown, recording, view, as_json)
    return view


def follow(args: argparse.Namespace, recording: Recording, view: GuestView) -> None:
    """Print what comes into a recording that is still being written, until it ends."""
    chosen = selection.from_arguments(args, view)
    while recording.is_being_written():
        sys.stdout.flush()
        time.sleep(_POLL_S)
        for block in recording.more():
            shown = unpack_records(chosen.passed(block))
            view.learn(shown)
            print_records(shown, recording, view, as_json=False)


def print_records(
    shown: list[AnyRecord], recording: Recording, view: GuestView, as_json: bool
) -> None:
    """Print records, a line each."""
    for line in records.record_lines(shown, recording.clocks(), view, as_json):
        print(line)


@dataclass(frozen=True)
class RecordedReason:
    """An exit reason as a recording has it; times in ns."""

    reason: lookup.Reason
    halts: bool
    count: int
    total_ns: int
    max_ns: int
    share: str  # "12.3%" of the time in exits, halts left out; "" for halts

    def sentence(self) -> str:
        """Return the figures in words."""
        share = f", {self.share} of the time in exits" if self.share else ""
        mean_ns = self.total_ns // max(1, self.count)
        return (
            f"Here: {counted(self.count, 'exit')}, {units.duration(self.total_ns)} in all{share}; "
            f"{units.duration(mean_ns)} on average, {units.duration(self.max_ns)} at most."
        )


def reasons_of(recording: Recording, isa: str | None = None) -> list[RecordedReason]:
    """Return the reasons of a recording (isa: of one architecture), most time first."""
    rows = [row for row in recording.statistics().rows(By.REASON) if row.count]
    whole_ns = sum(row.total_ns for row in rows if not row.halt)
    merged: dict[tuple[int, int, bool], list[Row]] = {}
    for row in rows:
        merged.setdefault((row.isa, row.reason, row.halt), []).append(row)
    found = []
    for (number, code, halts), parts in merged.items():
        of_isa = _ISAS.get(number, "")
        name = lookup.TABLES.get(of_isa, {}).get(code)
        if name is None or isa not in (None, of_isa):
            continue
        total_ns = sum(row.total_ns for row in parts)
        found.append(
            RecordedReason(
                lookup.Reason(of_isa, code, name),
                halts,
                sum(row.count for row in parts),
                total_ns,
                max(row.max_ns for row in parts),
                "" if halts or not whole_ns else f"{100 * total_ns / whole_ns:.1f}%",
            )
        )
    return sorted(found, key=lambda one: -one.total_ns)


def _last(parts: list[bytes], more: bytes, count: int) -> list[bytes]:
    """Return the last `count` records of these and more, in whole parts."""
    parts = [*parts, more] if more else parts
    have = sum(map(len, parts)) // RECORD_BYTES
    while parts and have - len(parts[0]) // RECORD_BYTES >= count:
        have -= len(parts.pop(0)) // RECORD_BYTES
    if have > count:
        parts[0] = parts[0][(have - count) * RECORD_BYTES :]
    return parts
