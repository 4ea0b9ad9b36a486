# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to guests, QEMU and libvirtd under a running collector."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from tests.support.libvirt_guest import LibvirtGuest
from tests.support.libvirt_host import LibvirtHost
from tests.support.scale import REPEATS
from tests.support.vmstats_process import INTERVAL_S, Collector

Guests = tuple[LibvirtGuest, LibvirtGuest]
# A minute in make soak.
_HUNG_S: Final = 60.0 if REPEATS > 1 else 8.0


def rates_are_sane(vm: Vm) -> bool:
    """No rate is negative, and no CPU busier than one CPU can be."""
    rates = vm.rates
    if rates is None:
        return True
    found = [
        figure
        for group in ((rates.cpu,), (rates.memory,), rates.blocks or (), rates.interfaces or ())
        for one in group
        if one is not None
        for figure in vars(one).values()
        if isinstance(figure, float)
    ]
    # Two threads of QEMU at most have work.
    busy = rates.cpu.percent_of_one_cpu if rates.cpu is not None else None
    return all(figure >= 0 for figure in found) and (busy is None or busy < 400)


def test_pause_and_reset(libvirtd: LibvirtHost, guests: Guests, vmstats: Collector) -> None:
    """States follow at once; a reset goes on in the same generation, with the same counters."""
    web, data = guests
    before = vmstats.fresh(web.name).sample
    libvirtd.virsh("suspend", web.name)
    paused = vmstats.until_vm(web.name, lambda vm: vm.sample.state is State.PAUSED)
    assert paused.sample.cpu is not None
    libvirtd.virsh("resume", web.name)
    vmstats.until_vm(web.name, lambda vm: vm.sample.state is State.RUNNING)
    web.reset()
    web.run("true")
    after = vmstats.fresh(web.name)
    assert (after.sample.generation, after.sample.domain_id) == (
        before.generation,
        before.domain_id,
    )
    assert rates_are_sane(after)
    assert after.accumulated.cpu_time_ns >= paused.accumulated.cpu_time_ns
    assert vmstats.vm(data.name).sample.state is State.RUNNING


def test_stop_and_start(libvirtd: LibvirtHost, guests: Guests, vmstats: Collector) -> None:
    """Counters begin anew in the next generation; sums go on; without a process no figures."""
    web, _ = guests
    web.run("dd if=/dev/zero of=/dev/vda bs=64k count=16 oflag=direct 2>/dev/null")
    before = vmstats.fresh(web.name)
    libvirtd.virsh("destroy", web.name)
    off = vmstats.until_vm(web.name, lambda vm: vm.sample.state is State.SHUTOFF)
    sample = off.sample
    assert (sample.domain_id, sample.pid, sample.cpu) == (None, None, None)
    assert (sample.blocks, sample.interfaces, off.rates) == (None, None, None)
    assert off.accumulated.write_bytes >= before.accumulated.write_bytes
    web.start()
    again = vmstats.fresh(web.name)
    assert again.sample.generation > before.sample.generation
    assert rates_are_sane(again)
    assert again.accumulated.write_bytes >= off.accumulated.write_bytes
    assert again.sample.blocks is not None
    assert again.sample.blocks[0].write_bytes == 0


def test_a_qemu_that_is_killed(guests: Guests, vmstats: Collector) -> None:
    """Its domain is shut off with the next poll; the other's figures go on."""
    web, data = guests
    os.kill(web.pid, signal.SIGKILL)
    vmstats.until_vm(web.name, lambda vm: vm.sample.state in (State.SHUTOFF, State.CRASHED))
    assert vmstats.fresh(data.name).sample.cpu is not None
    web.start()
    vmstats.until_vm(web.name, lambda vm: vm.sample.cpu is not None)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that SIGSTOP holds."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_qemu_that_hangs_delays_nobody(guests: Guests, vmstats: Collector) -> None:
    """The other's samples stay on time; its own are told to be old; nothing grows."""
    web, data = guests
    vmstats.fresh(web.name)
    with stopped(web.pid):
        hung = vmstats.until_vm(web.name, lambda vm: vm.sample.timed_out)
        threads, descriptors = vmstats.threads(), vmstats.descriptors()
        oldest = 0.0
        end = time.monotonic() + _HUNG_S
        while time.monotonic() < end:
            oldest = max(oldest, vmstats.vm(data.name).age_s(Moment.now()))
            time.sleep(0.1)
        still = vmstats.vm(web.name)
        assert still.sample.timed_out
        assert still.sample.taken == hung.sample.taken
        assert still.sample.cpu == hung.sample.cpu
        (connection,) = vmstats.snapshot().collector.connections
        assert connection.hung == (web.uuid,)
        assert connection.stuck_threads <= 1
        assert vmstats.threads() <= threads + 1
        assert vmstats.descriptors() <= descriptors + 2
        # Three intervals and the deadline of a poll: far from the hang's length in make soak.
        assert oldest < 3 * INTERVAL_S + 2
    vmstats.until_vm(web.name, lambda vm: not vm.sample.timed_out)
    after = vmstats.fresh(web.name)
    assert rates_are_sane(after)
    assert after.sample.generation == hung.sample.generation


