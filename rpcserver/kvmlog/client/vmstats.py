# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs over RPC as the collector's own classes (kvmlog.vmstats)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvmlog.client.connection import RpcError
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats import file
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot


@dataclass(frozen=True)
class VmStats:
    """VMs and their hosts as the server's collector saw them last."""

    snapshot: Snapshot
    now: Moment  # on the server's clocks, as it replied: ages are counted to it (Vm.age_s)
    late: str | None  # why the figures are older than they should be, a sentence


def parameters(vm: Sequence[str]) -> dict[str, Any]:
    """Return the parameter of vmStats."""
    return {"form": "binary", **({"vm": list(vm)} if vm else {})}


def parse_vm_stats(reply: Any) -> VmStats:
    """Parse a reply to vmStats in binary form; RpcError for anything else."""
    try:
        snapshot = file.decode("the reply", reply["snapshot"])
        written, age_ns = snapshot.collector.written, round(reply["age_s"] * 1e9)
        now = Moment(written.monotonic_ns + age_ns, written.realtime_ns + age_ns)
        return VmStats(snapshot, now, reply["late"] or None)
    except (KeyError, OverflowError, TypeError, ValueError, VmStatsError) as error:
        raise RpcError(
            f"the reply lacks something ({type(error).__name__}: {ascii(str(error))[:80]}); use "
            "client and server of one version"
        ) from None
