# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of guests: what the bridge continues, and what it begins anew."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.guests import model
from kvmlog.guests.model import Guest, GuestError, decode, encode
from kvmlog.guests.registry import GuestRegistry
from kvmlog.guests.sanitize import NAME_CHARACTERS
from kvmlog.ring.reader import boot_id
from kvmlog.util import permissions
from tests.support.proc_tree import FakeProc

GUEST = Guest(
    pid=7,
    start_ticks=500,
    comm="qemu-system-x86",
    kind="qemu",
    name="default/wéb\\x1b",
    named=True,
    uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809",
    aliases=("default_wéb", "wéb"),
    cgroup="/kubepods/x",
    container="0123456789abcdef" * 4,
    pod="6b1f9d2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b",
    numbers=((1, 2**63), (2**32 - 1, 5)),
    first_seen_realtime_ns=1,
    ended_realtime_ns=2**62,
)
LEAST = Guest(8, 0, "", "other", ":8", False)


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    """A /proc with two guests."""
    folder = tmp_path / "proc"
    folder.mkdir()
    fake = FakeProc(folder)
    for pid in (7, 8):
        fake.begin(pid, 500, [b"qemu-kvm", b"-name", b"web%d" % pid])
    return fake


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path without a file."""
    return tmp_path / "ring.guests"


def open_registry(path: Path, fake: FakeProc) -> GuestRegistry:
    """Open the registry as the bridge does at its start."""
    return GuestRegistry(str(path), root=fake.root)


def document(**members: Any) -> bytes:
    """A file with some of its members changed."""
    whole = json.loads(encode(boot_id(), [GUEST]))
    return json.dumps({**whole, **members}).encode()


def guest(**members: Any) -> bytes:
    """A file with a guest of which some members are changed."""
    whole = json.loads(encode(boot_id(), [GUEST]))
    return document(guests=[{**whole["guests"][0], **members}])


def test_what_is_written_is_read() -> None:
    """All members, of a guest with all and of one with the least."""
    assert decode("f", encode(boot_id(), [GUEST, LEAST])) == (boot_id(), [GUEST, LEAST])


def test_the_file_is_as_documented() -> None:
    """docs/guests.md: other programs read it."""
    whole = json.loads(encode(bytes(range(16)), [LEAST]))
    assert whole == {
        "format": "kvmlog-guests",
        "version": 1,
        "boot_id": "000102030405060708090a0b0c0d0e0f",
        "generation": 0,
        "guests": [
            {
                "pid": 8,
                "start_ticks": 0,
                "comm": "",
                "kind": "other",
                "name": ":8",
                "named": False,
                "uuid": None,
                "aliases": [],
                "cgroup": "",
                "container": None,
                "pod": None,
                "numbers": [],
                "first_seen_realtime_ns": 0,
                "ended_realtime_ns": None,
            }
        ],
    }


def test_the_largest_file_is_read() -> None:
    """All limits at once stay below the limit of the file."""
    wide = "\U0001f600"
    largest = replace(
        GUEST,
        name=wide * NAME_CHARACTERS,
        comm=wide * NAME_CHARACTERS,
        aliases=(wide * NAME_CHARACTERS,) * model.ALIASES_MOST,
        cgroup=wide * model.CGROUP_CHARACTERS,
        numbers=((2**64 - 1, 2**64 - 1),) * model.NUMBERS_MOST,
    )
    raw = encode(boot_id(), [largest])
    assert decode("f", raw) == (boot_id(), [largest])
    assert len(raw) * (model.RUNNING_MOST + model.ENDED_MOST) < model.FILE_BYTES


def test_a_later_member_is_passed_over() -> None:
    """A later version may add members without changing the meaning of the rest."""
    assert decode("f", document(extra=1)) == (boot_id(), [GUEST])
    assert decode("f", guest(extra={"a": []})) == (boot_id(), [GUEST])


BAD = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"format":' + b"1" * 10_000 + b"}",
    b'{"format":"kvmlog-guests","version":1}',
    document(format="other"),
    document(version=2),
    document(version="\x1b"),
    document(boot_id="xyz"),
    document(boot_id=5),
    document(guests=5),
    document(guests=[5]),
    document(guests=[{}]),
    document(guests=[None] * 10),
    guest(pid=-1),
    guest(pid=True),
    guest(pid="7"),
    guest(pid=2**64),
    guest(start_ticks=1.5),
    guest(name=""),
    guest(name=None),
    guest(name="a\x1bb"),
    guest(name="x" * (NAME_CHARACTERS + 1)),
    guest(name="\ud800"),
    guest(named="yes"),
    guest(uuid="C7A5FDBD-EDAF-9455-926A-D65C16DB1809"),
    guest(uuid="x"),
    guest(aliases="web"),
    guest(aliases=["a"] * 5),
    guest(aliases=[["a"]]),
    guest(cgroup=None),
    guest(container="x" * 65),
    guest(numbers=[[1]]),
    guest(numbers=[[1, 2, 3]]),
    guest(numbers=[[1, 2]] * 17),
    guest(numbers=[1, 2]),
    guest(numbers=None),
    guest(ended_realtime_ns="now"),
]


@pytest.mark.parametrize("raw", BAD, ids=range(len(BAD)))
def test_a_damaged_or_foreign_file_is_refused_in_a_sentence(raw: bytes) -> None:
    """The sentence names the file and the remedy."""
    with pytest.raises(GuestError, match=r"^f: .*restart the bridge") as caught:
        decode("f", raw)
    assert str(caught.value).isprintable()


@given(st.data())
def test_no_damage_is_a_traceback(data: st.DataObject) -> None:
    """Any bytes changed, or the rest cut off."""
    raw = bytearray(encode(boot_id(), [GUEST, LEAST]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    guests: list[Guest] = []
    with contextlib.suppress(GuestError):
        _, guests = decode("f", bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert all(guest.name.isprintable() and guest.name for guest in guests)


@pytest.mark.parametrize(
    "raw",
    [b"", BAD[-1], document(version=2), guest(pid=-1)],
    ids=["empty", "time", "version", "pid"],
)
def test_a_file_of_no_use_is_begun_anew(
    path: Path, fake: FakeProc, raw: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log has a line, and the bridge goes on."""
    path.write_bytes(raw)
    registry = open_registry(path, fake)
    assert registry.guests() == []
    assert f"{path}: " in capfd.readouterr().err
    assert registry.save()
    assert decode("f", path.read_bytes()) == (boot_id(), [])


