# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of `kvmlog vms` at several widths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from kvmlog.cli.table import lines
from kvmlog.cli.vms.output import blocks
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from tests.support import vmstats_samples as make
from tests.support.vms_polls import poll

LONG = make.vm(name="instance-0000a2f1-of-somebody", uuid=make.WEB1[:-2] + "22", pid=4301)
HUNG = make.WEB1[:-2] + "33"
ALL = (
    "NAME",
    "STATE",
    "CPU%",
    "ST%",
    "USED",
    "MEM",
    "READ",
    "WRITE",
    "RX",
    "TX",
    "EXITS",
    "REASON",
)
SPARE = ("VCPU%", "HOST%", "RSS", "RLAT", "WLAT", "VCPUS", "PID", "UUID")


def shown(*vms: Vm, width: int | None, at_s: float = 1_004) -> list[str]:
    """Heading and table."""
    return list(lines(blocks(poll(*vms, at_s=at_s), "cpu"), width))


def cells(*vms: Vm, width: int | None = None, at_s: float = 1_004) -> list[dict[str, str]]:
    """The rows, each by title."""
    _, titles, *rows = (one.split() for one in shown(*vms, width=width, at_s=at_s))
    return [dict(zip(titles, row, strict=True)) for row in rows]


def test_eighty_columns_hold_what_matters() -> None:
    """Nothing is wider, names are cut, and what is spare is left out."""
    found = shown(make.vm(), LONG, make.off_vm(), make.hung_vm(), width=80)
    assert max(map(cell_len, found)) <= 80
    assert tuple(found[1].split()) == (*ALL[:2], "AGE", *ALL[2:])
    assert any(one.startswith("instance-00") and "…" in one for one in found)


@pytest.mark.parametrize("width", [200, None])
def test_more_columns_where_there_is_room(width: int | None) -> None:
    """A wide terminal has all of them, and so has whatever is no terminal."""
    found = shown(make.vm(), LONG, make.off_vm(), width=width)
    assert set(found[1].split()) == {*ALL, *SPARE}
    assert "instance-0000a2f1-of-somebody" in "\n".join(found)
    if width is None:
        # Two blanks at least, so that names with one are told from columns.
        assert "  STATE  " in found[1].replace("STATE    ", "STATE  ")


def test_columns_go_one_by_one() -> None:
    """The UUID first; latencies stay longer than percentages on other bases."""
    at_115 = shown(make.vm(), LONG, width=115)[1].split()
    assert {"RLAT", "WLAT"} <= set(at_115)
    assert {"UUID", "PID", "VCPUS", "HOST%"} & set(at_115) == set()


@pytest.mark.parametrize("width", range(72, 96))
def test_latencies_are_a_pair(width: int) -> None:
    """That of reads and that of writes are both there, or neither is; AGE is not."""
    titles = shown(make.vm(), make.off_vm(), width=width)[1].split()
    assert ("RLAT" in titles, "AGE" in titles) == ("WLAT" in titles, False)


def test_figures_are_short() -> None:
    """Amounts of at most four characters; percentages of one digit behind the point below 100."""
    (row,) = cells(make.vm())
    assert row == {
        "NAME": "web1",
        "STATE": "running",
        "CPU%": "90.0",
        "VCPU%": "45.0",
        "HOST%": "11.2",
        "ST%": "3.5",
        "USED": "1.8G",
        "MEM": "3.0G",
        "RSS": "2.4G",
        "READ": "3.0K",
        "WRITE": "8.8K",
        "RLAT": "300us",
        "WLAT": "655us",
        "RX": "9.8K",
        "TX": "12K",
        "EXITS": "-",
        "REASON": "-",
        "VCPUS": "2",
        "PID": "4300",
        "UUID": make.WEB1,
    }


def test_a_vm_that_does_not_run_has_its_state_only() -> None:
    """All figures are "-", none is 0."""
    (row,) = cells(make.off_vm())
    known = {"NAME": "db1", "STATE": "off", "VCPUS": "1", "UUID": make.DB1}
    assert {name: text for name, text in row.items() if text != "-"} == known


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.NOSTATE, "unknown"),
        (State.RUNNING, "running"),
        (State.BLOCKED, "blocked"),
        (State.PAUSED, "paused"),
        (State.SHUTDOWN, "closing"),
        (State.CRASHED, "crashed"),
        (State.PMSUSPENDED, "asleep"),
    ],
)
def test_each_state_has_a_word(state: State, word: str) -> None:
    """Words have seven characters at most."""
    (row,) = cells(make.vm(state=state))
    assert row["STATE"] == word
    assert len(word) <= 7


