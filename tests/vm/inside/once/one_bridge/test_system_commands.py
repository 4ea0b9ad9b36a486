# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands as people and old programs give them: datagrams, and the command line."""

from __future__ import annotations

import json
import random
import signal
import subprocess

import pytest

from tests.vm.inside import host, ring_bytes
from tests.vm.inside.processes import HANG_S, KVMLOG, Bridge, kvmlog, probes, until

SHOWN = 60
KINDS = ("--kinds", "cpuid,pio,mmio,hlt,msr")
# What one turn of the guest is to its reader (tests/guest/code.S, guest.h).
TURN = [
    ("cpuid", "leaf 0x0"),
    ("io", "port 0x3f8 (com1)"),
    ("npf", "gpa 0xd0000000 (pci-bar)"),
    ("hlt", ""),
    ("msr", "msr 0x1a0 (misc-enable)"),
    ("msr", "msr 0x1a0 (misc-enable)"),
]
END = ("io", "port 0x501 (debug-exit)")


@pytest.mark.parametrize("ending", [b"\0", b"", b"\n"], ids=["nul", "bare", "newline"])
def test_the_ancestors_datagrams(bridge: Bridge, ending: bytes) -> None:
    """Datagrams count from a socket that is closed before the answer comes."""
    before = probes()
    begin = bridge.info().head
    bridge.send(b"on" + ending)
    until(lambda: bridge.info().switched_on, "tracing on")
    assert probes() == {name: count + 1 for name, count in before.items()}
    host.guest("--turns", "11")
    bridge.send(b"off" + ending)
    until(lambda: not bridge.info().switched_on, "tracing off")
    assert probes() == before
    assert len(ring_bytes.exits(bridge.records(begin))) > 22
    assert bridge.ask(b"off" + ending) == b"ok off"


def test_garbage_switches_nothing(bridge: Bridge) -> None:
    """Neither on nor off; it is counted, and what comes after it is carried out."""
    noise = random.Random(2)
    garbage = [b"", b"\0", b"of", b"ON", b"on off", b"off" * 400, b"\xff\xfe", b"ok off"]
    garbage += [noise.randbytes(noise.randrange(1, 700)) for _ in range(40)]

    def taken() -> int:
        counts: dict[str, int] = bridge.status()["commands"].get("udp", {})
        return sum(number for kind, number in counts.items() if kind not in ("on", "off"))

    for on in (False, True):
        bridge.client.switch(on)
        before, probes_before = taken(), probes()
        for datagram in garbage:
            bridge.send(datagram)
        until(lambda: taken() - before == len(garbage), "all datagrams")  # noqa: B023
        assert bridge.info().switched_on == on
        assert probes() == probes_before
    assert bridge.ask(b"off\0") == b"ok off"


def test_switch_and_status_in_words(bridge: Bridge, histogram: host.Histogram, source: str) -> None:
    """`kvmlog switch` and both forms of `kvmlog status`."""
    places = ("--switch", bridge.switch)
    before = bridge.info().counters
    assert kvmlog("switch", "on", *places).stdout == "ok on\n"
    host.guest("--turns", "101", *KINDS)
    lines = kvmlog("status", *places, "--ring", bridge.ring).stdout.splitlines()
    shown = {line[:12].strip(): line[12:] for line in lines if line[:12].strip()}
    assert shown["tracing"] == "on"
    version = {"kmod": "kmod, 0.1.0", "bpf": "bpf"}[source]
    assert shown["source"] == f"{version}, connected, for kvm_amd"
    assert shown["ring"].startswith(f"{bridge.ring}, running, ")

    assert kvmlog("switch", "off", *places).stdout == "ok off\n"
    told = json.loads(kvmlog("status", "--json", *places, "--ring", bridge.ring).stdout)
    assert (told["bridge_error"], told["ring_error"]) == (None, None)
    assert (told["bridge"]["state"], told["bridge"]["source"]["on"]) == ("off", False)
    assert told["bridge"]["source"]["attached"] is False
    assert told["bridge"]["counters"] == told["ring"]["counters"]
    seen = told["ring"]["counters"]["seen"] - before["seen"]
    assert seen == histogram.counts().total()


