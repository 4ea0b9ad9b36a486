# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures from recorded records of libvirt 9.0, and from what others give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.vmstats import domain_xml, domstats
from kvmlog.vmstats.definition import Definition, Nic
from kvmlog.vmstats.domstats import Parts
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Absence, Block, Cpu, Interface, Memory, State, Vcpu

DATA = Path(__file__).resolve().parents[2] / "data" / "vmstats"
RECORDS = json.loads((DATA / "records.json").read_text())
WEB = domain_xml.parse((DATA / "web-1.xml").read_text())
OFF = domain_xml.parse((DATA / "off-1.xml").read_text())
KIB = 1024
WRAPPED = (1 << 64) - 1  # what -1 becomes
RUNNING = {"state.state": 1, "state.reason": 1}


def read(
    situation: str, changed: Mapping[str, Any] | None = None, definition: Definition = WEB
) -> Parts:
    """Read a recorded record with keys changed; None takes one away."""
    recorded = RECORDS[situation]
    record = {**recorded["record"], **(changed or {})}
    record = {key: value for key, value in record.items() if value is not None}
    return domstats.read(record, at(recorded), definition, io_errors={})


def at(recorded: dict[str, Any]) -> Moment:
    """The moment when it was recorded."""
    return Moment(1, recorded["taken_realtime_ns"])


def made(record: dict[str, Any], definition: Definition = WEB) -> Parts:
    """Read a record of a running domain."""
    return domstats.read({**RUNNING, **record}, Moment(1, 10**18), definition, io_errors={})


def nics(*given: Nic) -> Definition:
    """A definition with these interfaces."""
    return replace(WEB, nics=given)


def nic(mac: str | None, target: str | None, alias: str | None) -> Nic:
    """An interface."""
    return Nic(mac, "bridge", target, alias, "virtio", None)


def test_a_running_domain() -> None:
    """Every figure of the record has its place, in base units."""
    moment = at(RECORDS["running"])
    parts = domstats.read(RECORDS["running"]["record"], moment, WEB, io_errors={"vdb": 2})
    record = RECORDS["running"]["record"]
    assert (parts.state, parts.state_reason, parts.absent) == (State.RUNNING, 1, ())
    assert parts.cpu == Cpu(
        taken=moment,
        time_ns=21_220_000_000,
        user_ns=record["cpu.user"],
        system_ns=record["cpu.system"],
        guest_ns=None,
        vcpus=tuple(
            Vcpu(
                number=number,
                state="running",
                time_ns=record[f"vcpu.{number}.time"],
                wait_ns=None,
                delay_ns=record[f"vcpu.{number}.delay"],
                halted=None,
            )
            for number in (0, 1)
        ),
    )
    assert parts.memory == Memory(
        taken=moment,
        actual_bytes=163_840 * KIB,
        maximum_bytes=196_608 * KIB,
        rss_bytes=record["balloon.rss"] * KIB,
        guest_updated_realtime_ns=1_796_047_296_000_000_000,
        available_bytes=111_684 * KIB,
        unused_bytes=record["balloon.unused"] * KIB,
        usable_bytes=record["balloon.usable"] * KIB,
        disk_caches_bytes=record["balloon.disk_caches"] * KIB,
        swap_in_bytes=0,
        swap_out_bytes=0,
        major_faults=record["balloon.major_fault"],
        minor_faults=record["balloon.minor_fault"],
        huge_page_allocations=0,
        huge_page_failures=0,
    )
    assert parts.blocks is not None
    assert parts.blocks[0] == Block(
        target="vda",
        read_bytes=(8 << 20) + 12_800,
        read_requests=12,
        read_time_ns=record["block.0.rd.times"],
        write_bytes=16 << 20,
        write_requests=256,
        write_time_ns=record["block.0.wr.times"],
        flush_requests=0,
        flush_time_ns=0,
        errors=None,
        io_errors=0,
        capacity_bytes=64 << 20,
        allocation_bytes=record["block.0.allocation"],
        physical_bytes=record["block.0.physical"],
    )
    assert [(one.target, one.io_errors) for one in parts.blocks] == [
        ("vda", 0),
        ("vdb", 2),
        ("hda", 0),
        ("fda", 0),
    ]
    # An empty drive has counters, but no size.
    assert (parts.blocks[2].read_bytes, parts.blocks[2].capacity_bytes) == (0, None)
    assert parts.interfaces is not None
    assert parts.interfaces[0] == Interface(
        mac="52:54:00:aa:00:01",
        target="vnet0",
        alias="net0",
        rx_bytes=1_000_000,
        rx_packets=1_000,
        rx_errors=0,
        rx_drops=0,
        tx_bytes=0,
        tx_packets=0,
        tx_errors=0,
        tx_drops=0,
    )
    # libvirt has no figures of an interface without a device of the host.
    assert parts.interfaces[2] == Interface(
        "52:54:00:aa:00:03", None, "net2", None, None, None, None, None, None, None, None
    )


