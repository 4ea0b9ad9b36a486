# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs that hang, together and at awkward moments, and what libvirt cannot tell meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from kvmlog.vmstats.sample import State
from tests.support.bridge_process import HANG_S, until
from tests.support.libvirt_halted import Halted, halted_domain
from tests.support.libvirt_host import LibvirtHost
from tests.support.vmstats_process import collector

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def domains(libvirtd: LibvirtHost) -> Iterator[tuple[Halted, ...]]:
    """Three domains; each test leaves them running."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(halted_domain(libvirtd, name)) for name in NAMES)


@contextlib.contextmanager
def stopped(*domains: Halted) -> Iterator[None]:
    """Domains whose QEMU SIGSTOP holds."""
    for domain in domains:
        os.kill(domain.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for domain in domains:
            os.kill(domain.pid, signal.SIGCONT)


def test_several_hang_together(
    libvirtd: LibvirtHost, domains: tuple[Halted, ...], tmp_path: Path
) -> None:
    """A thread for each at most; the third is sampled with every poll; then all are fresh again."""
    one, two, three = domains
    with collector(tmp_path, libvirtd.read_only_uri) as running:
        running.until(lambda now: len(now.vms) == len(domains))
        running.fresh(three.name)
        threads, descriptors = running.threads(), running.descriptors()
        with stopped(one, two):
            hung = running.until(
                lambda now: set(now.collector.connections[0].hung) == {one.uuid, two.uuid}
            )
            for _ in range(3):
                assert not running.fresh(three.name).sample.timed_out
            now = running.snapshot()
            assert now.collector.connections[0].stuck_threads <= 2
            assert running.threads() <= threads + 2
            taken = {vm.sample.name: vm.sample.taken for vm in hung.vms}
            for vm in now.vms:
                if vm.sample.name != three.name:
                    assert vm.sample.timed_out
                    assert vm.sample.taken == taken[vm.sample.name]
        running.until(
            lambda now: (
                not now.collector.connections[0].hung
                and not any(vm.sample.timed_out for vm in now.vms)
                and now.collector.connections[0].stuck_threads == 0
            )
        )
        # The connection for figures is the newest, the stuck ones have been closed.
        assert running.threads() <= threads
        assert running.descriptors() <= descriptors


def test_one_hangs_before_the_collector_begins(
    libvirtd: LibvirtHost, domains: tuple[Halted, ...], tmp_path: Path
) -> None:
    """Its state and definition are told, and that no figure is known; zero is none."""
    one, two, _ = domains
    with stopped(one), collector(tmp_path, libvirtd.read_only_uri) as running:
        now = running.until(lambda now: len(now.vms) == len(domains))
        (sample,) = (vm.sample for vm in now.vms if vm.sample.name == one.name)
        assert sample.timed_out
        assert sample.state is State.RUNNING
        assert sample.definition.disks[0].target == "vda"
        assert (sample.cpu, sample.memory, sample.blocks) == (None, None, None)
        assert {absence.group for absence in sample.absent} >= {"cpu", "memory", "blocks"}
        assert not running.fresh(two.name).sample.timed_out
        os.kill(one.pid, signal.SIGCONT)
        after = running.until_vm(one.name, lambda vm: not vm.sample.timed_out)
        assert after.sample.cpu is not None


def test_it_is_killed_while_it_hangs(libvirtd: LibvirtHost, tmp_path: Path) -> None:
    """It is gone with the next poll, and so is the thread that waited for it."""
    with (
        halted_domain(libvirtd, "doomed") as doomed,
        collector(tmp_path, libvirtd.read_only_uri) as running,
    ):
        running.fresh(doomed.name)
        pid = doomed.pid
        os.kill(pid, signal.SIGSTOP)
        running.until(lambda now: now.collector.connections[0].hung == (doomed.uuid,))
        os.kill(pid, signal.SIGKILL)
        running.until(
            lambda now: (
                all(vm.sample.name != doomed.name for vm in now.vms)
                and now.collector.connections[0].connected
                and now.collector.connections[0].stuck_threads == 0
            )
        )


def test_somebody_else_is_stuck_with_it(
    libvirtd: LibvirtHost, domains: tuple[Halted, ...], tmp_path: Path
) -> None:
    """Another client occupies QEMU: the state is of now, what QEMU owes has its age."""
    one, _, _ = domains
    with collector(tmp_path, libvirtd.read_only_uri) as running:
        running.fresh(one.name)
        other = libvirt.openReadOnly(libvirtd.read_only_uri)
        call = threading.Thread(target=other.getAllDomainStats, daemon=True)
        with stopped(one):
            domain = libvirt.openReadOnly(libvirtd.read_only_uri).lookupByName(one.name)
            # Whoever comes first is stuck; here, mostly, it is the collector.
            call.start()
            until(lambda: domain.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED)
            vm = running.until_vm(
                one.name,
                lambda vm: (
                    vm.sample.timed_out or any(one.age_s is not None for one in vm.sample.absent)
                ),
            )
            blocks = vm.sample.blocks
            assert blocks is not None
            assert blocks[0].capacity_bytes == 1 << 20
            assert vm.sample.blocks_taken is not None
            assert vm.sample.blocks_taken <= vm.sample.taken
        call.join(HANG_S)
        assert not call.is_alive()
        running.until_vm(one.name, lambda vm: not vm.sample.timed_out)


def test_balloon_periods_are_set_where_asked(libvirtd: LibvirtHost, tmp_path: Path) -> None:
    """Only then, only where there is none, and a QEMU that hangs delays nobody meanwhile."""
    with (
        halted_domain(libvirtd, "plain") as plain,
        halted_domain(libvirtd, "stuck") as stuck,
        contextlib.ExitStack() as stack,
    ):
        (tmp_path / "before").mkdir()
        with collector(tmp_path / "before", libvirtd.uri) as running:
            assert running.fresh(plain.name).sample.definition.balloon_period_s is None
            assert running.snapshot().collector.balloon_period_s is None
        stack.enter_context(stopped(stuck))
        running = stack.enter_context(
            collector(tmp_path, libvirtd.uri, options=("--balloon-period", "7"))
        )
        running.until_vm(plain.name, lambda vm: vm.sample.definition.balloon_period_s == 7)
        assert "<stats period='7'/>" in libvirtd.virsh("dumpxml", plain.name)
        assert running.snapshot().collector.balloon_period_s == 7
        assert not running.fresh(plain.name).sample.timed_out
        os.kill(stuck.pid, signal.SIGCONT)
        running.until_vm(stuck.name, lambda vm: vm.sample.definition.balloon_period_s == 7)
