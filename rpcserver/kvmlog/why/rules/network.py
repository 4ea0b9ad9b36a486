# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the network: packets that are dropped."""

from __future__ import annotations

from typing import Final

from kvmlog.why.budget import Budget
from kvmlog.why.evidence import Evidence, Nic
from kvmlog.why.rules.model import Figure, Match, percent

# A few stray packets of an interface that has hardly any are no trouble.
_LEAST_PER_S: Final = 1.0
_REMEDIES: Final = {
    "receive": (
        "the guest does not take its packets fast enough: more receive queues (driver queues=N) "
        "and a longer ring (rx_queue_size) in its <interface>, or a faster guest",
    ),
    "transmit": (
        "the host does not take its packets fast enough: look at the host's device "
        "(ip -s link show dev {name}), its queue length, and limits (virsh domiftune)",
    ),
}


def drops(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find an interface that drops packets, or has errors."""
    losing = [one for one in evidence.nics or () if _lost(one) >= _LEAST_PER_S]
    worst = max(losing, key=_share, default=None)
    if worst is None or _share(worst) * 100 < least:
        return None
    share = _share(worst)
    return Match(
        max(0.3, share),
        f"its network loses packets: {percent(share)} of those that it should {worst.way} on "
        f"{worst.name} are dropped.",
        (
            Figure("dropped", share * 100, "percent"),
            Figure("drops", worst.drops_per_s, "per_s"),
            Figure("errors", worst.errors_per_s, "per_s"),
        ),
        (f"{_lost(worst):.0f} a second are lost, {worst.packets_per_s:.0f} arrive.",),
        tuple(one.format(name=worst.name) for one in _REMEDIES[worst.way]),
    )


def _lost(nic: Nic) -> float:
    return nic.drops_per_s + nic.errors_per_s


def _share(nic: Nic) -> float:
    whole = nic.packets_per_s + _lost(nic)
    return _lost(nic) / whole if whole else 0.0
