# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's switch: who may, what is refused and with which words."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.sources import btf
from tests.vm.inside import host
from tests.vm.inside.netlink import (
    Control,
    Receiver,
    RefusedError,
    attribute,
    member,
    prototype,
    u32,
)
from tests.vm.inside.processes import probes
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)


def test_refusals_say_why(control: Control) -> None:
    """Each refusal has an errno and a sentence."""
    with pytest.raises(RefusedError, match="subscribe first") as refused:
        control.switch_on()
    assert refused.value.code == errno.ENOTCONN
    with pytest.raises(RefusedError, match="already off") as refused:
        control.switch_off()
    assert refused.value.code == errno.EALREADY

    receiver = Receiver(control.family).subscribe()
    second = Receiver(control.family)
    with pytest.raises(RefusedError, match="receiver already") as refused:
        second.subscribe()
    assert refused.value.code == errno.EBUSY
    second.close()

    for bad, words in (
        ([attribute(lib.KVMLOG_A_TGIDS, b"abc")], "32 bit process ids"),
        ([u32(lib.KVMLOG_A_ON_MS, 5)], "needs both"),
        ([u32(lib.KVMLOG_A_ONE_IN, 0)], "range"),
        ([u32(lib.KVMLOG_A_ONE_IN, 1_000_001)], "range"),
        ([u32(lib.KVMLOG_A_ON_MS, 0), u32(lib.KVMLOG_A_OFF_MS, 1)], "range"),
        ([attribute(lib.KVMLOG_A_TGIDS, bytes(4 * 257))], ""),
        ([attribute(lib.KVMLOG_A_PROTOTYPE | 0x8000, b"")], "name and a signature"),
        ([prototype("x", "y")] * 17, "Too many"),
        ([attribute(lib.KVMLOG_A_FIELD | 0x8000, b"")], "name, an offset and a size"),
        ([member("x.y", 0, 8)] * 33, "Too many"),
    ):
        with pytest.raises(RefusedError, match=words):
            control.configure(True, *bad)
        assert not control.status().on
    with pytest.raises(RefusedError, match="neither COMMAND nor BUDGET"):
        control.configure(False, u32(lib.KVMLOG_A_CAUSE, lib.KVMLOG_SWITCH_LEASE))
    control.link.request(control.family, lib.KVMLOG_CMD_CONFIGURE)
    with pytest.raises(RefusedError, match="State is missing"):
        control.link.replies()

    control.switch_on()
    with pytest.raises(RefusedError, match="already on") as refused:
        control.switch_on()
    assert refused.value.code == errno.EALREADY
    receiver.close()


def test_another_prototype_is_refused(control: Control, receiver: Receiver) -> None:
    """Prototypes of the running kernel have to be those that the module was built for."""
    expected = control.status().prototypes
    assert expected["kvm_exit"] == "struct kvm_vcpu *, unsigned int"
    for name, signature in expected.items():
        # Optional; all but the last are attached on VMX only.
        if name in ("kvm_page_fault", "kvm_fast_mmio", "kvm_mmio", "kvm_nested_vmexit_inject"):
            control.configure(True, prototype(name, "unsigned long, " + signature))
            control.switch_off()
            continue
        with pytest.raises(RefusedError, match=f"{name} takes other arguments") as refused:
            control.configure(True, prototype(name, "unsigned long, " + signature))
        assert refused.value.code == errno.EPROTOTYPE
        assert not control.status().on
    assert "in the running kernel, kvmlog was built for (struct kvm_vcpu *" in host.kernel_log()

    # What it calls has to take exactly what it is given.
    called = prototype("svm_get_exit_info", expected["svm_get_exit_info"] + ", void *")
    with pytest.raises(RefusedError, match="svm_get_exit_info takes other arguments"):
        control.configure(True, called)

    # More arguments than the probe takes do no harm; names it does not know are not its affair.
    more = prototype("kvm_entry", expected["kvm_entry"] + ", _Bool")
    control.configure(True, more, prototype("something_new", "int"))
    assert control.status().attached


def test_another_layout_is_refused(control: Control, receiver: Receiver) -> None:
    """What it reads of KVM's and the scheduler's structures has to lie where it was built for."""
    expected = control.status().fields
    assert {"kvm_vcpu.arch.regs", "kvm.vcpu_array", "task_struct.start_boottime"} <= expected.keys()
    for name, (offset, size) in expected.items():
        for other in (member(name, offset + 8, size), member(name, offset, size + 8)):
            with pytest.raises(RefusedError, match=f"{name} lies elsewhere") as refused:
                control.configure(True, other)
            assert refused.value.code == errno.EPROTO
            assert not control.status().on
    control.configure(True, *(member(name, *place) for name, place in expected.items()))
    assert control.status().attached


