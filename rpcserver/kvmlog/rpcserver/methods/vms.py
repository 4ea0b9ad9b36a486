# SPDX-License-Identifier: GPL-2.0-or-later
"""vmList, vmStats and hostStats: VMs and their host as the collector sampled them last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.records import VM
from kvmlog.rpcserver.methods.reply import Written, value_bytes
from kvmlog.rpcserver.vms import errors
from kvmlog.rpcserver.vms.documents import VM_BYTES, Vms, vms_of
from kvmlog.rpcserver.vms.errors import VmRequestError
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.vmstats.serialize import GROUPS

_STATS: Final[Mapping[str, Check]] = {"vm": VM, "groups": params.words(GROUPS)}
_CODES: Final[Mapping[type[VmRequestError], int]] = {
    errors.NoCollectorError: faults.NO_VM_STATISTICS,
    errors.UnusableStatisticsError: faults.VM_STATISTICS_UNREADABLE,
    errors.LateCollectorError: faults.VM_STATISTICS_LATE,
    errors.UnknownVmError: faults.NO_GUEST,
    errors.NotRunningError: faults.VM_NOT_RUNNING,
    errors.InvalidRequestError: faults.INVALID_PARAMETERS,
}


def listed(call: Call) -> dict[str, Any]:
    """Serve vmList: who they are and what they do, without figures."""
    with _newest(call) as (vms, poll):
        call.work.reserve(len(poll.snapshot.vms) * VM_BYTES)
        return vms.listed(poll)


def stats(call: Call) -> dict[str, Any]:
    """Serve vmStats: our own samples, with rates and accumulated counters."""
    given = params.parse(call.parameters, "vmStats", _STATS)
    with _newest(call) as (vms, poll):
        words = given.get("vm", ())
        call.work.reserve((len(words) or len(poll.snapshot.vms)) * VM_BYTES)
        origin, encoded = vms.stats(poll, words, given.get("groups", ()), value_bytes)
        return {**origin, "vms": Written(encoded)}


def hosts(call: Call) -> dict[str, Any]:
    """Serve hostStats: the hosts, and what collecting costs."""
    with _newest(call) as (vms, poll):
        return vms.hosts(poll)


@contextlib.contextmanager
def _newest(call: Call) -> Iterator[tuple[Vms, Poll]]:
    """Give the newest poll; every VmRequestError within `with` becomes its fault."""
    vms = vms_of(call.vmstats_path, call.ring_path)
    try:
        yield vms, vms.poll(call.work.waiting)
    except VmRequestError as error:
        raise faults.fault(_CODES[type(error)], str(error)) from error
