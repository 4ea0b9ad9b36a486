# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kvmlog stat` can be asked for, and what it says of an option that makes no sense."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kvmlog.bridge.statistics import By, Row

DEFAULT_BY: Final = By.GUEST | By.REASON
MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 86_400.0

_BY: Final[Mapping[str, By]] = {
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
class View:
    """Which groups are shown, and how; top: at most so many, None: all."""

    by: By = DEFAULT_BY
    sort: str = "total"
    top: int | None = None
    halts: bool = False


def by(value: str) -> By:
    """Parses "guest,reason" and the like, for argparse."""
    words = [word.strip() for word in value.split(",")]
    for word in words:
        if word not in _BY:
            raise argparse.ArgumentTypeError(
                f"{word!r} is nothing to group by; give some of {', '.join(_BY)}, "
                "separated by commas"
            )
    apart = [word for word in _APART if word in words]
    if len(apart) > 1:
        raise argparse.ArgumentTypeError(
            f"{' and '.join(apart)} are not counted together; give one of them"
        )
    if "detail" in words and "reason" not in words:
        raise argparse.ArgumentTypeError(
            "a detail means something only with its reason; give reason,detail"
        )
    found = _BY[words[0]]
    for word in words[1:]:
        found |= _BY[word]
    return found


def interval_s(value: str) -> float:
    """Parses a number of seconds, for argparse."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise argparse.ArgumentTypeError(
            f"{value!r} is no interval; give {MIN_INTERVAL_S:g} to {MAX_INTERVAL_S:,.0f} seconds"
        )
    return seconds


def view(args: argparse.Namespace) -> View:
    """What the options ask for; ends with status 2 where they contradict each other."""
    sort = args.sort
    if By.RETURN in args.by:
        if sort is not None and sort not in RETURN_SORTS:
            args.usage_error(
                f"--sort {sort}: groups by return have no such figure; "
                f"give {', '.join(RETURN_SORTS[:-1])} or {RETURN_SORTS[-1]}"
            )
        sort = sort or "vmm"
    if args.interval is None and args.count is not None:
        args.usage_error("-n counts the tables of -i; give -i S too")
    if args.reset and (args.command or args.interval is not None or args.output is not None):
        args.usage_error("--reset shows nothing; give it alone")
    return View(args.by, sort or "total", args.top, args.halts)
