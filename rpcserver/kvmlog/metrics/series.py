# SPDX-License-Identifier: GPL-2.0-or-later
"""Families of samples, made in one pass over the VMs, and the bound on how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from prometheus_client.core import Metric

from kvmlog.guests.sanitize import clean

Labels: TypeAlias = dict[str, str]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
NS_PER_S: Final = 1e9


class Families:
    """Families by name, in the order in which they are declared; without those that have no sample.

    The name of a counter is given with its `_total`, as it is scraped.
    """

    def __init__(self, declared: Mapping[str, tuple[Kind, str]]) -> None:
        """declared: kind, and help text, by name."""
        self._metrics = {
            name: Metric(name.removesuffix("_total") if kind == "counter" else name, text, kind)
            for name, (kind, text) in declared.items()
        }

    def add(self, name: str, labels: Labels, value: float | None) -> None:
        """Add a sample; None: the figure is not known, and there is no sample."""
        if value is not None:
            self._metrics[name].add_sample(name, labels, value)

    def add_seconds(self, name: str, labels: Labels, ns: int | None) -> None:
        """Add a sample of a time in ns."""
        if ns is not None:
            self._metrics[name].add_sample(name, labels, ns / NS_PER_S)

    def add_histogram(
        self, name: str, labels: Labels, buckets: Iterable[tuple[str, int]], count: int, sum_ns: int
    ) -> None:
        """Add a histogram; buckets: upper bounds in s, ascending, with the exits up to each."""
        metric = self._metrics[name]
        for bound, up_to in buckets:
            metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, up_to)
        metric.add_sample(f"{name}_bucket", {**labels, "le": "+Inf"}, count)
        metric.add_sample(f"{name}_count", labels, count)
        metric.add_sample(f"{name}_sum", labels, sum_ns / NS_PER_S)

    def metrics(self) -> list[Metric]:
        """Return those that have samples."""
        return [one for one in self._metrics.values() if one.samples]


class Room:
    """Room for so many series. A VM has all of its series or none, so that no sum lacks a part."""

    def __init__(self, most: int) -> None:
        self._left = most
        self.left_out = 0  # VMs

    def admit(self, series: int) -> bool:
        """Take room for a VM; return False, and count it, where there is too little left."""
        if series > self._left:
            self.left_out += 1
            # Those that come later are left out too, small as they may be: which VMs are shown
            # does not change with what others do.
            self._left = 0
            return False
        self._left -= series
        return True


def label(text: str | None) -> str:
    """Return a text from outside as the value of a label: printable, bounded, valid UTF-8."""
    return "" if text is None else clean(text)


def apart(taken: set[str], text: str, other: str) -> str:
    """Return the text, or with something that tells it apart where it is taken; note it as taken.

    No two series may have the same labels: a scrape with such is refused as a whole.
    """
    found, tries = text, 1
    while found in taken:
        tries += 1
        found = f"{text} ({other})" if tries == 2 else f"{text} ({other}, {tries - 1})"
    taken.add(found)
    return found
