# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands out, in words, and what to try: the rules of `kvmlog why` that need exits only.

And, where they have nothing to say, what the explanation of the reason says that took most time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.analysis.report.groups import Groups
from kvmlog.exits.explain import tables
from kvmlog.exits.explain.explanation import Explained
from kvmlog.exits.reasons import lookup, names
from kvmlog.exits.reasons.names import isa_name
from kvmlog.ring.statistics.reader import Row
from kvmlog.stat.report import Line
from kvmlog.stat.words import lacks_reason
from kvmlog.util import units
from kvmlog.why.evidence import Evidence
from kvmlog.why.gather.exits import exits_of
from kvmlog.why.rules.model import percent
from kvmlog.why.verdict import Verdict, judge

# Of all guests together, and reasons that are explained.
FINDINGS_MOST: Final = 12
_REASONS: Final = 6
# A reason below this share of its guest's time in exits is not worth an explanation.
_LEAST_SHARE: Final = 0.05


@dataclass(frozen=True)
class Finding:
    """One thing that stands out: a sentence, further ones, and what to try."""

    guest: str
    headline: str
    details: tuple[str, ...]
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class Meaning:
    """A reason that took much of the time, and what is known of it."""

    reason: str
    headline: str
    what: str
    causes: str
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """All that is said in words; left_out: findings beyond FINDINGS_MOST; quiet: guests without."""

    found: Sequence[Finding]
    left_out: int
    quiet: Sequence[str]
    meanings: Sequence[Meaning]


def findings(groups: Groups, over_ns: int) -> Findings:
    """Judge each guest of a recording that took so long, the most costly finding first."""
    weighed: list[tuple[float, Finding]] = []
    quiet = []
    for verdict in _verdicts(groups, over_ns):
        weighed += [
            (one.weight, Finding(verdict.name, _sentence(one.headline), one.details, one.remedies))
            for one in verdict.findings
        ]
        if not verdict.findings:
            quiet.append(f"{verdict.name}: {verdict.summary}")
    weighed.sort(key=lambda one: -one[0])
    found = [one for _, one in weighed]
    return Findings(
        found[:FINDINGS_MOST],
        max(0, len(found) - FINDINGS_MOST),
        quiet[:FINDINGS_MOST],
        list(_meanings(groups["reason"].lines)),
    )


def _verdicts(groups: Groups, over_ns: int) -> Iterator[Verdict]:
    # All of a process are one VM's.
    processes: dict[tuple[int, int], list[int]] = {}
    # A guest without exits may be known twice: by its number, and by its announcement.
    for one in groups["guest"].guests:
        guest = one.statistics
        known = (guest.tgid, guest.start_boottime_ns) if guest.tgid else (0, guest.id)
        processes.setdefault(known, []).append(guest.id)
    for (pid, _), ids in processes.items():
        exits = exits_of(groups.snapshot, None, ids, max(1, over_ns))
        named = groups.names.guests.get(ids[0])
        yield judge(
            Evidence(
                name=groups.names.labels.get(ids[0], "") or f"#{ids[0]}",
                uuid=named.uuid if named else None,
                pid=pid or None,
                over_ns=over_ns,
                vcpus=exits.vcpus,
                exits=exits,
            )
        )


def _meanings(lines: Sequence[Line]) -> Iterator[Meaning]:
    """Yield the reasons that took most of their guests' time in exits, each once."""
    told: set[tuple[int, int]] = set()
    for line in lines:
        row = line.row
        if len(told) >= _REASONS:
            return
        key = (row.isa, row.reason)
        large = line.whole_ns and line.part_ns >= _LEAST_SHARE * line.whole_ns
        if key in told or not large or lacks_reason(row):
            continue
        explained = _explained(row)
        if explained is not None:
            told.add(key)
            yield _meaning(line, explained)


def _explained(row: Row) -> Explained | None:
    name, isa = names.reason_name(row.isa, row.reason), isa_name(row.isa)
    if isa not in lookup.ISAS:
        return None
    known = [one for one in lookup.find(name, isa) if one.name == name]
    return tables.explain(known[0]) if known else None


def _meaning(line: Line, explained: Explained) -> Meaning:
    row = line.row
    share = percent(line.part_ns / line.whole_ns)
    mean = units.duration(row.total_ns // max(1, row.count))
    return Meaning(
        explained.name,
        f"{explained.name}: {share} of the time in exits of {line.guest}, {row.count:,} exits, "
        f"{mean} each. {explained.meaning}.",
        explained.explanation.what,
        explained.explanation.causes,
        explained.explanation.remedies,
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
