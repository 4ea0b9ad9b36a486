# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs by the words of the guests that they are."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlog.guests.model import Guest
from kvmlog.rpcserver.vms.errors import InvalidRequestError, UnknownVmError
from kvmlog.rpcserver.vms.selection import VmIndex
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from tests.support import vmstats_samples as samples

WEB1 = samples.vm()
DB1 = samples.off_vm()


def guest(**changed: Any) -> Guest:
    """web1 as the bridge knows it in KubeVirt, found by its process."""
    values: dict[str, Any] = {
        "pid": 4300,
        "start_ticks": 77,
        "comm": "qemu-system-x86",
        "kind": "qemu",
        "name": "shop_web",
        "named": True,
        "aliases": ("web",),
    }
    return Guest(**{**values, **changed})


def index(*vms: Vm, guests: tuple[Guest, ...] = ()) -> VmIndex:
    """The VMs given, or both by hand."""
    return VmIndex(samples.snapshot(*(vms or (WEB1, DB1))), guests)


@pytest.mark.parametrize(
    "word", ["web1", samples.WEB1, samples.WEB1.upper(), samples.WEB1.replace("-", ""), "4300"]
)
def test_name_uuid_and_pid_mean_a_vm(word: str) -> None:
    """Any spelling of the UUID does."""
    assert index().one(word) is WEB1


@pytest.mark.parametrize("found_by", [{"uuid": None}, {"pid": 4_999, "uuid": samples.WEB1}])
@pytest.mark.parametrize("word", ["shop_web", "web", "web1"])
def test_a_guest_of_the_bridge_is_the_vm_of_its_pid_or_uuid(
    found_by: dict[str, Any], word: str
) -> None:
    """The names that select its exits select its samples."""
    assert index(guests=(guest(**found_by),)).one(word) is WEB1


def test_a_guest_that_has_ended_gives_no_name() -> None:
    """Its pid may be another's by now."""
    with pytest.raises(UnknownVmError, match="no VM has the name, UUID or pid 'shop_web'; name"):
        index(guests=(guest(ended_realtime_ns=5),)).one("shop_web")


def test_a_guest_without_libvirt_has_exits_only() -> None:
    """Said so, instead of that there is none."""
    with pytest.raises(UnknownVmError, match="'fc1' is a guest that libvirt does not know"):
        index(guests=(guest(name="fc1", pid=9),)).matching(["web1", "fc1"])


def test_no_word_means_all_and_each_vm_is_there_once() -> None:
    """Words of the same VM do not repeat it."""
    assert index().matching([]) == [WEB1, DB1]
    assert index().matching(["db1", "web1", samples.DB1]) == [DB1, WEB1]


def test_of_several_the_one_that_runs_is_meant() -> None:
    """While it migrates, two connections know it; two that run are refused with their UUIDs."""
    leaving = samples.vm(state=State.SHUTOFF, uri="qemu+tls://other/system")
    assert index(leaving, WEB1).one(samples.WEB1) is WEB1
    other = samples.vm(uuid=samples.DB1)
    with pytest.raises(InvalidRequestError, match=f"names 2 VMs.*{samples.WEB1}, {samples.DB1}"):
        index(WEB1, other).one("web1")


def test_a_word_that_is_no_vm_is_shown_safely() -> None:
    """Also where there is no VM at all."""
    with pytest.raises(UnknownVmError, match=r"pid 'x\\n\\x1b'; libvirt knows no VM at all"):
        VmIndex(samples.snapshot(vms=()), ()).one("x\n\x1b")


@pytest.mark.parametrize(
    ("vms", "said"),
    [
        ((), "pid 'web9'; none is known yet, and 0 of 1 connections answer"),
        ((WEB1,), r"name one of: web1 \(.*\); 0 of 1 connections answer"),
    ],
)
def test_a_word_that_is_no_vm_while_a_connection_is_down(vms: tuple[Vm, ...], said: str) -> None:
    """It may be one of those that libvirt does not tell of now."""
    collector = samples.collector(connections=(samples.connection(connected=False),))
    with pytest.raises(UnknownVmError, match=said):
        VmIndex(samples.snapshot(vms=vms, collector=collector), ()).one("web9")
