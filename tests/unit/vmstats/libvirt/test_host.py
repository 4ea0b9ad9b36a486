# SPDX-License-Identifier: GPL-2.0-or-later
"""A host as libvirt's test driver tells it, and as one would that lacks calls."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.host import HostCalls, HostSampler
from tests.support.vmstats_samples import off_vm, vm

binding.set_up()
URI = "test:///default"


@pytest.fixture
def connection() -> libvirt.virConnect:
    """The test driver's only host: 16 CPUs of 1.4 GHz, 3 GiB."""
    return libvirt.openReadOnly(URI)


class Lacking:
    """A connection whose driver, or whose rights, lack these calls."""

    def __init__(self, connection: libvirt.virConnect, *names: str) -> None:
        self._connection, self._names = connection, names
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._connection, name)

        def call(*arguments: Any) -> Any:
            self.made.append(name)
            if name in self._names:
                error = libvirt.libvirtError("refused")
                error.err = (
                    libvirt.VIR_ERR_NO_SUPPORT,
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


def test_the_test_drivers_host(connection: libvirt.virConnect) -> None:
    """As it describes itself; what only the host itself can tell is not there."""
    told = HostCalls().ask(connection)
    assert told is not None
    host = HostSampler(URI, "/").sample(told, [])
    assert (host.cpu.count, host.cpu.mhz, host.memory.total_bytes) == (16, 1_400, 3 << 30)
    assert (host.local, host.ksm, host.disk, host.load) == (False, None, None, None)
    assert (host.hypervisor_type, host.hypervisor_version) == ("TEST", 2)
    assert host.balloon_ratio is None


def test_balloons_of_running_vms_are_added_up(connection: libvirt.virConnect) -> None:
    """One that is off takes no memory."""
    told = HostCalls().ask(connection)
    assert told is not None
    running = vm()
    assert running.sample.memory is not None
    host = HostSampler(URI, "/").sample(told, [running, running, off_vm()])
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
        told = calls.ask(lacking)
        assert told is not None
        assert getattr(told, attribute) is None
        assert told.cpus == 16
    assert lacking.made.count(missing) == 1
    calls.renew()
    calls.ask(lacking)
    assert lacking.made.count(missing) == 2


def test_no_host_at_all(connection: libvirt.virConnect) -> None:
    """Without its size there is no sample of it; the domains are not concerned."""
    assert HostCalls().ask(Lacking(connection, "getInfo")) is None


@pytest.mark.parametrize("text", ["", "<capabilities/>", "<capabilities><host>", "no XML"])
def test_capabilities_that_tell_nothing(
    connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Then they are not known."""
    monkeypatch.setattr(connection, "getCapabilities", lambda: text)
    told = HostCalls().ask(connection)
    assert told is not None
    assert (told.capabilities.uuid, told.capabilities.model) == (None, None)
    assert told.capabilities.features == ()
