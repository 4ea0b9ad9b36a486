# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs and hosts of which anything may be unknown, for hypothesis.

They are the examples of vmstats_samples, thinned: a bit each for whatever may be None, and for each
element of a tuple. All figures that remain are known, and none of them is 0 in any unit, so that a
0 in a document was made up.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from hypothesis import strategies as st

from kvmlog.vmstats.host import Host, HugePages
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from tests.support import vmstats_samples
from tests.support.vmstats_samples import URI, at

Part = TypeVar("Part")
NOW = at(2_000)
# The examples, without the figures of theirs that are known to be 0.
_RATES = vmstats_samples.rates(
    blocks=(vmstats_samples.block_rates(), vmstats_samples.block_rates(target="vdb"))
)
_HOST = vmstats_samples.host(
    huge_pages=(HugePages(node=0, page_bytes=2 << 20, total=512, free=128, surplus=16),)
)
# More than anything below has.
_BITS = 400
# Whole numbers would have few high bits.
_WHICH = st.binary(min_size=_BITS // 8, max_size=_BITS // 8).map(
    lambda raw: int.from_bytes(raw, "little")
)


def vms() -> st.SearchStrategy[Vm]:
    """Draw VMs in any state, with anything unknown, sampled before NOW."""
    return st.builds(_vm, _WHICH, st.sampled_from(State), st.uuids())


def hosts() -> st.SearchStrategy[Host]:
    """Draw hosts with anything unknown."""
    return _WHICH.map(lambda bits: thinned(_HOST, bits))


def thinned(part: Part, bits: int) -> Part:
    """Return a part of the model without what the set bits stand for."""
    return typing.cast(Part, _thinned(part, iter(f"{bits:0{_BITS}b}"[::-1])))


def _vm(bits: int, state: State, uuid: object) -> Vm:
    whole = replace(vmstats_samples.hung_vm(timed_out=bool(bits & 1)), rates=_RATES)
    vm = thinned(whole, bits >> 2)
    uri = "qemu+tls://other/system" if bits & 2 else URI
    return replace(vm, sample=replace(vm.sample, state=state, uuid=str(uuid), uri=uri))


def _thinned(part: Any, bits: Iterator[str]) -> Any:
    if isinstance(part, tuple):
        # Triples (load) are whole; the devices of a list come and go.
        devices = [one for one in part if not is_dataclass(one) or next(bits) == "0"]
        return tuple(_thinned(one, bits) for one in devices)
    if not is_dataclass(part):
        return part
    optional = _optional(typing.cast(Any, type(part)))
    return replace(
        typing.cast(Any, part),
        **{
            field.name: None
            if field.name in optional and next(bits) == "1"
            else _thinned(getattr(part, field.name), bits)
            for field in fields(part)
        },
    )


@functools.cache
def _optional(kind: type) -> frozenset[str]:
    """Return the names of the fields that may be None."""
    return frozenset(
        name
        for name, hint in typing.get_type_hints(kind).items()
        if isinstance(hint, types.UnionType) and types.NoneType in typing.get_args(hint)
    )