@pytest.mark.parametrize(
    ("age_s", "text"), [(45.2, "45s"), (99.4, "99s"), (100, "1m"), (6_100, "1h"), (200_000, "2d")]
)
def test_a_vm_that_hangs_shows_its_age(age_s: float, text: str) -> None:
    """Beside one that is on time and shows none; its last figures stay."""
    hung = make.hung_vm(name="hung", uuid=HUNG, taken=make.at(1_004 - age_s))
    rows = {row["NAME"]: row for row in cells(hung, make.vm())}
    assert (rows["hung"]["STATE"], rows["hung"]["AGE"]) == ("hung", text)
    assert rows["hung"]["CPU%"] == "90.0"
    assert (rows["web1"]["STATE"], rows["web1"]["AGE"]) == ("running", "-")


def test_a_vm_that_was_not_asked_keeps_its_state_and_shows_its_age() -> None:
    """A collector that ended, or a connection that is gone."""
    (row,) = cells(make.vm(), at_s=1_060)
    assert (row["STATE"], row["AGE"]) == ("running", "60s")


def test_the_heading_counts() -> None:
    """All VMs, those with a process, those that hang; it fits 80 with hundreds."""
    assert shown(width=80) != []
    (heading, *_) = shown(make.vm(), make.off_vm(), make.hung_vm(uuid=HUNG), width=80)
    assert heading == ("2026-11-20 20:02:46: 3 VMs, 2 active, 1 hung; exits are not counted")


def unreachable(*vms: Vm, hung: tuple[str, ...] = ()) -> list[str]:
    """Heading and table while libvirt does not answer, of VMs that are as old as its last poll."""
    down = make.connection(connected=False, error="libvirt has not answered", hung=hung)
    stale = [replace(vm, sample=replace(vm.sample, timed_out=True)) for vm in vms]
    return list(lines(blocks(poll(*stale, connections=(down,), at_s=1_069), "name"), None))


def test_a_vm_whose_libvirt_does_not_answer_keeps_its_state() -> None:
    """It does not hang, as far as anybody knows, and surely not when it is off; its age is told."""
    heading, _, *rows = unreachable(make.vm(), make.off_vm())
    assert heading == "2026-11-20 20:03:51: 2 VMs, 1 active; exits are not counted"
    assert [row.split()[:3] for row in rows] == [["db1", "off", "69s"], ["web1", "running", "69s"]]


def test_a_vm_that_hung_when_libvirt_answered_last_does_so_still() -> None:
    """That was its last state; the other VM of the connection has its own."""
    other = make.vm(name="web2", uuid=HUNG)
    heading, _, *rows = unreachable(make.vm(), other, hung=(make.WEB1,))
    assert "2 VMs, 2 active, 1 hung" in heading
    assert [row.split()[:2] for row in rows] == [["web1", "hung"], ["web2", "running"]]


def test_a_uuid_that_hangs_on_another_host_does_not_hang_here() -> None:
    """While it migrates, two connections know it."""
    there = make.connection(uri="qemu+ssh://kvm2/system", hung=(make.WEB1,))
    found = poll(make.vm(), connections=(make.connection(), there))
    assert not found.lines[0].hung


@pytest.mark.parametrize(
    ("up", "said"), [((False,), "0 of 1"), ((True, False), "1 of 2"), ((False, False), "0 of 2")]
)
def test_no_vm_is_known_while_a_connection_is_down(up: tuple[bool, ...], said: str) -> None:
    """That is told in place of what would read as a host without VMs."""
    connections = tuple(
        make.connection(uri=f"qemu+ssh://kvm{number}/system", connected=one)
        for number, one in enumerate(up)
    )
    assert blocks(poll(connections=connections), "cpu") == [
        f"2026-11-20 20:02:46: 0 VMs known; {said} connections answer"
    ]


def test_a_host_without_vms() -> None:
    """All its connections answer."""
    assert blocks(poll(connections=(make.connection(),)), "cpu") == [
        "2026-11-20 20:02:46: 0 VMs; exits are not counted"
    ]


def test_a_connection_that_is_down_is_named() -> None:
    """The URI is named, which libvirt's sentence lacks; one that answers has no problem."""
    down = make.connection(
        uri="qemu+ssh://kvm2/system", connected=False, error="libvirt has not answered within 2 s"
    )
    found = poll(make.vm(), connections=(make.connection(), down))
    assert list(found.problems) == ["qemu+ssh://kvm2/system: libvirt has not answered within 2 s"]


def test_names_move_no_cursor() -> None:
    """What is not printable is escaped."""
    odd = replace(make.vm(name="a\x1b[2Jb"), rates=None)
    assert "\x1b" not in "\n".join(shown(odd, width=80))
