# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs and their hosts as the collector sampled them last, in our own form and in each engine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params, table
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.polls import given_word, newest
from kvmlog.rpcserver.methods.records import VM
from kvmlog.rpcserver.methods.reply import Written, value_bytes
from kvmlog.rpcserver.vms.documents import (
    DIAGNOSTICS,
    GROUPS,
    look_ahead,
)

_STATS: Final[Mapping[str, Check]] = {
    "vm": VM,
    "groups": params.words(GROUPS),
    "form": params.one_of("structs", "binary"),
}


def listed(call: Call) -> dict[str, Any]:
    """Serve vmList: who they are and what they do, without figures."""
    with newest(call) as (vms, poll):
        return vms.listed(poll)


def stats(call: Call) -> dict[str, Any]:
    """Serve vmStats: our own samples, with rates and accumulated counters."""
    given = params.parse(call.parameters, "vmStats", _STATS)
    words = given.get("vm", ())
    with newest(call, len(words) or None) as (vms, poll):
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
    kind = given_word(call, 1, "vmDiagnostics: the format", DIAGNOSTICS) or "nova-2.48"
    return _of_vm(call, "vmDiagnostics", kind)


def vdsm(call: Call) -> dict[str, Any]:
    """Serve vmVdsm: VDSM's statistics of one VM."""
    return _of_vm(call, "vmVdsm", "vdsm")


def cloudstack(call: Call) -> dict[str, Any]:
    """Serve vmCloudStack: the growth since the caller's call before, and all of it."""
    word = given_word(call, 0, "vmCloudStack: the caller")
    with newest(call) as (vms, poll):
        return vms.cloudstack(poll, call.caller_key, word)


def samples(call: Call) -> list[Any]:
    """Serve vmSamples: Ceilometer's."""
    word = given_word(call, 0, "vmSamples: the caller")
    with newest(call) as (vms, poll):
        return vms.samples(poll, call.caller_key, word)


def hosts(call: Call) -> dict[str, Any]:
    """Serve hostStats: the hosts, and what collecting costs."""
    with newest(call, 0) as (vms, poll):
        return vms.hosts(poll)


def _of_vm(call: Call, method: str, kind: str) -> dict[str, Any]:
    word = given_word(call, 0, f"{method}: the VM")
    with newest(call, 1) as (vms, poll):
        return vms.of_vm(poll, word, kind)


table.tidied_by(look_ahead)