def test_its_layout_is_that_of_btf(control: Control) -> None:
    """The running kernel says so itself."""
    expected = control.status().fields
    with btf.Btf() as running:
        found = {name: running.field(*name.split(".", 1)) for name in expected}
    assert found == expected


def test_a_module_of_another_release_is_refused(
    module: Callable[..., None], tmp_path: Path
) -> None:
    """Its vermagic may have been overridden: weak-updates, a forced load."""
    release = os.uname().release.encode()
    other = bytes([*release[:-1], release[-1] ^ 1])
    binary = host.MODULE.read_bytes()
    # In vermagic a blank stands behind it.
    assert release + b"\0" in binary
    changed = tmp_path / "kvmlog.ko"
    changed.write_bytes(binary.replace(release + b"\0", other + b"\0"))
    done = subprocess.run(["insmod", str(changed)], capture_output=True, text=True)
    assert done.returncode != 0
    assert not host.loaded("kvmlog")
    sentence = f"kvmlog: built for kernel {other.decode()}, this is {release.decode()}; rebuild"
    assert sentence in host.kernel_log()
    module()


def test_administering_networks_is_not_reading_guests(control: Control) -> None:
    """CAP_NET_ADMIN alone gets the status, but neither records nor pending exits."""
    script = (
        "from tests.vm.inside.netlink import *\n"
        "for command in (1, 2, 4):\n"
        "    link = Connection()\n"
        f"    link.request({control.family}, command, flags=NLM_F_DUMP if command == 4 else 0)\n"
        "    try:\n"
        "        print(command, len(link.replies(command == 4)))\n"
        "    except RefusedError as refused:\n"
        "        print(command, refused.code, refused.text if command == 2 else '')\n"
    )
    words = "Reading records takes CAP_PERFMON besides CAP_NET_ADMIN"
    for capabilities, answers in (
        # A dump's refusal has no words of its own.
        ("+net_admin", ["1 1", f"2 {errno.EPERM} {words}", f"4 {errno.EPERM} "]),
        ("+net_admin,+perfmon", ["1 1", "2 0", "4 0"]),
    ):
        sets = f"-all,{capabilities}"
        done = subprocess.run(
            [
                "setpriv",
                f"--bounding-set={sets}",
                f"--inh-caps={sets}",
                sys.executable,
                "-c",
                script,
            ],
            capture_output=True,
            text=True,
            cwd=host.PROJECT,
        )
        assert done.stdout.splitlines() == answers, done.stderr


def test_without_the_capability_nothing_is_answered(control: Control) -> None:
    """Another user gets EPERM for every command, status too."""
    script = (
        "import os\n"
        "from tests.vm.inside.netlink import *\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"for command in (1, 2, 3, 4):\n"
        "    link = Connection()\n"
        f"    link.request({control.family}, command, flags=NLM_F_DUMP if command == 4 else 0)\n"
        "    try:\n"
        "        link.replies(command == 4)\n"
        "    except RefusedError as refused:\n"
        "        print(command, refused.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=host.PROJECT
    )
    assert done.stdout.splitlines() == [f"{n} {errno.EPERM}" for n in (1, 2, 3, 4)], done.stderr


def test_a_receiver_killed_switches_off(control: Control) -> None:
    """SIGKILL of the receiver: probes gone, and the next receiver is served."""
    script = (
        "import sys, time\n"
        "from tests.vm.inside.netlink import *\n"
        f"receiver = Receiver({control.family}).subscribe()\n"
        "print('subscribed', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=host.PROJECT
    )
    guest = host.start_guest("--turns", "0", "--kinds", "cpuid,pio")
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "subscribed\n"
        control.switch_on()
        time.sleep(0.3)
        child.kill()
        child.communicate()
        deadline = time.monotonic() + host.HANG_S
        while control.status().on:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert probes()["kvm_exit"] == 0
        status = control.status()
        assert status.number(lib.KVMLOG_A_RECEIVER) is None
        status.check_sum()

        receiver = Receiver(control.family).subscribe()
        control.switch_on()
        time.sleep(0.2)
        control.switch_off()
        receiver.drain()
        assert receiver.exits
        receiver.close()
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
    assert "the receiver is gone, tracing is off" in host.kernel_log()


def test_garbage_on_the_family_is_refused(control: Control) -> None:
    """Random attributes never do more than give an error."""
    for seed in range(300):
        payload = bytes((seed * 7919 + i * 104729) >> 3 & 0xFF for i in range(seed))
        control.link.request(control.family, 1 + seed % 4, payload)
        with contextlib.suppress(RefusedError):
            control.link.replies()
    assert not control.status().on
    assert os.path.exists("/sys/module/kvmlog")
