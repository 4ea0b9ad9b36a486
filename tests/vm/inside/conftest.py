# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests inside the VM: the module, a control link, a receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.vm.inside import host
from tests.vm.inside.netlink import Control, Receiver
from tests.vm.inside.processes import Bridge, Rpc, ended, folder

KVM_MODULES = ("kvm", "kvm_amd")


def load_module(*parameters: str) -> None:
    """Loads kvmlog.ko with these parameters."""
    host.run("insmod", str(host.MODULE), *parameters)


def unload_module() -> None:
    """Unloads kvmlog.ko; it may be on."""
    host.run("rmmod", "kvmlog")


@pytest.fixture
def module() -> Iterator[Callable[..., None]]:
    """Loads the module when called, with parameters; unloads it at the end."""
    yield load_module
    if host.loaded("kvmlog"):
        unload_module()
    if not host.loaded("kvm_amd"):
        host.run("modprobe", "kvm_amd")


@pytest.fixture
def control(module: Callable[..., None]) -> Iterator[Control]:
    """The module loaded with its defaults, and commands to it."""
    module()
    link = Control()
    yield link
    link.close()


@pytest.fixture
def receiver(control: Control) -> Iterator[Receiver]:
    """A subscribed receiver."""
    link = Receiver(control.family).subscribe()
    yield link
    link.close()


@pytest.fixture
def histogram() -> Iterator[host.Histogram]:
    """The kernel's own count, armed before the test begins."""
    counted = host.Histogram()
    yield counted
    counted.close()


@pytest.fixture(scope="module")
def running_bridge() -> Iterator[Bridge]:
    """The module loaded and a bridge, for all tests of a file: a process takes seconds to start."""
    load_module()
    try:
        with folder() as place:
            bridge = Bridge(place, "--slots", str(1 << 18))
            with ended(bridge):
                yield bridge.ready()
    finally:
        unload_module()


@pytest.fixture(scope="module")
def rpc(running_bridge: Bridge) -> Iterator[Rpc]:
    """An RPC server for it."""
    server = Rpc(running_bridge)
    with ended(server):
        yield server


@pytest.fixture
def bridge(running_bridge: Bridge) -> Iterator[Bridge]:
    """The bridge, off before and after; nothing lost, and every exit accounted for."""
    yield running_bridge
    running_bridge.client.switch(on=False)
    status = running_bridge.status()
    counters = status["counters"]
    assert counters["dropped"] == counters["pending"] == 0
    assert running_bridge.info().head == counters["emitted"] + counters["notes"]
    assert status["pump"]["bad_messages"] == status["pump"]["errors"] == 0
