# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole path, switched and fetched over XML-RPC: every exit arrives, none after off."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time

import pytest

from kvmlog.native import lib
from kvmlog.ring.reader import RingInfo
from tests.vm.inside import host, ring_bytes, rpc_load
from tests.vm.inside.processes import ZONE_S, Bridge, Rpc, load, probes, until

# arch/x86/include/uapi/asm/svm.h
SVM_CPUID, SVM_HLT, SVM_IOIO, SVM_MSR, SVM_NPF = 0x72, 0x78, 0x7B, 0x7C, 0x400
KINDS = ("--kinds", "cpuid,pio,mmio,hlt,msr")
TURNS = 1009
VCPUS = 2
FIRMWARE_EXITS = 2_000
LEASE_S = 2
LEGACY_RECORDS = 1024
LEGACY_CHARACTERS = 9


def test_every_exit_of_a_run_is_in_the_ring(
    bridge: Bridge, rpc: Rpc, histogram: host.Histogram, source: str
) -> None:
    """A prime number of turns of every kind: ring, status and the kernel's own count agree."""
    before = bridge.info()
    with rpc.client() as kvm:
        assert kvm.kvmLogSwitch("on") == "true"
        assert kvm.kvmLogStatus()["tracing"] == "on"
        report = host.guest("--turns", str(TURNS), "--vcpus", str(VCPUS), *KINDS)
        assert kvm.kvmLogSwitchSC("off") == "true"
        told = kvm.kvmLogStatus()
    expected = histogram.counts()

    turns = TURNS * VCPUS
    kinds = ("cpuid", "pio", "mmio", "hlt", "rdmsr", "wrmsr")
    assert report["done"] == dict.fromkeys(kinds, turns)
    assert (expected[SVM_CPUID], expected[SVM_HLT]) == (turns, turns)
    assert (expected[SVM_IOIO], expected[SVM_MSR]) == (turns + VCPUS, 2 * turns)
    assert ring_bytes.reasons(bridge.records(before.head)) == expected

    after = bridge.info()
    counted = {name: after.counters[name] - before.counters[name] for name in after.counters}
    notes = counted.pop("notes")
    assert after.head - before.head == expected.total() + notes
    assert counted.pop("seen") == counted.pop("emitted") == expected.total()
    assert set(counted.values()) == {0}
    assert {name: told[name] for name in after.counters if name in told} == {
        name: str(value) for name, value in after.counters.items() if name in told
    }
    assert (told["tracing"], told["bridge"], told["source"]) == ("off", "up", source)
    assert (told["lost_records"], told["lost_messages"]) == ("0", "0")