def of_turns(exits: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the exits of the turns alone.

    Without the host's interrupts and its first touch of pages.
    """
    return [one for one in exits if one in TURN or one == END]


def test_dump_says_what_the_guest_did(bridge: Bridge) -> None:
    """Reasons and details, in order, as text and as JSON."""
    begin = max(0, bridge.info().head - SHOWN)
    bridge.client.switch(on=True)
    report = host.guest("--turns", "3", *KINDS)
    bridge.client.switch(on=False)

    header, *lines = kvmlog("dump", f"-n{SHOWN}", "--ring", bridge.ring).stdout.splitlines()
    words = [line for line in lines if line[22:24] == "--"]
    at = [header.index(column) for column in ("REASON", "DETAIL", "TOTAL")]
    exits = [
        (line[at[0] : at[1]].strip(), line[at[1] : at[2] - 2].strip())
        for line in lines
        if line not in words
    ]
    assert of_turns(exits[-SHOWN:])[-19:] == TURN * 3 + [END]
    assert "tracing is on: by command" in words[-3]
    assert f"is process {report['pid']} (kvmlog-guest), started" in words[-2]
    assert words[-1].endswith("-- tracing is off: by command")

    objects = [
        json.loads(line)
        for line in kvmlog(
            "dump", f"-n{SHOWN}", "--json", "--ring", bridge.ring
        ).stdout.splitlines()
    ]
    assert len(objects) == len(lines)
    exits = [
        (record["reason_name"], record.get("detail_words", ""))
        for record in objects
        if record["type_name"] == "exit"
    ]
    assert of_turns(exits)[-19:] == TURN * 3 + [END]
    assert [record["ns"] for record in objects if "ns" in record] == sorted(
        note.ns for note in ring_bytes.notes(bridge.records(begin))[-len(words) :]
    )  # shown in order of time; the CPUs' batches arrive in any order
    newest = next(r for r in reversed(objects) if r.get("detail_words") == "port 0x3f8 (com1)")
    assert newest["user_reason_name"] == "KVM_EXIT_IO"
    assert newest["total_ns"] >= newest["user_ns"] > 0


def test_pending_shows_who_is_stuck(bridge: Bridge) -> None:
    """Two vCPUs that hold in user space, since when, and why; nobody once they have gone."""
    places = ("--switch", bridge.switch)
    assert kvmlog("pending", *places).stdout == "no vCPU is in an exit\n"
    bridge.client.switch(on=True)
    guest = host.start_guest("--turns", "3", "--vcpus", "2", "--kinds", "pio", "--hold")
    try:

        def stuck() -> list[dict[str, object]]:
            listed = map(json.loads, kvmlog("pending", "--json", *places).stdout.splitlines())
            return [one for one in listed if one.get("detail") == 0x501 and one["user_exits"]]

        until(lambda: len(stuck()) == 2, "two vCPUs in their last exit")
        header, *lines = kvmlog("pending", *places).stdout.splitlines()
        assert header.split()[:2] == ["TIME", "GUEST"]
        assert len(lines) == 2
        assert all("port 0x501" in line and "KVM_EXIT_IO" in line for line in lines)
        assert {one["vcpu"] for one in stuck()} == {0, 1}
    finally:
        guest.terminate()
        guest.communicate(timeout=HANG_S)
    until(lambda: not stuck(), "nobody")
    bridge.client.switch(on=False)


def test_tail_shows_exits_as_they_come(bridge: Bridge) -> None:
    """Started first, then tracing, then the guest; Ctrl-C ends it with status 0."""
    with subprocess.Popen(
        [KVMLOG, "tail", "-n", "0", "--ring", bridge.ring],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        try:
            assert tail.stdout is not None
            assert tail.stdout.readline().startswith("TIME")
            bridge.client.switch(on=True)
            assert "-- clocks noted" in tail.stdout.readline()
            assert "-- tracing is on: by command" in tail.stdout.readline()
            report = host.guest("--turns", "5", "--kinds", "pio")
            came = ""
            while "port 0x501" not in came:
                came += tail.stdout.readline()
            tail.send_signal(signal.SIGINT)
            _, errors = tail.communicate(timeout=HANG_S)
        finally:
            tail.kill()
    assert (tail.returncode, errors) == (0, "")
    assert came.count("port 0x3f8 (com1)") == 5
    assert came.count(f"is process {report['pid']} (kvmlog-guest)") == 1
    assert "-- guest" in came.splitlines()[0]
