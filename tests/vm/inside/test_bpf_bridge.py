# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF source in a running bridge: beside the module, while KVM comes and goes, to its end."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import GuestRecord, LossRecord, Record, iter_records
from tests.vm.inside import host, ring_bytes
from tests.vm.inside.conftest import load_module, unload_module
from tests.vm.inside.processes import KVMLOG, Bridge, ended, folder, load, probes, until

SVM_CPUID, SVM_IOIO, SVM_NPF = 0x72, 0x7B, 0x400
MEMORY_LIMIT_BYTES = 100 << 20
MAP_RECORDS = lib.KVMLOG_BPF_CPU_RECORDS
# What two tracers of one exit cannot have in common, and what numbers their guests.
OWN_FIELDS = {
    *("source", "exit_ns", "total_ns", "user_ns", "halt_ns", "delay_kernel_us", "delay_user_us"),
    *("config_epoch", "guest"),
}


def programs() -> list[str]:
    """Names of kvmlog's BPF programs in the kernel, whoever holds them."""
    listed = json.loads(host.run("bpftool", "--json", "prog", "show"))
    return sorted(p["name"] for p in listed if p.get("name", "").startswith("kvmlog"))


@pytest.fixture(scope="module")
def started() -> Iterator[Bridge]:
    """A bridge with the programs, for all tests that do not end it."""
    with folder() as place:
        bridge = Bridge(place, "--source", "bpf", "--slots", str(1 << 18))
        with ended(bridge):
            yield bridge.ready()


@pytest.fixture
def bridge(started: Bridge) -> Iterator[Bridge]:
    """The bridge, off before and after; KVM is there again at the end."""
    host.run("modprobe", "kvm_amd")
    until(lambda: bool(started.status()["source"]["connected"]), "connected")
    yield started
    started.client.switch(on=False)
    host.run("modprobe", "kvm_amd")


def by_thread(records: bytes) -> dict[int, list[Record]]:
    """EXIT records of each thread, in order of time."""
    exits = [r for r in iter_records(records) if isinstance(r, Record)]
    exits.sort(key=lambda r: (r.tid, r.exit_ns))
    return {tid: list(group) for tid, group in groupby(exits, key=lambda r: r.tid)}


def common(record: Record) -> dict[str, object]:
    """The fields in which two tracers have to agree."""
    return {name: v for name, v in record._asdict().items() if name not in OWN_FIELDS}


def test_module_and_programs_see_the_same_run(bridge: Bridge, histogram: host.Histogram) -> None:
    """Both at once, each with its bridge and ring: every exit, in every field that is not time."""
    load_module()
    try:
        with folder() as place:
            other = Bridge(place, "--source", "kmod", "--slots", str(1 << 18))
            with ended(other):
                other.ready().client.switch(on=True)
                begin = bridge.info().head
                bridge.client.switch(on=True)
                report = host.guest(
                    "--turns", "503", "--vcpus", "2", "--kinds", "cpuid,pio,mmio,hlt,msr"
                )
                bridge.client.switch(on=False)
                other.client.switch(on=False)
                of_programs, of_module = bridge.records(begin), other.records()
    finally:
        unload_module()
    counted = histogram.counts()
    assert ring_bytes.reasons(of_programs) == ring_bytes.reasons(of_module) == counted
    assert counted[SVM_CPUID] == report["done"]["cpuid"]

    ours, theirs = by_thread(of_programs), by_thread(of_module)
    assert ours.keys() == theirs.keys()
    differences, totals = [], []
    for tid, exits in ours.items():
        assert [common(r) for r in exits] == [common(r) for r in theirs[tid]]
        differences += [
            abs(a.total_ns - b.total_ns) for a, b in zip(exits, theirs[tid], strict=True)
        ]
        totals += [r.total_ns for r in exits]
    # One stands within the other's time: apart by the cost of a probe, not of an exit.
    assert statistics.median(differences) < statistics.median(totals) / 2
    (guest,) = (n for n in ring_bytes.notes(of_programs) if isinstance(n, GuestRecord))
    (same,) = (n for n in ring_bytes.notes(of_module) if isinstance(n, GuestRecord))
    for name in ("tgid", "start_boottime_ns", "cgroup", "comm"):
        assert getattr(guest, name) == getattr(same, name)


