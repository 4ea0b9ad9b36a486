# SPDX-License-Identifier: GPL-2.0-or-later
"""Uevents, parsed, and received from the kernel through floods and forgeries."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.guests.uevents import NETLINK_KOBJECT_UEVENT, VmEvent, VmEvents, vm_event
from tests.support.proc_tree import FakeProc

# As Linux 6.1 sends it.
EVENT: Final = (
    b"change@/devices/virtual/misc/kvm\0ACTION=change\0DEVPATH=/devices/virtual/misc/kvm\0"
    b"SUBSYSTEM=misc\0CREATED=3\0COUNT=1\0EVENT=create\0PID=1234\0"
    b"STATS_PATH=/sys/kernel/debug/kvm/1234-11\0MAJOR=10\0MINOR=232\0DEVNAME=kvm\0SEQNUM=2101\0"
)
UEVENT_FILE: Final = Path("/sys/class/mem/null/uevent")
WAIT_MS: Final = 60_000

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(UEVENT_FILE, os.W_OK),
    reason=f"sending uevents takes root and a writable {UEVENT_FILE}; run the tests as root",
)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (EVENT, VmEvent(1234, True)),
        (EVENT.rstrip(b"\0"), VmEvent(1234, True)),
        (EVENT.replace(b"=create", b"=destroy"), VmEvent(1234, False)),
        (EVENT.replace(b"=create", b"=destroy2"), None),
        (EVENT.replace(b"change@", b"add@"), None),
        (EVENT.replace(b"/misc/kvm\0ACTION", b"/misc/kvm2\0ACTION"), None),
        (EVENT + b"SYNTH_UUID=0\0", None),
        (EVENT.replace(b"PID=1234", b"PID="), None),
        (EVENT.replace(b"PID=1234", b"PID=0"), None),
        (EVENT.replace(b"PID=1234", b"PID=-5"), None),
        (EVENT.replace(b"PID=1234", b"PID=" + b"9" * 5000), None),
        (EVENT.replace(b"PID=1234\0", b""), None),
        (EVENT[: EVENT.index(b"EVENT")], None),
        (b"libudev\0\xfe\xed\xca\xfe" + EVENT, None),
        (b"", None),
    ],
)
def test_only_a_vm_that_was_made_or_destroyed_is_one(event: bytes, found: VmEvent | None) -> None:
    """Other devices, synthetic events and garbage are none."""
    assert vm_event(event) == found


@given(st.binary(max_size=300))
def test_garbage_is_nothing(garbage: bytes) -> None:
    """Garbage gives no thread alone, in front of an event, or in place of its pid."""
    assert vm_event(garbage) is None
    assert vm_event(b"x" + garbage + EVENT) is None
    assert vm_event(EVENT[: EVENT.index(b"PID")] + garbage) is None or b"PID=" in garbage


def ready(events: VmEvents) -> None:
    """Wait until something has arrived."""
    poll = select.poll()
    poll.register(events, select.POLLIN | select.POLLERR)
    assert poll.poll(WAIT_MS)


def test_a_quiet_socket_has_nothing(tmp_path: Path) -> None:
    """handle() does not block."""
    with_socket = VmEvents.open(str(tmp_path))
    assert with_socket is not None
    assert with_socket.handle() == []
    with_socket.close()
    assert with_socket.handle() == []


@needs_root
def test_another_processs_message_is_not_the_kernels(tmp_path: Path) -> None:
    """Root may send to the socket; only the kernel has the port 0."""
    fake = FakeProc(tmp_path)
    fake.begin(1234, 5)
    events = VmEvents(root=fake.root)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT) as forger:
        forger.sendto(EVENT, (events.socket.getsockname()[0], 0))
        ready(events)
        assert events.handle() == []
    events.close()


@needs_root
def test_after_a_flood_all_that_hold_a_vm_are_told(tmp_path: Path) -> None:
    """The kernel dropped some: any of them may have been a new VM."""
    fake = FakeProc(tmp_path)
    fake.begin(7, 5)
    fake.begin(8, 5, holds_vm=False)
    events = VmEvents(buffer_bytes=1, root=fake.root)
    assert events.handle() == []
    for _ in range(200):
        UEVENT_FILE.write_text("change")
    ready(events)
    assert events.handle() == [VmEvent(7, True)]
    events.close()
