# SPDX-License-Identifier: GPL-2.0-or-later
"""Rights of an RPC server without privileges, in the group kvmlog and outside of it."""

from __future__ import annotations

import grp
import signal
import stat
from collections.abc import Iterator
from xmlrpc.client import Fault

import pytest

from tests.vm.inside import host, ring_bytes
from tests.vm.inside.netlink import Control
from tests.vm.inside.processes import Bridge, Rpc, ended, folder, until
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)

NOBODY = 65534


@pytest.fixture
def group() -> Iterator[int]:
    """The group kvmlog, which an installation makes; its number. The VM's /etc is its own."""
    host.run("groupadd", "--system", "kvmlog")
    yield grp.getgrnam("kvmlog").gr_gid
    host.run("groupdel", "kvmlog")


def codes(text: str) -> list[str]:
    """The reasons in getKvmLog's answer: two digits of each record's nine."""
    return [text[at : at + 2] for at in range(0, len(text), 9)]


def test_an_rpc_server_without_privileges(
    control: Control, histogram: host.Histogram, group: int
) -> None:
    """A server of the group switches and reads, one outside it explains.

    Both outlive the bridge.
    """
    with folder() as place:
        bridge = Bridge(place)
        with ended(bridge):
            bridge.ready()
            for path, mode in ((bridge.ring, 0o640), (bridge.switch, 0o660), (place, 0o750)):
                status = path.stat()
                assert (stat.S_IMODE(status.st_mode), status.st_gid) == (mode, group)
            member = Rpc(bridge, "member", user=NOBODY, groups=[group])
            outsider = Rpc(bridge, "outsider", user=NOBODY)
            with ended(member, outsider), member.client() as kvm, outsider.client() as other:
                assert kvm.getKvmLog() == "none"
                assert kvm.kvmLogSwitch("on") == "true"
                host.guest("--turns", "401", "--kinds", "cpuid,pio,mmio")
                assert kvm.kvmLogSwitch("off") == "true"
                assert ring_bytes.reasons(bridge.records()) == histogram.counts()
                text = kvm.getKvmLog()
                assert len(text) == 1024 * 9

                with pytest.raises(Fault, match="group kvmlog") as fault:
                    other.kvmLogSwitch("on")
                assert fault.value.faultCode == 101
                with pytest.raises(Fault, match="no permission") as fault:
                    other.getKvmLog()
                assert fault.value.faultCode == 103
                assert not control.status().on

                assert kvm.kvmLogSwitch("on") == "true"
                bridge.end(signal.SIGKILL)
                until(lambda: not control.status().on, "the module off")
                status = kvm.kvmLogStatus()
                assert (status["bridge"], status["tracing"]) == ("down", "off")
                assert status["ring_state"] == "abandoned"
                # A heartbeat in between may have moved all times by a moment.
                assert codes(kvm.getKvmLog())[-500:] == codes(text)[-500:]
                with pytest.raises(Fault, match="no bridge is running; start it") as fault:
                    kvm.kvmLogSwitch("on")
                assert fault.value.faultCode == 101
