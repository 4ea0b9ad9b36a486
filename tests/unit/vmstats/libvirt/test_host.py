# SPDX-License-Identifier: GPL-2.0-or-later
"""A host as libvirt's test driver tells it, and as one would that lacks calls."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.host import HostCalls, HostSampler, Identity, Node
from tests.support.vmstats_samples import off_vm, vm

binding.set_up()
URI = "test:///default"


@pytest.fixture
def connection() -> libvirt.virConnect:
    """The test driver's only host: 16 CPUs of 1.4 GHz, 3 GiB."""
    return libvirt.openReadOnly(URI)


class Lacking:
    """A connection whose driver, or whose rights, lack these calls."""

    def __init__(
        self, connection: libvirt.virConnect, *names: str, code: int = libvirt.VIR_ERR_NO_SUPPORT
    ) -> None:
        self._connection, self._names, self._code = connection, names, code
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._connection, name)

        def call(*arguments: Any) -> Any:
            self.made.append(name)
            if name in self._names:
                error = libvirt.libvirtError("refused")
                error.err = (
                    self._code,
                    0,
                    "not supported",
                    0,
                    "",
                    None,
                    None,
                    0,
                    0,
                )
                raise error
            return real(*arguments)

        return call


def told(connection: Any, calls: HostCalls | None = None) -> tuple[Identity, Node]:
    """All that it tells."""
    calls = calls or HostCalls()
    identity, node = calls.identity(connection), calls.node(connection)
    assert identity is not None
    assert node is not None
    return identity, node


def test_the_test_drivers_host(connection: libvirt.virConnect) -> None:
    """As it describes itself; what only the host itself can tell is not there."""
    host = HostSampler(URI, "/").sample(*told(connection), [])
    assert (host.cpu.count, host.cpu.mhz, host.memory.total_bytes) == (16, 1_400, 3 << 30)
    assert (host.local, host.ksm, host.disk, host.load) == (False, None, None, None)
    assert (host.hypervisor_type, host.hypervisor_version) == ("TEST", 2)
    assert host.balloon_ratio is None


def test_balloons_of_running_vms_are_added_up(connection: libvirt.virConnect) -> None:
    """One that is off takes no memory."""
    running = vm()
    assert running.sample.memory is not None
    host = HostSampler(URI, "/").sample(*told(connection), [running, running, off_vm()])
    assert host.balloon_current_bytes == 2 * (running.sample.memory.actual_bytes or 0) > 0
    assert host.balloon_maximum_bytes == 2 * (running.sample.memory.maximum_bytes or 0) > 0


@pytest.mark.parametrize(
    ("missing", "attribute"),
    [
        ("getCPUStats", "times"),
        ("getVersion", "hypervisor_version"),
        ("getLibVersion", "libvirt_version"),
    ],
)
def test_a_call_that_is_not_supported(
    connection: libvirt.virConnect, missing: str, attribute: str
) -> None:
    """It costs its figure, and is made once; after a reconnect, once more."""
    calls, lacking = HostCalls(), Lacking(connection, missing)
    for _ in range(3):
        identity, node = told(lacking, calls)
        assert getattr(node if attribute == "times" else identity, attribute) is None
        assert node.cpus == 16
    assert lacking.made.count(missing) == 1
    calls.renew()
    told(lacking, calls)
    assert lacking.made.count(missing) == 2


def test_no_host_at_all(connection: libvirt.virConnect) -> None:
    """Without its size there is no sample of it; the domains are not concerned."""
    assert HostCalls().node(Lacking(connection, "getInfo")) is None


@pytest.mark.parametrize("text", ["", "<capabilities/>", "<capabilities><host>", "no XML"])
def test_capabilities_that_tell_nothing(
    connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Then they are not known."""
    monkeypatch.setattr(connection, "getCapabilities", lambda: text)
    identity, _ = told(connection)
    assert (identity.capabilities.uuid, identity.capabilities.model) == (None, None)
    assert identity.capabilities.features == ()


@pytest.mark.parametrize(
    "failing", ["getCapabilities", "getVersion", "getHostname", "getLibVersion"]
)
def test_an_identity_that_lacks_something(connection: libvirt.virConnect, failing: str) -> None:
    """A call that may succeed later is told from one that is not supported."""
    failed, _ = told(Lacking(connection, failing, code=libvirt.VIR_ERR_RPC))
    unsupported, _ = told(Lacking(connection, failing))
    assert (failed.complete, unsupported.complete) == (False, True)