def test_waiting_that_the_kernel_does_not_count() -> None:
    """It is known where it was ever more than nothing: the recorded kernel counts one of two."""
    record = RECORDS["running"]["record"]
    assert (record["vcpu.0.wait"], record["vcpu.0.delay"] > 0) == (0, True)
    parts = read("running", {"vcpu.1.wait": 7, "vcpu.1.delay": 0})
    assert parts.cpu is not None
    assert [(vcpu.wait_ns, vcpu.delay_ns) for vcpu in parts.cpu.vcpus] == [
        (None, record["vcpu.0.delay"]),
        (7, None),
    ]


def test_images_of_a_backing_chain_are_no_disks() -> None:
    """They have the name of their disk, which has a backingIndex as they have."""
    plain, chain = read("running"), read("backing")
    assert chain.blocks == plain.blocks
    assert RECORDS["backing"]["record"]["block.count"] == 6


def test_a_shut_off_domain_has_no_figures() -> None:
    """Its cpu.time in the record is libvirtd's, its disks' sizes no counters."""
    assert RECORDS["shut_off"]["record"]["cpu.time"] > 0
    assert read("shut_off", definition=OFF) == Parts(State.SHUTOFF, 0, None, None, None, None, ())


def test_a_crashed_domain_has_none_either() -> None:
    """Nor has any that does not run, whatever the record has."""
    parts = read("running", {"state.state": 6, "state.reason": 1})
    assert parts == Parts(State.CRASHED, 1, None, None, None, None, ())


def test_a_paused_domain_has_all() -> None:
    """Its counters stand still, but are there."""
    parts = read("paused")
    assert (parts.state, parts.state_reason, parts.absent) == (State.PAUSED, 1, ())
    assert parts.cpu is not None
    assert parts.blocks is not None


def test_an_occupied_domain() -> None:
    """What libvirt reads itself is there; what only QEMU knows is absent, with the reason."""
    parts = read("occupied")
    assert parts.cpu is not None
    assert parts.cpu.time_ns == 21_260_000_000
    assert parts.interfaces is not None
    assert parts.interfaces[0].rx_packets == 1_000
    assert parts.blocks is None
    assert parts.memory is not None
    assert (parts.memory.actual_bytes, parts.memory.rss_bytes) == (163_840 * KIB, None)
    busy = "another request, or a migration that comes in, occupies its QEMU"
    assert parts.absent == (
        Absence("blocks", f"libvirt gave no disk figures: {busy}"),
        Absence("memory", f"libvirt gave no memory figures of the guest: {busy}"),
    )


@pytest.mark.parametrize("value", [-1, WRAPPED, WRAPPED - 5, 1 << 63, "7", True, 1.5, None])
def test_a_figure_that_is_none(value: object) -> None:
    """-1, what it wraps to, and what is no count at all cost one figure each."""
    keys = (
        "cpu.time",
        "vcpu.0.delay",
        "balloon.rss",
        "balloon.unused",
        "block.0.rd.bytes",
        "net.0.rx.errs",
    )
    parts = read("running", dict.fromkeys(keys, value))
    whole = read("running")
    assert parts.cpu is not None
    assert whole.cpu is not None
    assert parts.cpu.time_ns is None
    assert parts.cpu.vcpus[0] == replace(whole.cpu.vcpus[0], delay_ns=None)
    assert parts.blocks is not None
    assert whole.blocks is not None
    assert parts.blocks[0] == replace(whole.blocks[0], read_bytes=None)
    assert parts.interfaces is not None
    assert whole.interfaces is not None
    assert parts.interfaces[0] == replace(whole.interfaces[0], rx_errors=None)
    assert parts.memory is not None
    assert (parts.memory.rss_bytes, parts.memory.unused_bytes) == (None, None)


