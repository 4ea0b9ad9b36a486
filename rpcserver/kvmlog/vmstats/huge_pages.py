# SPDX-License-Identifier: GPL-2.0-or-later
"""Huge pages, per size and NUMA node: Documentation/admin-guide/mm/hugetlbpage.rst."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from kvmlog.vmstats import host_files
from kvmlog.vmstats.host import HugePages

_NODES: Final = "sys/devices/system/node"
# Kernels without NUMA have only this.
_ALL: Final = "sys/kernel/mm/hugepages"
_NODE: Final = re.compile(r"node(\d{1,5})")
_SIZE: Final = re.compile(r"hugepages-(\d{1,12})kB")


def read(root: str = "/") -> tuple[HugePages, ...] | None:
    """Return them by node and size; None for a kernel without huge pages."""
    folder = os.path.join(root, _NODES)
    nodes = [
        (number, pages)
        for number, node in _numbered(folder, _NODE)
        if os.path.isdir(pages := f"{folder}/{node}/hugepages")
    ]
    found = tuple(
        pages
        for number, place in nodes or [(0, os.path.join(root, _ALL))]
        for pages in _of_node(number, place)
    )
    return found or None


def _of_node(node: int, folder: str) -> Iterator[HugePages]:
    for kib, name in _numbered(folder, _SIZE):
        counts = [
            host_files.number(f"{folder}/{name}/{which}_hugepages")
            for which in ("nr", "free", "surplus")
        ]
        known = [count for count in counts if count is not None]
        if len(known) == 3:
            total, free, surplus = known
            yield HugePages(node, kib << 10, total, free, surplus)


def _numbered(folder: str, pattern: re.Pattern[str]) -> list[tuple[int, str]]:
    """Return the entries of a folder that the pattern matches, by their number."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted((int(match[1]), match[0]) for match in map(pattern.fullmatch, names) if match)
