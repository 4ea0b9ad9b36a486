# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on memory: of the guest, and of the host below it."""

from __future__ import annotations

from typing import Final

from kvmlog.util.units import KIB, short
from kvmlog.why.budget import Budget
from kvmlog.why.evidence import Evidence, Memory
from kvmlog.why.rules.model import Figure, Match, percent

# Of its maximum: less than this is what a manager has taken, and not what rounding left.
_BALLOONED: Final = 0.95
_SWAPPED_LEAST: Final = 0.01
_FAULTS_PER_S: Final = 10.0


def guest_swaps(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a guest that swaps, and say where its memory is."""
    memory = evidence.memory
    if memory is None or memory.swap_in_bytes_per_s is None:
        return None
    swapping = memory.swap_in_bytes_per_s + (memory.swap_out_bytes_per_s or 0)
    if swapping < least * KIB * KIB:
        return None
    missing = ballooned_bytes(memory)
    figures = [Figure("swapping", swapping, "bytes_per_s")]
    if missing is None:
        return Match(
            0.8,
            f"its guest swaps, {short(swapping, KIB)}B/s: it has too little memory.",
            tuple(figures),
            _usable(memory),
            (f"give it more memory (virsh setmaxmem {evidence.name}), or have it do less",),
        )
    figures.append(Figure("ballooned", missing, "bytes"))
    return Match(
        0.9,
        f"its guest swaps, {short(swapping, KIB)}B/s, because its balloon has taken "
        f"{short(missing, KIB)}B of its memory.",
        tuple(figures),
        (
            f"It has {short(memory.current_bytes or 0, KIB)}B of "
            f"{short(memory.maximum_bytes or 0, KIB)}B.",
            *_usable(memory),
        ),
        (
            f"give it back: virsh setmem {evidence.name} "
            f"{(memory.maximum_bytes or 0) >> 10} --live; look for what balloons it (MOM, a "
            "memory overcommit of the manager)",
        ),
    )


def guest_short(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a guest that has hardly any memory left, and does not swap."""
    memory = evidence.memory
    if memory is None or not memory.available_bytes or memory.usable_bytes is None:
        return None
    left = memory.usable_bytes / memory.available_bytes
    if left * 100 >= least:
        return None
    missing = ballooned_bytes(memory)
    return Match(
        0.4,
        f"its guest has only {short(memory.usable_bytes, KIB)}B of memory left, {percent(left)}.",
        (Figure("usable", left * 100, "percent"),),
        ()
        if missing is None
        else (f"Its balloon has taken {short(missing, KIB)}B of its memory.",),
    )


def host_swaps_it(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a VM whose memory the host has swapped out, and reads back."""
    memory = evidence.memory
    if memory is None or memory.host_major_faults_per_s is None:
        return None
    swapped = memory.host_swapped_bytes or 0
    whole = swapped + (memory.rss_bytes or 0)
    if memory.host_major_faults_per_s < least or not whole or swapped / whole < _SWAPPED_LEAST:
        return None
    return Match(
        0.9,
        f"the host has swapped out {short(swapped, KIB)}B of its memory and reads it back page by "
        f"page, {memory.host_major_faults_per_s:.0f} times a second.",
        (
            Figure("host_major_faults", memory.host_major_faults_per_s, "per_s"),
            Figure("host_swapped", swapped, "bytes"),
        ),
    )


def host_pressure(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a host whose tasks wait for memory."""
    host = evidence.host
    stalled = None if host is None else host.pressure.get("memory some")
    if host is None or stalled is None or stalled < least:
        return None
    figures = [Figure("memory_pressure", stalled, "percent")]
    details = []
    if host.memory_available_bytes is not None and host.memory_total_bytes:
        left = host.memory_available_bytes / host.memory_total_bytes
        figures.append(Figure("host_available", left * 100, "percent"))
        details.append(
            f"The host has {short(host.memory_available_bytes, KIB)}B left of "
            f"{short(host.memory_total_bytes, KIB)}B ({percent(left)})."
        )
    if host.swap_used_bytes:
        details.append(f"{short(host.swap_used_bytes, KIB)}B are swapped out.")
    return Match(
        min(1.0, stalled / 100),
        f"the host is short of memory: its tasks waited for memory {stalled:.0f} % of the time.",
        tuple(figures),
        tuple(details),
    )


def host_short(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a host that has hardly any memory left."""
    host = evidence.host
    if host is None or host.memory_available_bytes is None or not host.memory_total_bytes:
        return None
    left = host.memory_available_bytes / host.memory_total_bytes
    if left * 100 >= least:
        return None
    return Match(
        0.3,
        f"the host has only {short(host.memory_available_bytes, KIB)}B of memory left, "
        f"{percent(left)}.",
        (Figure("host_available", left * 100, "percent"),),
    )


def ksm(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a kernel that is busy looking for equal pages."""
    host = evidence.host
    if host is None or host.ksmd_percent is None or host.ksmd_percent < least:
        return None
    saved = (
        ""
        if host.ksm_sharing_bytes is None
        else (f" It saves {short(host.ksm_sharing_bytes, KIB)}B of memory.")
    )
    return Match(
        0.2,
        f"the host's kernel spends {host.ksmd_percent:.0f} % of a CPU looking for equal pages "
        "(KSM).",
        (Figure("ksmd", host.ksmd_percent, "percent"),),
        (f"VMs whose pages were merged fault when they write to them.{saved}",),
    )


def ballooned_bytes(memory: Memory) -> int | None:
    """Return what the balloon holds; None where it holds next to nothing, or that is not known."""
    current, maximum = memory.current_bytes, memory.maximum_bytes
    if current is None or not maximum or current >= _BALLOONED * maximum:
        return None
    return maximum - current


def _usable(memory: Memory) -> tuple[str, ...]:
    if memory.usable_bytes is None or not memory.available_bytes:
        return ()
    left = memory.usable_bytes / memory.available_bytes
    return (
        f"It can use {short(memory.usable_bytes, KIB)}B more without swapping ({percent(left)}).",
    )
