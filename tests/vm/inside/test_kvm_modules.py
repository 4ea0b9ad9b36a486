# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM comes and goes under the tracer; the tracer comes and goes under load."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import SwitchRecord
from tests.vm.inside import host
from tests.vm.inside.netlink import Control, Receiver
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)


@pytest.fixture(autouse=True)
def kvm_comes_back() -> Iterator[None]:
    """Whatever a test unloads is there again for the next."""
    yield
    host.run("modprobe", "kvm_amd")


def references(module: str) -> int:
    """Return how often a loaded module is held."""
    return int(Path("/sys/module", module, "refcnt").read_text())


def causes(receiver: Receiver) -> list[int]:
    """Why tracing was switched, in order."""
    return [r.cause for r in receiver.records if isinstance(r, SwitchRecord)]


def traced_exits(control: Control, receiver: Receiver) -> int:
    """Runs a guest; how many exits that gave."""
    before = len(receiver.exits)
    host.guest("--turns", "101", "--kinds", "cpuid")
    receiver.drain()
    control.status().check_sum()
    return len(receiver.exits) - before


def test_kvm_is_not_pinned_and_may_be_reloaded_while_on(
    control: Control, receiver: Receiver
) -> None:
    """rmmod kvm while on: the probes go with it and come back with it."""
    held = references("kvm")
    control.switch_on()
    assert references("kvm") == held
    assert traced_exits(control, receiver) > 100

    host.run("rmmod", "kvm_amd")
    assert not control.status().attached
    assert control.status().text(lib.KVMLOG_A_WAITING_FOR) == "kvm_amd or kvm_intel"
    host.run("rmmod", "kvm")
    status = control.status()
    assert status.on
    assert status.text(lib.KVMLOG_A_WAITING_FOR) == "kvm"
    assert status.number(lib.KVMLOG_A_ISA) == lib.KVMLOG_ISA_NONE

    host.run("modprobe", "kvm_amd")
    assert control.status().attached
    assert traced_exits(control, receiver) > 100
    control.switch_off()
    receiver.drain()
    assert causes(receiver) == [
        lib.KVMLOG_SWITCH_COMMAND,
        lib.KVMLOG_SWITCH_DETACHED,
        lib.KVMLOG_SWITCH_ATTACHED,
        lib.KVMLOG_SWITCH_COMMAND,
    ]


def test_kvm_amd_alone_may_be_reloaded_while_on(control: Control, receiver: Receiver) -> None:
    """It has no tracepoints of its own, but the function that knows the reason."""
    control.switch_on()
    assert traced_exits(control, receiver) > 100
    for _ in range(host.repeats(1)):
        host.run("rmmod", "kvm_amd")
        assert host.loaded("kvm")
        assert not control.status().attached
        assert host.probes_on("kvm_exit") == 0
        host.run("modprobe", "kvm_amd")
        assert control.status().attached
        assert traced_exits(control, receiver) > 100


def resolutions() -> int:
    """Return how often kvmlog has looked for kvm_amd's function, and found it."""
    return host.kernel_log().count("[kvm_amd] will be called")


def test_kvm_amd_that_another_module_refused(control: Control, receiver: Receiver) -> None:
    """It was there for a while, and switching on found it; nothing is called there afterwards.

    Nobody tells kvmlog that it went: its notifier comes after the one that refused.
    """
    parameters = Path("/sys/module/kvmlog_refuse_test/parameters")
    host.run("rmmod", "kvm_amd")
    host.run("insmod", str(host.REFUSE_TEST_MODULE))
    try:
        with subprocess.Popen(("modprobe", "kvm_amd"), stderr=subprocess.DEVNULL) as loading:
            deadline = time.monotonic() + host.HANG_S
            while (parameters / "holding").read_text() != "Y\n":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            before = resolutions()
            control.switch_on()
            assert control.status().text(lib.KVMLOG_A_WAITING_FOR) is None
            assert resolutions() == before + 1
            (parameters / "released").write_text("Y")
        assert loading.returncode != 0
        assert not host.loaded("kvm_amd")
        host.run("modprobe", "kvm_amd")
        # Its code may be at another address now.
        assert resolutions() == before + 2
        assert traced_exits(control, receiver) > 100
    finally:
        (parameters / "released").write_text("Y")
        host.run("rmmod", host.REFUSE_TEST_MODULE.stem)


def test_loaded_and_switched_on_before_kvm(module: Callable[..., None]) -> None:
    """Tracing that is on before KVM exists waits, and traces from the first guest on."""
    host.run("rmmod", "kvm_amd", "kvm")
    module()
    control = Control()
    receiver = Receiver(control.family).subscribe()
    control.switch_on()
    status = control.status()
    assert (status.on, status.attached) == (True, False)
    assert status.text(lib.KVMLOG_A_WAITING_FOR) == "kvm"
    host.run("modprobe", "kvm_amd")
    assert control.status().attached
    histogram = host.Histogram()
    try:
        assert traced_exits(control, receiver) == histogram.counts().total()
    finally:
        histogram.close()
    receiver.close()
    control.close()


def test_unload_under_load_is_clean(module: Callable[..., None]) -> None:
    """rmmod kvmlog while on and guests run: the last batch comes each time."""
    guest = host.start_guest("--turns", "0", "--vcpus", "2", "--kinds", "cpuid,pio")
    try:
        for _ in range(host.repeats(6)):
            module()
            control = Control()
            receiver = Receiver(control.family).subscribe()
            control.switch_on()
            time.sleep(0.05)
            host.run("rmmod", "kvmlog")
            receiver.drain(0.05)
            assert causes(receiver) == [lib.KVMLOG_SWITCH_COMMAND, lib.KVMLOG_SWITCH_UNLOAD]
            assert receiver.exits
            receiver.close()
            control.close()
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
    assert not host.loaded("kvmlog")
    assert host.probes_on("kvm_exit") == 0


def test_load_and_unload_without_switching_on(module: Callable[..., None]) -> None:
    """The module alone attaches nothing."""
    module()
    assert host.probes_on("kvm_exit") == 0
    host.run("rmmod", "kvmlog")


def test_the_other_vendors_module_is_no_vendor(control: Control, receiver: Receiver) -> None:
    """modprobe kvm_intel on an AMD CPU announces itself before it refuses: nothing changes."""
    control.switch_on()
    guest = host.start_guest("--turns", "0", "--kinds", "cpuid")
    try:
        for _ in range(5):
            host.run("modprobe", "kvm_intel", check=False)
        status = control.status()
        assert status.attached
        assert status.text(lib.KVMLOG_A_VENDOR) == "kvm_amd"
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
    control.switch_off()
    receiver.drain()
    reasons = receiver.reasons()
    assert reasons[0] == 0
    assert reasons[0x72] > 0
