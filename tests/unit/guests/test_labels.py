# SPDX-License-Identifier: GPL-2.0-or-later
"""Labels of guests beside their records, while numbers are reused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvmlog.guests.labels import GuestLabels
from kvmlog.guests.names import GuestNames
from kvmlog.guests.registry import TICK_NS, GuestRegistry
from kvmlog.ring.records import AnyRecord, GuestRecord, decode_record
from tests.support import records as make
from tests.support.proc_tree import FakeProc

S = 1_000_000_000
START = 5_000


class Host:
    """Guests that appear, are announced, and are in the file or not yet."""

    def __init__(self, folder: Path) -> None:
        self.proc = FakeProc(folder / "proc")
        self.registry = GuestRegistry(str(folder / "ring.guests"), root=self.proc.root)
        self._ring = str(folder / "ring")

    def begin(self, pid: int, name: str = "", comm: str = "qemu-system-x86") -> None:
        """Start a guest; without a name, one of an unknown VMM."""
        words = [b"qemu-system-x86_64", b"-name", name.encode()] if name else [b"vmm"]
        self.proc.begin(pid, START, words, comm=comm.encode())
        self.registry.appeared(pid)

    def announce(self, number: int, pid: int, ns: int) -> GuestRecord:
        """Announce a VM to the registry, as the source does."""
        record = announced(number, pid, ns)
        self.registry.announce(record)
        return record

    def labels(self) -> GuestLabels:
        """Return the labels of a reader that begins now."""
        self.registry.save()
        return GuestLabels(GuestNames(self._ring))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without guests."""
    return Host(tmp_path)


def announced(number: int, pid: int, ns: int) -> GuestRecord:
    """Return the announcement as the stream has it."""
    start_ns = START * TICK_NS
    raw = make.guest_bytes(b"q", tgid=pid, guest=number, ns=ns, start_boottime_ns=start_ns)
    record = decode_record(raw)
    assert isinstance(record, GuestRecord)
    return record


def exit_of(number: int, ns: int, total_ns: int = 0) -> AnyRecord:
    """An exit of that guest."""
    return decode_record(make.exit_bytes(reason=0x78, guest=number, exit_ns=ns, total_ns=total_ns))


def text_of(labels: GuestLabels) -> Callable[[AnyRecord], str | None]:
    """The label's text."""

    def text(record: AnyRecord) -> str | None:
        label = labels.label(record)
        return None if label is None else label.text

    return text


@pytest.mark.parametrize(
    ("name", "comm", "pid", "text"),
    [
        ("web1", "q", 100, "web1"),
        ("sixteen-letters1", "q", 100, "sixteen-letters1"),
        ("seventeen-letters", "q", 100, "seventeen-lette…"),
        ("", "qemu", 4242, "qemu:4242"),
        ("", "a-very-long-vmm", 4194303, "a-very-…:4194303"),
    ],
)
def test_width(host: Host, name: str, comm: str, pid: int, text: str) -> None:
    """Names lose their end; where the process stands for the guest, its pid stays."""
    host.begin(pid, name, comm)
    host.announce(1, pid, 9 * S)
    label = host.labels().label(exit_of(1, 9 * S))
    assert label is not None
    assert (label.text, label.guest.pid) == (text, pid)
    assert len(label.text) <= 16


def test_unknown_numbers_have_no_label(host: Host) -> None:
    """A number that was never announced, or much later, is unknown; a loss has no guest."""
    host.begin(100, "web1")
    host.announce(1, 100, 9 * S)
    text = text_of(host.labels())
    assert text(exit_of(2, 9 * S)) is None
    assert text(exit_of(1, 5 * S)) is None
    assert text(exit_of(1, 5 * S, total_ns=4 * S)) == "web1"
    assert text(decode_record(make.loss_bytes(ns=9 * S))) is None


def test_the_stream_is_ahead_of_the_file(host: Host) -> None:
    """A number given again means who was announced last, although the file does not say so yet."""
    host.begin(100, "web1")
    host.begin(200, "web2")
    host.announce(1, 100, 9 * S)
    labels = host.labels()
    text = text_of(labels)
    assert text(exit_of(1, 21 * S)) == "web1"
    labels.learn([exit_of(1, 21 * S), announced(1, 200, 20 * S)])
    assert [text(exit_of(1, at * S)) for at in (9, 18, 21)] == ["web1", "web1", "web2"]
    assert text(announced(1, 200, 20 * S)) == "web2"


def test_who_is_announced_but_not_known_has_no_label(host: Host) -> None:
    """There is no label rather than that of the number's last owner, until the file has it."""
    host.begin(100, "web1")
    host.announce(1, 100, 9 * S)
    labels = host.labels()
    labels.learn([announced(1, 300, 20 * S)])
    assert text_of(labels)(exit_of(1, 21 * S)) is None
    host.begin(300, "web3")
    host.announce(1, 300, 20 * S)
    host.registry.save()
    labels.names.reload()
    assert text_of(labels)(exit_of(1, 21 * S)) == "web3"


def test_two_vms_of_a_process_have_their_numbers(host: Host) -> None:
    """Both go on at once; a name that is cut leaves room for the number."""
    host.begin(100, "a-name-of-many-letters")
    host.announce(3, 100, 9 * S)
    host.announce(4, 100, 10 * S)
    labels = host.labels()
    text = text_of(labels)
    assert text(exit_of(4, 11 * S)) == "a-name-of-many-…"
    labels.learn([exit_of(4, 11 * S), exit_of(3, 12 * S)])
    assert text(exit_of(3, 12 * S)) == "a-name-of-man…#3"
    assert text(exit_of(4, 11 * S)) == "a-name-of-man…#4"


def test_a_number_after_the_other_is_one_vm(host: Host) -> None:
    """Switched off and on, or the file behind the stream: no number is shown."""
    host.begin(100, "web1")
    host.announce(3, 100, 9 * S)
    host.announce(7, 100, 20 * S)
    labels = host.labels()
    text = text_of(labels)
    late = announced(9, 100, 30 * S)
    labels.learn([exit_of(3, 19 * S, total_ns=S // 2), exit_of(7, 20 * S), late])
    labels.learn([exit_of(9, 31 * S)])
    assert [text(exit_of(n, at * S)) for n, at in ((3, 19), (7, 20), (9, 31))] == ["web1"] * 3


def test_a_stream_followed_for_months_is_not_kept(host: Host) -> None:
    """The oldest announcements go first, and the file still knows."""
    host.begin(100, "web1")
    host.announce(1, 100, 1)
    labels = host.labels()
    for number in range(1, 5_002):
        labels.learn([announced(number, 100, number)])
    assert len(labels._announced) == 4_096
    assert text_of(labels)(exit_of(5_001, 9 * S)) == "web1"
    assert text_of(labels)(exit_of(2, 9 * S)) is None