@pytest.mark.parametrize("kind", ["huge", "fifo", "folder"])
def test_what_is_no_file_of_that_size_is_not_read(
    path: Path, fake: FakeProc, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor does the bridge wait for it."""
    if kind == "huge":
        path.touch()
        os.truncate(path, model.FILE_BYTES + 1)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert open_registry(path, fake).guests() == []
    assert "its guests are forgotten" in capfd.readouterr().err


def test_a_restart_goes_on(path: Path, fake: FakeProc) -> None:
    """An ended guest keeps its name, also if it ended while no bridge ran."""
    registry = open_registry(path, fake)
    registry.scan()
    fake.end(7)
    registry.refresh()
    assert registry.save()
    fake.end(8)
    again = open_registry(path, fake)
    assert [(g.name, g.ended_realtime_ns is not None) for g in again.guests()] == [
        ("web7", True),
        ("web8", True),
    ]
    assert again.guests()[0] == registry.guests()[0]


def test_another_boot_is_another_world(
    path: Path, fake: FakeProc, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its pids and starts name other processes; that is no fault."""
    path.write_bytes(encode(bytes(16), [replace(GUEST, ended_realtime_ns=None)]))
    registry = open_registry(path, fake)
    assert registry.guests() == []
    assert capfd.readouterr().err == ""
    assert registry.save()
    assert decode("f", path.read_bytes())[0] == boot_id()


def test_only_changes_are_saved(path: Path, fake: FakeProc) -> None:
    """The first registry makes the file; scanning the same again changes nothing."""
    registry = open_registry(path, fake)
    assert [registry.save(), registry.save()] == [True, False]
    registry.scan()
    assert [registry.save(), registry.save()] == [True, False]
    before = path.stat()
    registry.scan()
    registry.refresh()
    assert not registry.save()
    again = open_registry(path, fake)
    assert not again.save()
    assert path.stat().st_ino == before.st_ino


def test_the_file_is_for_root_and_the_group(
    path: Path, fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0640 whatever the umask; and nothing is left beside it."""
    handed: list[str | int] = []
    monkeypatch.setattr(permissions, "hand_to_group", handed.append)
    before = os.umask(0o777)
    try:
        path.with_name("ring.guests.new").write_bytes(b"of a bridge that was killed")
        assert open_registry(path, fake).save()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(handed) == 1
    assert sorted(os.listdir(path.parent)) == ["proc", "ring.guests"]


def test_what_cannot_be_written_is_said_once_and_tried_again(
    path: Path, fake: FakeProc, capfd: pytest.CaptureFixture[str]
) -> None:
    """The bridge runs on without."""
    registry = open_registry(path / "none" / "ring.guests", fake)
    registry.scan()
    assert [registry.save(), registry.save()] == [False, False]
    assert capfd.readouterr().err.count("guests cannot be saved") == 1
    (path / "none").mkdir(parents=True)
    assert registry.save()
    assert len(decode("f", Path(registry.path).read_bytes())[1]) == 2