def test_the_largest_count_is_one() -> None:
    """Only the upper half of an unsigned number is a wrapped one."""
    parts = read("running", {"cpu.time": (1 << 63) - 1})
    assert parts.cpu is not None
    assert parts.cpu.time_ns == (1 << 63) - 1


def period(seconds: int | None) -> Definition:
    """A definition with such a period of the balloon's statistics."""
    return replace(WEB, balloon_period_s=seconds)


def last_update(age_s: int) -> dict[str, int]:
    """Return the key of that name, so long before the record was taken; whole seconds."""
    return {"balloon.last-update": RECORDS["running"]["taken_realtime_ns"] // 10**9 - age_s}


@pytest.mark.parametrize("seconds", [1, 10, 60])
def test_a_silent_balloon_driver(seconds: int) -> None:
    """Two periods are good, and the second that last-update is cut off by; then it has an age."""
    good = read("running", last_update(2 * seconds), period(seconds))
    assert good.absent == ()
    assert good.memory is not None
    assert good.memory.used_bytes is not None
    updated = last_update(2 * seconds + 2)
    parts = read("running", updated, period(seconds))
    (absence,) = parts.absent
    assert absence.group == "memory"
    assert absence.reason == (
        f"the guest's balloon driver is silent, though it is asked every {seconds} s"
    )
    assert absence.age_s == pytest.approx(2 * seconds + 2, abs=1)
    assert parts.memory is not None
    assert (parts.memory.available_bytes, parts.memory.swap_in_bytes) == (None, None)
    assert (parts.memory.minor_faults, parts.memory.used_bytes) == (None, None)
    # What does not come from the guest is there, and when the guest told last is known.
    assert parts.memory.actual_bytes == 163_840 * KIB
    assert parts.memory.guest_updated_realtime_ns == updated["balloon.last-update"] * 10**9


def test_a_balloon_without_a_period() -> None:
    """It is believed for as long as with the usual one, which somebody may have set meanwhile."""
    assert read("running", last_update(20), period(None)).absent == ()
    (absence,) = read("running", last_update(25), period(None)).absent
    assert "--balloon-period 10" in absence.reason
    assert absence.age_s == pytest.approx(25, abs=1)


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (WEB, "the guest's balloon driver has told nothing yet"),
        (replace(WEB, balloon=False), "the domain has no memory balloon, which would tell"),
    ],
    ids=["no driver", "no balloon"],
)
def test_no_balloon(definition: Definition, reason: str) -> None:
    """The figures of the guest are absent then, and never zero."""
    parts = read("running", {"balloon.last-update": 0}, definition)
    (absence,) = parts.absent
    assert absence.reason.startswith(reason)
    assert absence.age_s is None
    assert parts.memory is not None
    assert parts.memory.used_bytes is None
    assert parts.memory.guest_updated_realtime_ns is None
    assert parts.memory.rss_bytes is not None


def test_a_guest_that_reboots() -> None:
    """Its driver's last figures are old until the driver is back, and new then."""
    recorded = RECORDS["after_reset"]
    later = Moment(1, recorded["taken_realtime_ns"] + 5 * 10**9)
    parts = domstats.read(recorded["record"], later, WEB, io_errors={})
    assert [one.group for one in parts.absent] == ["memory"]
    assert read("rebooted").absent == ()


def test_interfaces_by_name_whatever_their_place() -> None:
    """An interface that was attached or detached moves the places of the others."""
    first, second = (
        nic("52:54:00:00:00:01", "vnet7", "net0"),
        nic("52:54:00:00:00:02", "vnet3", "n"),
    )
    record = {
        "net.count": 2,
        "net.0.name": "vnet3",
        "net.0.rx.bytes": 3,
        "net.1.name": "vnet7",
        "net.1.rx.bytes": 7,
    }
    parts = made(record, nics(first, second))
    assert parts.interfaces is not None
    assert [(one.mac, one.rx_bytes) for one in parts.interfaces] == [
        ("52:54:00:00:00:01", 7),
        ("52:54:00:00:00:02", 3),
    ]


