# SPDX-License-Identifier: GPL-2.0-or-later
"""Which groups of the statistics are asked for, and in which order they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.ring.statistics.reader import By, Row
from kvmlog.util.errors import StatisticsError

DEFAULT_BY: Final = By.GUEST | By.REASON

BY_WORDS: Final[Mapping[str, By]] = {
    "guest": By.GUEST,
    "vcpu": By.VCPU,
    "reason": By.REASON,
    "detail": By.DETAIL,
    "return": By.RETURN,
}
# The bridge keeps only one of them with a group.
_APART: Final = ("vcpu", "detail", "return")

SORTS: Final[Mapping[str, Callable[[Row], float]]] = {
    "count": lambda row: row.count,
    "total": lambda row: row.total_ns,
    "mean": lambda row: row.total_ns / max(1, row.count),
    "min": lambda row: row.min_ns,
    "p50": lambda row: row.p50_ns,
    "p90": lambda row: row.p90_ns,
    "p99": lambda row: row.p99_ns,
    "p999": lambda row: row.p999_ns,
    "max": lambda row: row.max_ns,
    "kvm": lambda row: row.kvm_ns,
    "vmm": lambda row: row.vmm_ns,
    "wait": lambda row: row.wait_ns,
    "idle": lambda row: row.idle_ns,
    "paused": lambda row: row.paused_ns,
}
# Groups by return have no others.
RETURN_SORTS: Final = ("count", "total", "vmm", "paused")


@dataclass(frozen=True)
class Query:
    """Which groups are shown, and how; top: at most so many, None: all."""

    by: By = DEFAULT_BY
    sort: str = "total"
    top: int | None = None
    halts: bool = False


def by_words(words: Sequence[str]) -> By:
    """The groups that some of BY_WORDS mean; StatisticsError for what is none, or not kept."""
    for word in words:
        if word not in BY_WORDS:
            raise StatisticsError(
                f"{word!r} is nothing to group by; give some of {', '.join(BY_WORDS)}"
            )
    apart = [word for word in _APART if word in words]
    if len(apart) > 1:
        raise StatisticsError(f"{' and '.join(apart)} are not counted together; give one of them")
    if "detail" in words and "reason" not in words:
        raise StatisticsError(
            "a detail means something only with its reason; give reason and detail"
        )
    found = By(0)
    for word in words:
        found |= BY_WORDS[word]
    return found


def sort_of(by: By, asked: str | None) -> str:
    """By what groups are sorted; StatisticsError for a figure that they do not have."""
    sorts = RETURN_SORTS if By.RETURN in by else tuple(SORTS)
    if asked is None:
        return "vmm" if By.RETURN in by else "total"
    if asked not in sorts:
        of = "groups by return have no such figure" if asked in SORTS else "there is no such figure"
        raise StatisticsError(f"sort {asked!r}: {of}; give {', '.join(sorts[:-1])} or {sorts[-1]}")
    return asked
