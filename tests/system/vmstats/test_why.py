# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog why` of real guests, by all but exits: each scene is made, named, and gone again.

What other programs of this machine do (CPUs, memory of the host) may stand out beside a scene: it
is left out of what is compared.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kvmlog.why.serialize import parse_verdict
from kvmlog.why.verdict import Finding, Verdict
from tests.support.bridge_process import HANG_S, KVMLOG, until
from tests.support.libvirt_guest import LibvirtGuest, libvirt_guest
from tests.support.libvirt_host import LibvirtHost, wait_for_state
from tests.support.vmstats_process import Collector

# Of this machine, not of the guest.
_HOSTS: Final = ("cpu-wait", "ksm", "host-memory", "host-memory-pressure", "swapped-by-host")
_WATCH_S: Final = 3
_NBD_XML: Final = """
<disk type='network' device='disk'>
  <driver name='qemu' type='raw' cache='none'/>
  <source protocol='nbd'><host transport='unix' socket='{socket}'/></source>
  <target dev='vdb' bus='virtio'/>
</disk>
"""
# A read of 4 KiB at a time, for ever.
_READ: Final = "while :; do dd if={disk} of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null; done"

Why = Callable[..., Verdict]


@pytest.fixture(scope="module")
def guests(libvirtd: LibvirtHost) -> Iterator[tuple[LibvirtGuest, ...]]:
    """One guest is enough here."""
    with libvirt_guest(libvirtd, "web1") as web:
        yield (web,)


@pytest.fixture
def web(guests: tuple[LibvirtGuest, ...]) -> LibvirtGuest:
    """A guest that has booted."""
    guests[0].run("true")
    return guests[0]


@pytest.fixture
def why(web: LibvirtGuest, vmstats: Collector, tmp_path: Path) -> Why:
    """What `kvmlog why` says of it."""
    return why_of(web, vmstats, tmp_path)


def why_of(guest: LibvirtGuest, vmstats: Collector, folder: Path) -> Why:
    """What `kvmlog why` says of a guest."""

    def ask(*options: str) -> Verdict:
        vmstats.fresh(guest.name)
        return parse_verdict(json.loads(said(vmstats, folder, guest.name, "--json", *options)))

    return ask


