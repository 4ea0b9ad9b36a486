# SPDX-License-Identifier: GPL-2.0-or-later
"""Folded stacks, for flame graphs and speedscope: guest;reason;detail;who NUMBER."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from kvmlog.analysis.records.distinct import distinct_rows
from kvmlog.analysis.records.structs import Array
from kvmlog.util.errors import KvmlogError

# Who spent the time, the last frame.
_WHO: Final = ("kvm", "vmm", "wait", "idle", "paused")
_TEXTS: Final = ("guest_name", "reason_name", "detail_words")


class _Guest(NamedTuple):
    name: str | None
    pid: int
    number: int


class _Stack(NamedTuple):
    guest: _Guest
    reason: str
    detail: str | None


def folded_lines(batches: Iterable[Any], *, by_time: bool, halts: bool) -> Iterator[str]:
    """Yield a line per stack, the greatest first: ns by who spent them, or how many exits.

    halts: exits that halted, too. KvmlogError where there is none to show.
    """
    sums: Counter[tuple[_Stack, str]] = Counter()
    for batch in batches:
        _add(sums, batch, by_time, halts)
    if not sums:
        more = "" if halts else "; exits that halt are left out: give --halts"
        raise KvmlogError(f"there is no exit to make stacks of{more}")
    pids: dict[str | None, set[int]] = {}
    for stack, _ in sums:
        pids.setdefault(stack.guest.name, set()).add(stack.guest.pid)
    several = {name for name, of_name in pids.items() if len(of_name) > 1}
    lines: Counter[str] = Counter()
    for (stack, who), amount in sums.items():
        frames = [_label(stack.guest, several), stack.reason, stack.detail, who]
        lines[";".join(_frame(one) for one in frames if one)] += amount
    for line, amount in sorted(lines.items(), key=lambda item: (-item[1], item[0])):
        yield f"{line} {amount}"


def _add(sums: Counter[tuple[_Stack, str]], batch: Any, by_time: bool, halts: bool) -> None:
    total = batch.column("total_ns")
    rows = total.is_valid().to_numpy(zero_copy_only=False)
    if not halts:
        rows &= ~batch.column("halt").fill_null(False).to_numpy(zero_copy_only=False)
    if not rows.any():
        return
    columns = {name: batch.column(name) for name in _TEXTS}
    codes, keys = distinct_rows(
        [
            *(_codes(columns[name])[rows] for name in _TEXTS),
            _ints(batch.column("guest_pid"))[rows],
            _ints(batch.column("guest"))[rows],
        ]
    )
    words = {name: [*columns[name].dictionary.to_pylist(), None] for name in _TEXTS}
    for at, amounts in _amounts(batch, rows, codes, len(keys), by_time):
        name, reason, detail, pid, number = keys[at]
        guest = _Guest(words["guest_name"][name], pid, number)
        stack = _Stack(guest, words["reason_name"][reason], words["detail_words"][detail])
        for who, amount in amounts:
            sums[stack, who] += amount


def _amounts(
    batch: Any, rows: Array, codes: Array, count: int, by_time: bool
) -> Iterator[tuple[int, list[tuple[str, int]]]]:
    if by_time:
        sums = {
            # Doubles hold the sum of whole ns of a batch, as long as it is below 104 days.
            who: np.bincount(codes, _ints(batch.column(f"{who}_ns"))[rows], count).astype("i8")
            for who in _WHO
        }
    else:
        sums = {"": np.bincount(codes, minlength=count)}
    for at in range(count):
        yield at, [(who, int(of[at])) for who, of in sums.items() if of[at]]


def _codes(column: Any) -> Array:
    found: Array = column.indices.fill_null(-1).to_numpy()
    return found


def _ints(column: Any) -> Array:
    found: Array = column.fill_null(0).to_numpy()
    return found


def _label(guest: _Guest, several: set[str | None]) -> str:
    if guest.name is None:
        return f"guest {guest.number}"
    return f"{guest.name}:{guest.pid}" if guest.name in several else guest.name


def _frame(text: str) -> str:
    """Return a text as a frame: what separates frames and lines is none of it."""
    return "".join(c if c.isprintable() else "?" for c in text.replace(";", ","))
