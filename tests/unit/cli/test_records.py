# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which dump and tail show records."""

from __future__ import annotations

from kvmlog.cli.records import in_time_order
from kvmlog.native import lib
from kvmlog.ring.records import unpack_records
from tests.support import records as make


def shown(*records: bytes) -> list[tuple[str, int, int]]:
    """(class, guest, ns) in the order shown."""
    ordered = in_time_order(unpack_records(b"".join(records)))
    return [(type(record).__name__, record.guest, record.ns) for record in ordered]


def exit_at(ns: int, guest: int = 1) -> bytes:
    """An exit."""
    return make.exit_bytes(reason=0x78, guest=guest, exit_ns=ns)


def guest_at(ns: int, guest: int = 1) -> bytes:
    """A guest that was noticed."""
    return make.guest_bytes(b"qemu", tgid=7, guest=guest, ns=ns)


def test_by_time_and_stable() -> None:
    """CPUs deliver in any order; records of one moment stay as they came."""
    switch = make.switch_bytes(on=1, cause=lib.KVMLOG_SWITCH_COMMAND, ns=20, guest=0)
    assert shown(exit_at(30), exit_at(20), switch, exit_at(10)) == [
        ("Record", 1, 10),
        ("Record", 1, 20),
        ("SwitchRecord", 0, 20),
        ("Record", 1, 30),
    ]


def test_a_guest_stands_before_its_first_exit() -> None:
    """Although it is noticed only when that exit ends."""
    assert shown(exit_at(5, guest=2), guest_at(40), exit_at(10), exit_at(50)) == [
        ("Record", 2, 5),
        ("GuestRecord", 1, 40),
        ("Record", 1, 10),
        ("Record", 1, 50),
    ]
    assert shown(guest_at(10), exit_at(10)) == [("GuestRecord", 1, 10), ("Record", 1, 10)]


def test_a_number_given_again_is_another_guest() -> None:
    """Guest 1 of a reloaded source does not go before the exits of the first guest 1."""
    records = (guest_at(9), exit_at(10), exit_at(20), guest_at(102), exit_at(101))
    assert shown(*records) == [
        ("GuestRecord", 1, 9),
        ("Record", 1, 10),
        ("Record", 1, 20),
        ("GuestRecord", 1, 102),
        ("Record", 1, 101),
    ]


def test_nothing_is_nothing() -> None:
    """An empty snapshot."""
    assert shown() == []
