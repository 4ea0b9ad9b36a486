# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs and their hosts as the collector sampled them last, in our own form and in each engine's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kvmlog.guests.sanitize import NAME_CHARACTERS
from kvmlog.rpcserver import faults, nearest
from kvmlog.rpcserver.methods import params, table
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.records import VM
from kvmlog.rpcserver.methods.reply import Written, value_bytes
from kvmlog.rpcserver.vms import errors
from kvmlog.rpcserver.vms.documents import (
    DIAGNOSTICS,
    GROUPS,
    HYPERVISORS,
    VM_BYTES,
    Vms,
    look_ahead,
    vms_of,
)
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.views import errors as views

_STATS: Final[Mapping[str, Check]] = {
    "vm": VM,
    "groups": params.words(GROUPS),
    "form": params.one_of("structs", "binary"),
}
_CODES: Final[Mapping[type[VmStatsError], int]] = {
    errors.NoCollectorError: faults.NO_VM_STATISTICS,
    errors.UnusableStatisticsError: faults.VM_STATISTICS_UNREADABLE,
    errors.LateCollectorError: faults.VM_STATISTICS_LATE,
    errors.UnknownVmError: faults.NO_GUEST,
    errors.InvalidRequestError: faults.INVALID_PARAMETERS,
    views.NotRunningError: faults.VM_NOT_RUNNING,
    views.UnknownFormatError: faults.INVALID_PARAMETERS,
    views.UnknownGroupError: faults.INVALID_PARAMETERS,
}


def listed(call: Call) -> dict[str, Any]:
    """Serve vmList: who they are and what they do, without figures."""
    with _newest(call) as (vms, poll):
        return vms.listed(poll)


def stats(call: Call) -> dict[str, Any]:
    """Serve vmStats: our own samples, with rates and accumulated counters."""
    given = params.parse(call.parameters, "vmStats", _STATS)
    words = given.get("vm", ())
    with _newest(call, len(words) or None) as (vms, poll):
        if given.get("form") == "binary":
            if "groups" in given:
                raise faults.fault(
                    faults.INVALID_PARAMETERS,
                    "vmStats: form is 'binary'; it has all groups, give none.",
                )
            origin, content = vms.block(poll, words)
            return {**origin, "snapshot": content}
        origin, encoded = vms.stats(poll, words, given.get("groups", ()), value_bytes)
        return {**origin, "vms": Written(encoded)}


def diagnostics(call: Call) -> dict[str, Any]:
    """Serve vmDiagnostics: one VM in an engine's format."""
    kind = _word(call, 1, "vmDiagnostics: the format", DIAGNOSTICS) or "nova-2.48"
    return _of_vm(call, "vmDiagnostics", kind)


def vdsm(call: Call) -> dict[str, Any]:
    """Serve vmVdsm: VDSM's statistics of one VM."""
    return _of_vm(call, "vmVdsm", "vdsm")


def cloudstack(call: Call) -> dict[str, Any]:
    """Serve vmCloudStack: the growth since the caller's call before, and all of it."""
    word = _word(call, 0, "vmCloudStack: the caller")
    with _newest(call) as (vms, poll):
        return vms.cloudstack(poll, call.caller_key, word)


def samples(call: Call) -> list[Any]:
    """Serve vmSamples: Ceilometer's."""
    word = _word(call, 0, "vmSamples: the caller")
    with _newest(call) as (vms, poll):
        return vms.samples(poll, call.caller_key, word)


def hosts(call: Call) -> dict[str, Any]:
    """Serve hostStats: the hosts, and what collecting costs."""
    with _newest(call, 0) as (vms, poll):
        return vms.hosts(poll)


def hypervisors(call: Call) -> list[Any]:
    """Serve hypervisorDetail: Nova's detail of each host."""
    kind = _word(call, 0, "hypervisorDetail: the format", HYPERVISORS) or HYPERVISORS[-1]
    with _newest(call) as (vms, poll):
        return vms.hypervisors(poll, kind)


def _of_vm(call: Call, method: str, kind: str) -> dict[str, Any]:
    word = _word(call, 0, f"{method}: the VM")
    with _newest(call, 1) as (vms, poll):
        return vms.of_vm(poll, word, kind)


def _word(call: Call, at: int, what: str, known: tuple[str, ...] = ()) -> str:
    """Return a parameter that is a word, one of `known`; "" where it is not given."""
    if at >= len(call.parameters):
        return ""
    given = call.parameters[at]
    if not isinstance(given, str) or not 0 < len(given) <= NAME_CHARACTERS:
        accepted = f"give a string of 1 to {NAME_CHARACTERS} characters"
    elif known and given not in known:
        accepted = nearest.one_of(given, known)
    else:
        return given
    raise faults.fault(faults.INVALID_PARAMETERS, f"{what} is {faults.shown(given)}; {accepted}.")


@contextlib.contextmanager
def _newest(call: Call, count: int | None = None) -> Iterator[tuple[Vms, Poll]]:
    """Give the newest poll, and memory for so many VMs, all by default.

    VmStatsError within `with` becomes its fault.
    """
    vms = vms_of(call.vmstats_path, call.ring_path)
    try:
        poll = vms.poll(call.work.waiting)
        call.work.reserve((len(poll.snapshot.vms) if count is None else count) * VM_BYTES)
        yield vms, poll
    except VmStatsError as error:
        raise faults.fault(_CODES[type(error)], f"{error}.") from error


table.tidied_by(look_ahead)