def test_on_it_holds_kvm_and_off_it_does_not(bridge: Bridge) -> None:
    """rmmod kvm is refused while programs are attached; loaded anew they are compiled anew."""
    bridge.client.switch(on=True)
    host.run("rmmod", "kvm_amd")
    done = subprocess.run(["rmmod", "kvm"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "in use" in done.stderr
    bridge.client.switch(on=False)
    host.run("rmmod", "kvm")
    until(lambda: bridge.status()["source"]["waiting_for"] == "kvm", "waiting for kvm")

    # Switched on while there is no KVM: it waits, and traces from the first guest on.
    bridge.client.switch(on=True)
    assert not bridge.status()["source"]["attached"]
    host.run("modprobe", "kvm_amd")
    until(lambda: bool(bridge.status()["source"].get("attached")), "attached")
    histogram = host.Histogram()
    begin = bridge.info().head
    host.guest("--turns", "101", "--kinds", "cpuid,pio")
    counted = histogram.counts()
    histogram.close()
    bridge.client.switch(on=False)
    assert ring_bytes.reasons(bridge.records(begin)) == counted
    assert "KVM was loaded" in bridge.log()


def test_what_a_sleeping_bridge_missed(bridge: Bridge, histogram: host.Histogram) -> None:
    """Stopped until the maps were full: counted, told at its place, nothing else lost."""
    before = bridge.info()
    bridge.client.switch(on=True)
    bridge.process.send_signal(signal.SIGSTOP)
    host.guest("--turns", str(2 * MAP_RECORDS), "--vcpus", "2", "--kinds", "cpuid,pio")
    bridge.process.send_signal(signal.SIGCONT)
    host.guest("--turns", "11", "--kinds", "cpuid")
    bridge.client.switch(on=False)
    info = bridge.info()
    records = bridge.records(before.head)
    counted = {name: info.counters[name] - before.counters[name] for name in info.counters}
    assert counted["seen"] == histogram.counts().total()
    assert counted["dropped"] > MAP_RECORDS
    assert counted["pending"] == counted["dropped_table"] == 0
    exits = [r for r in iter_records(records) if isinstance(r, Record)]
    assert len(exits) == counted["emitted"] == counted["seen"] - counted["dropped"]
    losses = [note for note in ring_bytes.notes(records) if isinstance(note, LossRecord)]
    assert {loss.cause for loss in losses} == {lib.KVMLOG_LOSS_BUFFER_FULL}
    assert sum(loss.lost for loss in losses) == counted["dropped"]
    assert info.lost_records - before.lost_records == counted["dropped"]
    assert info.bad_messages == 0


def test_killed_it_leaves_nothing(histogram: host.Histogram) -> None:
    """SIGKILL under load: no program in the kernel; the next bridge goes on with the ring."""
    before, attached = probes(), programs()
    with folder() as place:
        first = Bridge(place, "--source", "bpf", "--slots", str(1 << 18))
        with ended(first), load("--kinds", "cpuid,pio"):
            first.ready().client.switch(on=True)
            until(lambda: first.info().counters["seen"] > 0, "a published count")
            assert len(programs()) == len(attached) + 6
            assert first.resident_bytes() < MEMORY_LIMIT_BYTES
            assert "LLVM" not in Path(f"/proc/{first.pid}/maps").read_text()
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
            until(lambda: programs() == attached, "the programs gone")
            assert probes() == before
        left = first.info()
        second = Bridge(place, "--source", "bpf", "--slots", str(1 << 18), name="second")
        with ended(second):
            second.ready().client.switch(on=True)
            begin = second.info().head
            host.guest("--turns", "101")
            second.client.switch(on=False)
            assert second.info().ring_id == left.ring_id
            assert len(ring_bytes.exits(second.records(begin))) > 202
            assert second.end() == 0
    assert (programs(), probes()) == (attached, before)


def test_without_btf(histogram: host.Histogram) -> None:
    """The event's fields alone: every exit and its reason, no guest registers, and it says so."""
    with folder() as place:
        hidden = "mount -t tmpfs none /sys/kernel/btf && exec "
        command = (
            f"{hidden}{KVMLOG} bridge --source bpf --slots {1 << 18} --ring {place}/ring "
            f"--switch {place}/switch --udp 127.0.0.1:0"
        )
        bridge = Bridge(place, command=("unshare", "--mount", "sh", "-c", command))
        with ended(bridge):
            bridge.ready().client.switch(on=True)
            report = host.guest("--turns", "211", "--vcpus", "2", "--kinds", "cpuid,pio,mmio")
            bridge.client.switch(on=False)
            notes = bridge.status()["source"]["notes"]
            records = bridge.records()
    assert any("this kernel shows no BTF" in note for note in notes)
    assert ring_bytes.reasons(records) == histogram.counts()
    exits = [r for r in iter_records(records) if isinstance(r, Record)]
    flags = {
        reason: {bool(r.flags & lib.KVMLOG_F_DETAIL_VALID) for r in exits if r.reason == reason}
        for reason in (SVM_CPUID, SVM_IOIO, SVM_NPF)
    }
    assert flags == {SVM_CPUID: {False}, SVM_IOIO: {True}, SVM_NPF: {True}}
    assert {r.detail for r in exits if not r.flags & lib.KVMLOG_F_DETAIL_VALID} == {0}
    assert all(r.flags & lib.KVMLOG_F_RIP_VALID and r.rip for r in exits)
    assert not any(r.flags & lib.KVMLOG_F_DELAY_VALID for r in exits)
    assert {r.vcpu for r in exits} == {0, 1}
    (guest,) = (n for n in ring_bytes.notes(records) if isinstance(n, GuestRecord))
    assert guest.tgid == report["pid"]
    assert {r.guest for r in exits} == {guest.guest}