def test_devices_come_and_go(
    libvirtd: LibvirtHost, guests: Guests, vmstats: Collector, tmp_path: Path
) -> None:
    """A disk that is attached has figures; one that is detached has none, and ends no sum."""
    web, _ = guests
    before = vmstats.fresh(web.name)
    image = libvirtd.folder / "guests" / "second.img"
    with image.open("wb") as disk:
        disk.truncate(8 << 20)
    libvirtd.virsh("attach-disk", web.name, str(image), "vdb", "--subdriver", "raw", "--live")
    two = vmstats.until_vm(web.name, lambda vm: len(vm.sample.blocks or ()) == 3)
    assert sorted(disk.target for disk in two.sample.definition.disks) == ["sda", "vda", "vdb"]
    web.run("while [ ! -e /dev/vdb ]; do usleep 100000; done")
    web.run("dd if=/dev/zero of=/dev/vdb bs=64k count=8 oflag=direct 2>/dev/null")
    written = vmstats.fresh(web.name)
    assert written.accumulated.write_bytes - before.accumulated.write_bytes == 8 << 16
    libvirtd.virsh("detach-disk", web.name, "vdb", "--live")
    one = vmstats.until_vm(web.name, lambda vm: len(vm.sample.blocks or ()) == 2)
    assert [disk.target for disk in one.sample.definition.disks] == ["vda", "sda"]
    assert one.accumulated.write_bytes == written.accumulated.write_bytes
    assert rates_are_sane(one)
    image.unlink()


def test_a_disk_that_is_full(libvirtd: LibvirtHost, guests: Guests, vmstats: Collector) -> None:
    """The guest is paused for the I/O error, which is counted once."""
    web, _ = guests
    place = libvirtd.folder / "small"
    libvirtd.inside("mkdir", "-p", str(place))
    libvirtd.inside("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place))
    image = place / "full.img"
    libvirtd.inside("truncate", "-s", "8M", str(image))
    libvirtd.virsh("attach-disk", web.name, str(image), "vdc", "--subdriver", "raw", "--live")
    vmstats.until_vm(web.name, lambda vm: len(vm.sample.blocks or ()) == 3)
    # The guest's second disk, whatever the host calls it.
    web.run("while [ ! -e /dev/vdb ]; do usleep 100000; done")
    web.send("dd if=/dev/zero of=/dev/vdb bs=64k count=64 oflag=direct 2>/dev/null")
    paused = vmstats.until_vm(
        web.name,
        lambda vm: (
            vm.sample.state is State.PAUSED
            and any(block.io_errors for block in vm.sample.blocks or ())
        ),
    )
    assert paused.sample.blocks is not None
    assert {block.target: block.io_errors for block in paused.sample.blocks}["vdc"] == 1
    libvirtd.virsh("destroy", web.name)
    libvirtd.inside("umount", str(place))
    web.start()


def test_libvirtd_ends_and_comes_back(
    libvirtd: LibvirtHost, guests: Guests, vmstats: Collector
) -> None:
    """Whichever way it ends: the connection is told to be down, then all goes on."""
    web, data = guests
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = vmstats.fresh(web.name)
        libvirtd.stop_daemon(number)
        down = vmstats.until(lambda now: not now.collector.connections[0].connected)
        assert down.collector.connections[0].error
        assert {vm.sample.name for vm in down.vms} == {web.name, data.name}
        libvirtd.start_daemon()
        vmstats.until(lambda now: now.collector.connections[0].connected)
        after = vmstats.fresh(web.name)
        assert after.sample.generation == before.sample.generation
        assert after.accumulated.cpu_time_ns > before.accumulated.cpu_time_ns
        assert rates_are_sane(after)


def test_a_domain_that_dies_while_libvirtd_is_away(
    libvirtd: LibvirtHost, guests: Guests, vmstats: Collector
) -> None:
    """No event tells; the list after the next connection does."""
    web, _ = guests
    vmstats.fresh(web.name)
    pid = web.pid
    libvirtd.stop_daemon(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    libvirtd.start_daemon()
    vmstats.until_vm(web.name, lambda vm: not vm.sample.active)
    web.start()


def test_a_hung_libvirtd_stops_nobody(
    libvirtd: LibvirtHost, guests: Guests, vmstats: Collector
) -> None:
    """The file goes on being written, and says that libvirtd does not answer."""
    web, _ = guests
    vmstats.fresh(web.name)
    assert libvirtd.daemon is not None
    with stopped(libvirtd.daemon.pid):
        told = vmstats.until(lambda now: all(vm.sample.timed_out for vm in now.vms))
        assert told.collector.connections[0].error or told.collector.connections[0].hung
        later = vmstats.until(
            lambda now: (
                now.collector.written.monotonic_ns
                > told.collector.written.monotonic_ns + 3_000_000_000
            )
        )
        assert [vm.sample.taken for vm in later.vms] == [vm.sample.taken for vm in told.vms]
    vmstats.until_vm(web.name, lambda vm: not vm.sample.timed_out)


def test_sigterm_ends_it(guests: Guests, vmstats: Collector) -> None:
    """Also while a guest hangs."""
    web, _ = guests
    vmstats.fresh(web.name)
    with stopped(web.pid):
        vmstats.until_vm(web.name, lambda vm: vm.sample.timed_out)
        assert vmstats.stop() == 0
