# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests inside the VM: the module, a control link, a receiver."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm.inside import host, judges, libvirt, sources
from tests.vm.inside.netlink import Control, Receiver
from tests.vm.inside.processes import Bridge, Rpc, check_off, ended, folder
from tests.vm.inside.programs import Programs

KVM_MODULES = ("kvm", "kvm_amd")


def load_module(*parameters: str) -> None:
    """Loads kvmlog.ko with these parameters."""
    host.run("insmod", str(host.MODULE), *parameters)


def unload_module() -> None:
    """Unloads kvmlog.ko; it may be on."""
    host.run("rmmod", "kvmlog")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_leaked() -> Iterator[None]:
    """Where the kernel looks for leaks it finds none when all is over, and lockdep has watched."""
    judges.forget_leaks()
    yield
    assert not judges.leaks()
    assert judges.lockdep_watches() == judges.LOCKDEP.exists()


@pytest.fixture(scope="session", params=sources.SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    """Source that a test runs with: each in turn, unless it is limited by sources.only."""
    return str(request.param)


@pytest.fixture
def module(source: str) -> Iterator[Callable[..., None]]:
    """Loads the module when called, with parameters; unloads it at the end."""
    assert source == sources.KMOD
    yield load_module
    if host.loaded("kvmlog"):
        unload_module()
    if not host.loaded("kvm_amd"):
        host.run("modprobe", "kvm_amd")


@pytest.fixture(scope="session")
def compiled() -> Iterator[Callable[[str], Programs]]:
    """The BPF source, by the way that it gets its reasons: compiled when first asked for."""
    kept: dict[str, Programs] = {}
    with folder() as place:
        place.mkdir()

        def get(reason: str) -> Programs:
            if reason not in kept:
                kept[reason] = Programs(place, reason)
            return kept[reason]

        yield get
        for programs in kept.values():
            programs.close()


@pytest.fixture
def control(source: str, request: pytest.FixtureRequest) -> Iterator[Control | Programs]:
    """The module loaded with its defaults, or the BPF programs, and commands to it."""
    if source == sources.KMOD:
        request.getfixturevalue("module")()
        link = Control()
        yield link
        link.close()
        return
    get: Callable[[str], Programs] = request.getfixturevalue("compiled")
    programs = get("event" if source == sources.BPF_EVENT else "vcpu").begin()
    yield programs
    programs.end()


@pytest.fixture
def receiver(control: Control | Programs) -> Iterator[Receiver | Programs]:
    """A subscribed receiver."""
    if isinstance(control, Programs):
        yield control
        return
    link = Receiver(control.family).subscribe()
    yield link
    link.close()


@pytest.fixture
def cpu1() -> Iterator[Path]:
    """CPU 1's switch; it is online again at the end."""
    switch = Path("/sys/devices/system/cpu/cpu1/online")
    yield switch
    switch.write_text("1")


@pytest.fixture
def histogram() -> Iterator[host.Histogram]:
    """The kernel's own count, armed before the test begins."""
    counted = host.Histogram()
    yield counted
    counted.close()


@pytest.fixture
def threads() -> Iterator[host.ThreadHistogram]:
    """The same by thread."""
    counted = host.ThreadHistogram()
    yield counted
    counted.close()


@pytest.fixture(scope="module")
def libvirt_daemon() -> Iterator[None]:
    """A libvirt for the tests of a file: it takes seconds to start."""
    with libvirt.libvirtd():
        yield


@contextlib.contextmanager
def bridge_of(source: str) -> Iterator[Bridge]:
    """A bridge that is ready, with its module loaded if it takes one."""
    if source == sources.KMOD:
        load_module()
    try:
        with folder() as place:
            bridge = Bridge(place, "--slots", str(1 << 18), "--source", source)
            with ended(bridge):
                yield bridge.ready()
    finally:
        if source == sources.KMOD:
            unload_module()


@pytest.fixture(scope="module")
def running_bridge(source: str) -> Iterator[Bridge]:
    """A bridge, with its module loaded, for all tests of a file; see one_bridge/ for more."""
    with bridge_of(source) as bridge:
        yield bridge


@pytest.fixture(scope="module")
def rpc(running_bridge: Bridge) -> Iterator[Rpc]:
    """An RPC server for it."""
    server = Rpc(running_bridge)
    with ended(server):
        yield server


@pytest.fixture
def bridge(running_bridge: Bridge) -> Iterator[Bridge]:
    """The bridge, off before and after; every exit accounted for."""
    yield running_bridge
    running_bridge.client.switch(on=False)
    check_off(running_bridge)