def legacy_text(exits: list[tuple[int, int]], info: RingInfo) -> str:
    """Return the text that getKvmLog has to give for exits in order of arrival (docs/rpc.md)."""
    arrived = sorted(enumerate(exits), key=lambda item: (item[1][0], item[0]), reverse=True)
    text = ""
    for _, (exit_ns, reason) in arrived[:LEGACY_RECORDS]:
        local_ms = (exit_ns + info.realtime_ns - info.monotonic_ns) // 1_000_000 + ZONE_S * 1000
        clock = time.gmtime(local_ms // 1000)
        code = f"{reason:02X}" if reason <= 0xFE else "FF"
        text += f"{code}{clock.tm_min:02d}{clock.tm_sec:02d}{local_ms % 1000:03d}"
    return text


def test_the_legacy_text_is_the_newest_of_them(bridge: Bridge, rpc: Rpc) -> None:
    """Every character of getKvmLog, from the records and the header's clocks."""
    with rpc.client() as kvm:
        begin = bridge.info().head
        kvm.kvmLogSwitch("on")
        host.guest("--turns", "307", *KINDS)
        kvm.kvmLogSwitch("off")
        exits = ring_bytes.exits(bridge.records(begin))
        assert len(exits) > LEGACY_RECORDS
        text = kvm.getKvmLog()
        info = bridge.info()
    assert info.utc_offset_s == ZONE_S
    assert len(text) == LEGACY_RECORDS * LEGACY_CHARACTERS
    assert text == legacy_text(exits, info)
    codes = {text[at : at + 2] for at in range(0, len(text), LEGACY_CHARACTERS)}
    assert {"72", "78", "7B", "7C", "FF"} <= codes


def test_off_writes_nothing_more_and_leaves_no_probe(bridge: Bridge, rpc: Rpc) -> None:
    """The tracepoints themselves say so, while a guest runs on."""
    before = probes()
    assert before["kvm_exit"] == before["kvm_entry"] == 0
    with rpc.client() as kvm, load("--kinds", "pio", "--pause-ms", "1"):
        begin = bridge.info().head
        kvm.kvmLogSwitch("on")
        assert probes() == {name: count + 1 for name, count in before.items()}
        until(lambda: bridge.info().head > begin + 100, "exits in the ring")
        kvm.kvmLogSwitch("off")
        assert probes() == before
        records = bridge.records(begin)
        host.guest("--turns", "1009")
        assert bridge.records(begin) == records
    *_, last = ring_bytes.switch_causes(records)
    assert last == (0, lib.KVMLOG_SWITCH_COMMAND)


def test_on_and_off_again_and_again_under_load(
    bridge: Bridge, rpc: Rpc, histogram: host.Histogram
) -> None:
    """Through the bridge's own socket; each time the sum holds and nothing is pending."""
    begin = bridge.info()
    with load(*KINDS):
        for _ in range(5):
            bridge.client.switch(on=True)
            time.sleep(0.02)
            bridge.client.switch(on=False)
            assert bridge.status()["counters"]["pending"] == 0
    records = bridge.records(begin.head)
    emitted = bridge.info().counters["emitted"] - begin.counters["emitted"]
    assert len(ring_bytes.exits(records)) == emitted > 0
    assert emitted < histogram.counts().total()
    switches = ring_bytes.switch_causes(records)
    expected = itertools.islice(itertools.cycle((1, 0)), 10)
    assert switches == [(on, lib.KVMLOG_SWITCH_COMMAND) for on in expected]


def test_a_real_guest_of_qemu(bridge: Bridge, rpc: Rpc, histogram: host.Histogram) -> None:
    """Its firmware's exits, to the last one."""
    begin = bridge.info().head
    with rpc.client() as kvm:
        assert kvm.kvmLogSwitch("on") == "true"
        qemu = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-machine", "q35,accel=kvm", "-m", "64"),
                *("-name", "guest=firmware", "-display", "none", "-nodefaults"),
            ]
        )
        try:
            until(lambda: bridge.info().head > begin + FIRMWARE_EXITS, "firmware at work")
        finally:
            qemu.terminate()
            qemu.wait(timeout=host.HANG_S)
        assert kvm.kvmLogSwitch("off") == "true"
    reasons = ring_bytes.reasons(bridge.records(begin))
    assert reasons == histogram.counts()
    assert reasons[SVM_IOIO] > 100


def test_clients_at_full_rate_get_no_wrong_reply(
    running_bridge: Bridge, rpc: Rpc, source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Eight at once, each reply checked; then the server has no connection left."""
    bridge = running_bridge
    rpc.url()  # waits until it listens
    begin, before = bridge.info().head, rpc.descriptors()
    bridge.client.switch(on=True)
    with load("--kinds", "cpuid,pio") as guest:
        until(lambda: bridge.info().head > begin + LEGACY_RECORDS, "exits in the ring")
        took_s = rpc_load.calls(rpc, guest.pid)
    bridge.client.switch(on=False)
    methods = ("getKvmLog", "kvmRecords", "kvmStatus", "kvmStatistics", "kvmPending", "kvmGuests")
    assert took_s.keys() == set(methods)
    status = bridge.status()
    assert (status["counters"]["pending"], status["pump"]["bad_messages"]) == (0, 0)
    until(lambda: rpc.descriptors() <= before, "the connections' end")
    with capfd.disabled():
        print()
        for line in rpc_load.table(took_s, f"{source}, Linux {os.uname().release}"):
            print(f"measured: {line}")


def test_a_lease_ends_with_server_and_client_killed(running_bridge: Bridge, rpc: Rpc) -> None:
    """A lease ends tracing by itself, with no probe left. (Ends the server: the last test.)"""
    bridge = running_bridge
    bridge.client.switch(on=False)
    before, begin = probes(), bridge.info().head
    with load("--kinds", "pio", "--pause-ms", "1"):
        with rpc_load.leased(rpc, LEASE_S):
            assert rpc.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not bridge.info().switched_on, "the lease's end")
        assert probes() == before
    causes = ring_bytes.switch_causes(bridge.records(begin))
    assert causes == [(1, lib.KVMLOG_SWITCH_COMMAND), (0, lib.KVMLOG_SWITCH_LEASE)]
    status = bridge.status()
    assert (status["state"], status["wanted"]) == ("off", "off")
    assert (status["source"]["on"], status["source"]["attached"]) == (False, False)
