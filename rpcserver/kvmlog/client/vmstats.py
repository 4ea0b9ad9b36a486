# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies about VMs as the collector's own classes (kvmlog.vmstats)."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cattrs

from kvmlog.client.connection import RpcError
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.serialize import snapshot_of
from kvmlog.vmstats.snapshot import Snapshot

_T = TypeVar("_T")


@dataclass(frozen=True)
class VmStats:
    """VMs as the server's collector saw them last; vmStats gives no hosts, hostStats no VMs."""

    snapshot: Snapshot
    now: Moment  # the server's clocks as it replied: what ages are counted to (Vm.age_s)
    late: str | None  # why the figures are older than they should be, a sentence

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts of a hostStats reply."""
        return self.snapshot.hosts


def parameters(vm: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    """Return the parameter of vmStats."""
    given: dict[str, Any] = {}
    if vm:
        given["vm"] = list(vm)
    if groups:
        given["groups"] = list(groups)
    return given


def parse_vm_stats(reply: Any) -> VmStats:
    """Parse a reply to vmStats or hostStats."""
    structure = _converter().structure
    try:
        snapshot = snapshot_of(
            reply["boot_id"],
            reply["collector"],
            reply.get("hosts", ()),
            reply.get("vms", ()),
            structure,
        )
        return VmStats(snapshot, structure(reply["now"], Moment), reply["late"] or None)
    except (
        cattrs.BaseValidationError,
        AttributeError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        raise RpcError(
            f"the reply lacks something ({type(error).__name__}: {ascii(str(error))[:80]}); use "
            "client and server of one version"
        ) from None


@functools.cache
def _converter() -> cattrs.Converter:
    """Return what reads XML-RPC: integers are digits, and nothing is an empty string."""
    converter = cattrs.Converter(detailed_validation=False)
    for kind, read in _READERS.items():
        converter.register_structure_hook(kind, read)
    converter.register_structure_hook_func(
        _may_be_none,
        lambda value, kind: None if value == "" else converter.structure(value, _kind_of(kind)),
    )
    return converter


def _number(value: Any, _kind: type) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"integer expected, not {type(value).__name__}")
    return int(value)


def _exactly(expected: type[_T] | tuple[type, ...], read: Callable[[Any], _T]) -> Any:
    def check(value: Any, _kind: type) -> _T:
        if type(value) not in (expected if isinstance(expected, tuple) else (expected,)):
            raise TypeError(f"{expected} expected, not {type(value).__name__}")
        return read(value)

    return check


_READERS: typing.Final[dict[type, Any]] = {
    int: _number,
    float: _exactly((float, int), float),
    str: _exactly(str, str),
    bool: _exactly(bool, bool),
}


def _may_be_none(kind: Any) -> bool:
    return typing.get_origin(kind) in (types.UnionType, typing.Union) and types.NoneType in (
        typing.get_args(kind)
    )


def _kind_of(kind: Any) -> Any:
    """Return X of X | None; the model has no other unions."""
    (found,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
    return found
