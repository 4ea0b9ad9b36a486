# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of VDSM's HostStats that is about memory, samepage merging and load."""

from __future__ import annotations

from typing import Any

from kvmlog.vmstats.host import Host, HostMemory, HugePages, Ksm
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.views.units import KIB, MIB, in_units, iso, known, rounded, text


def document(host: Host, now: Moment) -> dict[str, Any]:
    """Return the statistics; what only the host itself knows is absent for another one."""
    busy = host.cpu.busy_percent
    booted_s = None
    if host.uptime_s is not None:
        booted_s = int(host.taken.realtime_ns / 1e9 - host.uptime_s)
    return known(
        {
            "dateTime": iso(now),
            "bootTime": text(booted_s),
            "cpuLoad": text(host.load[1]) if host.load else None,
            "cpuIdle": None if busy is None else str(max(0.0, 100.0 - busy)),
            **_memory(host.memory),
            **(_ksm(host.ksm) if host.ksm else {}),
            "hugepages": None if host.huge_pages is None else _huge_pages(host.huge_pages),
        }
    )


def _memory(memory: HostMemory) -> dict[str, Any]:
    used = None
    if memory.available_bytes is not None and memory.total_bytes:
        used = round(100 - 100 * memory.available_bytes / memory.total_bytes)
    return {
        "memFree": in_units(memory.available_bytes, MIB),
        "memUsed": text(used),
        "swapTotal": in_units(memory.swap_total_bytes, MIB),
        "swapFree": in_units(memory.swap_free_bytes, MIB),
        "anonHugePages": text(in_units(memory.anonymous_huge_bytes, MIB)),
        "thpState": memory.transparent_huge_pages,
    }


def _ksm(ksm: Ksm) -> dict[str, Any]:
    return {
        "ksmState": ksm.run == 1,
        "ksmPages": ksm.pages_to_scan,
        "ksmCpu": rounded(ksm.ksmd_cpu_percent),
        "ksmMergeAcrossNodes": ksm.merge_across_nodes,
        "memShared": in_units(ksm.pages_sharing * ksm.page_bytes, MIB),
    }


def _huge_pages(pages: tuple[HugePages, ...]) -> dict[str, Any]:
    """Return counts per size in KiB, of all nodes together."""
    sizes: dict[str, dict[str, int]] = {}
    for one in pages:
        counts = sizes.setdefault(
            str(one.page_bytes // KIB),
            {"nr_hugepages": 0, "free_hugepages": 0, "surplus_hugepages": 0},
        )
        counts["nr_hugepages"] += one.total
        counts["free_hugepages"] += one.free
        counts["surplus_hugepages"] += one.surplus
    return sizes