def test_interfaces_with_equal_names_by_their_place() -> None:
    """The driver that gives all the same name loses none, and mixes none up."""
    same = [nic(f"52:54:00:00:00:0{number}", "net", f"net{number}") for number in range(3)]
    record: dict[str, Any] = {"net.count": 3}
    for number in (0, 2):
        record |= {f"net.{number}.name": "net", f"net.{number}.tx.bytes": number + 10}
    parts = made(record, nics(*same))
    assert parts.interfaces is not None
    assert [(one.mac, one.tx_bytes) for one in parts.interfaces] == [
        ("52:54:00:00:00:00", 10),
        ("52:54:00:00:00:01", None),
        ("52:54:00:00:00:02", 12),
    ]


def test_interfaces_that_the_definition_does_not_have_yet() -> None:
    """They are there, under their names; two of one name are one."""
    record = {
        "net.count": 3,
        "net.0.name": "vnet0",
        "net.0.rx.bytes": 1,
        "net.1.name": "new",
        "net.1.rx.bytes": 2,
        "net.2.name": "new",
        "net.2.rx.bytes": 3,
    }
    parts = made(record, nics(nic("52:54:00:00:00:01", "vnet0", "net0")))
    assert parts.interfaces is not None
    assert [(one.key, one.rx_bytes) for one in parts.interfaces] == [
        ("52:54:00:00:00:01", 1),
        ("new", 2),
    ]


def test_a_failover_pair_has_one_mac_and_two_keys() -> None:
    """A virtio interface and the SR-IOV function that it stands in for have the same MAC."""
    mac = "52:54:00:00:00:01"
    pair = (nic(mac, "vnet0", "ua-backup0"), nic(mac, None, "hostdev0"))
    parts = made({"net.count": 2, "net.0.name": "vnet0", "net.0.rx.bytes": 5}, nics(*pair))
    assert parts.interfaces is not None
    assert [(one.key, one.rx_bytes) for one in parts.interfaces] == [
        (f"{mac}/ua-backup0", 5),
        (f"{mac}/hostdev0", None),
    ]


def test_groups_that_libvirt_left_out() -> None:
    """The state alone is a sample; each group says that it is absent."""
    parts = made({})
    assert (parts.cpu, parts.memory, parts.blocks, parts.interfaces) == (None, None, None, None)
    assert [one.group for one in parts.absent] == ["cpu", "memory", "blocks", "interfaces"]


def test_a_domain_without_devices() -> None:
    """That there are none is known: nothing is absent."""
    parts = made({"block.count": 0, "net.count": 0}, replace(WEB, disks=(), nics=()))
    assert (parts.blocks, parts.interfaces) == ((), ())
    assert [one.group for one in parts.absent] == ["cpu", "memory"]


def test_a_state_that_nobody_knows() -> None:
    """A later libvirt may have more of them."""
    parts = read("running", {"state.state": 99})
    assert parts.state is State.NOSTATE
    assert parts.cpu == read("running").cpu


KEYS = st.sampled_from(
    [f"{group}.count" for group in ("net", "block")]
    + [f"balloon.{name}" for name in ("current", "rss", "last-update", "available", "usable")]
    + [f"net.{n}.{name}" for n in (0, 1, 2, 999) for name in ("name", "rx.bytes", "tx.errs")]
    + [f"block.{n}.{name}" for n in (0, 1, 2, 999) for name in ("name", "rd.bytes", "capacity")]
    + [f"vcpu.{n}.{name}" for n in (0, 1, 999) for name in ("state", "time", "halted")]
    + ["cpu.time", "vcpu..time", "vcpu.x.time", "net.0", "block.1.", ""]
)
VALUES = st.one_of(
    st.integers(-2, 1 << 64), st.booleans(), st.sampled_from(["vnet0", "vnet1", "vda", "\x1b", ""])
)


@given(st.dictionaries(KEYS, VALUES, max_size=30))
def test_any_record(record: dict[str, Any]) -> None:
    """Whatever libvirt gives, no figure is negative, and no key of a device is there twice."""
    parts = made(record)
    for devices in (parts.blocks or (), parts.interfaces or ()):
        keys = [getattr(one, "key", None) or getattr(one, "target", None) for one in devices]
        assert len(keys) == len(set(keys))
        for device in devices:
            counts = [value for value in vars(device).values() if type(value) is int]
            assert all(0 <= count < 1 << 63 for count in counts)
