# SPDX-License-Identifier: GPL-2.0-or-later
"""A query of the statistics: by what exits are grouped, sorted and limited."""

from __future__ import annotations

import difflib
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
# The bridge counts exits by only one of these beside guest and reason.
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
    """Groups requested, and their order; top: the first so many, None: all.

    exact: by detail, each address of a device is a group of its own. octaves: with the distribution
    of durations of each group.
    """

    by: By = DEFAULT_BY
    sort: str = "total"
    top: int | None = None
    halts: bool = False
    exact: bool = False
    octaves: bool = False


def by_words(words: Sequence[str]) -> By:
    """Return the grouping for words of BY_WORDS; StatisticsError for an unknown or unkept one."""
    for word in words:
        if word not in BY_WORDS:
            close = difflib.get_close_matches(word, BY_WORDS, 1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise StatisticsError(
                f"{word!r} is not a grouping{meant}; give one or more of {', '.join(BY_WORDS)}"
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


def sort_of(by: By, requested: str | None) -> str:
    """Return the figure to sort by; StatisticsError for one that these groups do not have."""
    sorts = RETURN_SORTS if By.RETURN in by else tuple(SORTS)
    if requested is None:
        return "vmm" if By.RETURN in by else "total"
    if requested not in sorts:
        of = (
            "groups by return have no such figure"
            if requested in SORTS
            else "there is no such figure"
        )
        raise StatisticsError(
            f"sort {requested!r}: {of}; give {', '.join(sorts[:-1])} or {sorts[-1]}"
        )
    return requested