def said(vmstats: Collector, folder: Path, vm: str, *options: str) -> str:
    """What the command prints; no bridge runs."""
    places = ("--vmstats-file", vmstats.file, "--ring", folder / "ring", "--switch", folder / "s")
    done = subprocess.run(
        [*KVMLOG, "why", vm, "--for", f"{_WATCH_S}s", *options, *places],
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done
    return done.stdout


def findings(verdict: Verdict) -> dict[str, Finding]:
    """What stands out of the guest itself, by rule."""
    return {one.rule: one for one in verdict.findings if one.rule not in _HOSTS}


@contextlib.contextmanager
def in_guest(web: LibvirtGuest, command: str) -> Iterator[None]:
    """A command that runs in the guest's background until the end."""
    web.run(f"sh -c '{command}' & echo $! >/pid")
    try:
        yield
    finally:
        # What the shell has begun, and then the shell; or it would begin another.
        web.run("kill $(cat /pid); killall dd cat 2>/dev/null; wait")


def test_an_idle_guest(web: LibvirtGuest, why: Why, vmstats: Collector, tmp_path: Path) -> None:
    """Nothing stands out; what was looked at is said, and that exits could not be, and why."""
    verdict = why()
    assert findings(verdict) == {}
    assert verdict.summary.startswith("It is idle:")
    assert set(verdict.looked_at) == {"run", "cpu", "disks", "nics", "memory", "host"}
    (gap,) = verdict.gaps
    assert (gap.what, gap.why) == ("exits", f"{tmp_path}/s: no bridge is running")
    text = said(vmstats, tmp_path, web.uuid)
    assert text.startswith(f"web1 ({web.uuid}, pid {web.pid}), seen for 3")
    assert "Not looked at: exits:" in text


def test_a_busy_guest(web: LibvirtGuest, why: Why) -> None:
    """It computes, which is no trouble."""
    with in_guest(web, "while :; do :; done"):
        verdict = why()
    assert findings(verdict) == {}
    assert not verdict.summary.startswith("It is idle")
    assert verdict.times is not None
    assert verdict.times.idle < 0.5


def test_a_throttled_disk(web: LibvirtGuest, libvirtd: LibvirtHost, why: Why) -> None:
    """The limit is named, and not taken for slow storage; without it nothing is."""
    tune = ("blkdeviotune", web.name, "vda", "--live", "--total-iops-sec")
    with in_guest(web, _READ.format(disk="/dev/vda")):
        assert findings(why()) == {}
        libvirtd.virsh(*tune, "20")
        try:
            found = findings(why())
        finally:
            libvirtd.virsh(*tune, "0")
        assert list(found) == ["disk-limit"]
        assert found["disk-limit"].headline.startswith("disk vda has reached its limit:")
        assert findings(why()) == {}


def test_slow_storage_below(libvirtd: LibvirtHost, vmstats: Collector, tmp_path: Path) -> None:
    """A disk over NBD whose server is slow: nothing of libvirt's limits it.

    The guest is the disk's alone: not every one lets go of a disk again.
    """
    with (
        libvirt_guest(libvirtd, "web2") as guest,
        nbd_disk(guest, libvirtd, requests_per_s=15),
    ):
        why = why_of(guest, vmstats, tmp_path)
        with in_guest(guest, _READ.format(disk="/dev/vdb")):
            found = findings(why())
        assert list(found) == ["disk-slow"]
        assert "a read of disk vdb takes" in found["disk-slow"].headline
        assert findings(why()) == {}


@contextlib.contextmanager
def nbd_disk(guest: LibvirtGuest, libvirtd: LibvirtHost, requests_per_s: int) -> Iterator[None]:
    """A second disk of the guest, from a server that answers so often at most, until the end."""
    folder = libvirtd.folder / "nbd"
    folder.mkdir()
    image, socket, xml = folder / "disk.img", folder / "socket", folder / "disk.xml"
    # Of a hole it would answer without reading.
    image.write_bytes(b"k" * (8 << 20))
    server = libvirtd.begin(
        "qemu-nbd",
        "--persistent",
        f"--socket={socket}",
        "--object",
        f"throttle-group,id=slow,x-iops-total={requests_per_s}",
        "--image-opts",
        f"driver=throttle,throttle-group=slow,file.driver=raw,file.file.driver=file,"
        f"file.file.filename={image}",
        log="nbd.log",
    )
    try:
        until(socket.exists)
        xml.write_text(_NBD_XML.format(socket=socket))
        guest.run("true")
        libvirtd.virsh("attach-device", guest.name, str(xml), "--live")
        guest.run("while [ ! -e /dev/vdb ]; do usleep 100000; done")
        yield
    finally:
        server.kill()
        server.wait()


def test_a_guest_that_swaps_for_its_balloon(
    web: LibvirtGuest, libvirtd: LibvirtHost, why: Why
) -> None:
    """Its manager has taken some of its memory, and it works with more than it has left."""
    web.run("mkswap /dev/vda >/dev/null; swapon /dev/vda; mkdir -p /t; mount -t tmpfs t /t")
    libvirtd.virsh("setmem", web.name, "100M", "--live")
    until(lambda: "actual 102400" in libvirtd.virsh("dommemstat", web.name))
    free_kib = int(web.run("grep MemAvailable /proc/meminfo").split()[1])
    work = (
        f"dd if=/dev/zero of=/t/f bs=1k count={free_kib + 8192} 2>/dev/null; "
        "while :; do cat /t/f >/dev/null; done"
    )
    try:
        with in_guest(web, work):
            until(lambda: "SwapFree" in web.run("grep SwapFree /proc/meminfo"))
            found = findings(why())
    finally:
        libvirtd.virsh("setmem", web.name, "128M", "--live")
        web.run("rm /t/f; umount /t; swapoff /dev/vda")
    assert "guest-swaps" in found
    assert "because its balloon has taken 28MB" in found["guest-swaps"].headline
    assert findings(why()) == {}


def test_a_paused_guest(web: LibvirtGuest, libvirtd: LibvirtHost, why: Why) -> None:
    """Its manager did that, and how to undo it is said."""
    libvirtd.virsh("suspend", web.name)
    try:
        wait_for_state(libvirtd, web.name, "paused")
        found = findings(why())
    finally:
        libvirtd.virsh("resume", web.name)
    assert list(found) == ["paused"]
    assert found["paused"].headline.endswith(", by its manager.")
    assert "virsh resume" in found["paused"].remedies[0]
    assert findings(why()) == {}


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("nobody",), 1, "no VM has the name, UUID or pid 'nobody'"),
        (("web1", "--for", "1ms"), 2, "a VM is watched for 1 to 60 seconds"),
        (("web1", "--for", "2m"), 2, "a VM is watched for 1 to 60 seconds"),
    ],
)
def test_bad_requests(
    web: LibvirtGuest,
    vmstats: Collector,
    tmp_path: Path,
    arguments: tuple[str, ...],
    status: int,
    sentence: str,
) -> None:
    """A sentence each."""
    del web
    places: Any = ("--vmstats-file", vmstats.file, "--ring", tmp_path / "ring")
    done = subprocess.run(
        [*KVMLOG, "why", *arguments, *places], capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == status
    assert sentence in done.stderr
