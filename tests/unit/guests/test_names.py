# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as readers see them: by the number of a record, by process, by word."""

from __future__ import annotations

import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kvmlog.guests import names as names_module
from kvmlog.guests.model import FILE_BYTES, Guest, encode
from kvmlog.guests.names import GuestError, GuestNames

S = 10**9
TICK_NS = S // os.sysconf("SC_CLK_TCK")
UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
OLD = Guest(7, 500, "qemu", "qemu", "old", True, numbers=((1, 100 * S), (2, 150 * S)))
NEW = Guest(8, 600, "qemu", "qemu", "new", True, uuid=UUID, numbers=((1, 200 * S),))
NEITHER = Guest(9, 0, "x", "other", "x:9", False, ended_realtime_ns=1)


@pytest.fixture
def ring(tmp_path: Path) -> str:
    """Return the path of a ring with guests."""
    put(str(tmp_path / "ring"), OLD, NEW, NEITHER)
    return str(tmp_path / "ring")


def put(ring: str, *guests: Guest) -> None:
    """Replace the file, as the bridge does."""
    fresh = Path(f"{ring}.guests.new")
    fresh.write_bytes(encode(bytes(16), guests))
    fresh.rename(f"{ring}.guests")


@pytest.mark.parametrize(
    ("number", "ns", "name"),
    [
        (1, 100 * S, "old"),
        (1, 99 * S, "old"),
        (1, 99 * S - 1, None),
        (1, 199 * S, "old"),
        # Another CPU's clock was read a moment earlier, not half a second.
        (1, 200 * S - 1000, "new"),
        (1, 200 * S - S // 2, "old"),
        (1, 200 * S, "new"),
        (1, 10**6 * S, "new"),
        (2, 149 * S, "old"),
        (2, 10**6 * S, "old"),
        (3, 200 * S, None),
        (0, 200 * S, None),
    ],
)
def test_a_number_is_its_last_owners(ring: str, number: int, ns: int, name: str | None) -> None:
    """Numbers begin again with each load of the source; nobody gets what is older."""
    guest = GuestNames(ring).of_number(number, ns)
    assert (guest and guest.name) == name


def test_a_process_is_known_by_pid_and_start(ring: str) -> None:
    """Any ns of the start's tick; without a start it is nobody."""
    names = GuestNames(ring)
    assert names.of_process(7, 500 * TICK_NS) == OLD
    assert names.of_process(7, 501 * TICK_NS - 1) == OLD
    assert names.of_process(7, 501 * TICK_NS) is None
    assert names.of_process(8, 500 * TICK_NS) is None
    assert names.of_process(9, 0) is None


def test_words_match_running_and_ended(ring: str) -> None:
    """Each guest once, in the order of the words."""
    names = GuestNames(ring)
    assert names.matching(["x:9", UUID.upper(), "old", "7", "9"]) == [NEITHER, NEW, OLD]
    assert names.guests() == [OLD, NEW, NEITHER]
    assert names.matching([]) == []


def test_a_word_that_matches_none_lists_those_known(ring: str) -> None:
    """The message lists the known guests; the words that match give no partial result."""
    with pytest.raises(GuestError) as caught:
        GuestNames(ring).matching(["old", "web9"])
    assert str(caught.value) == (
        "no known guest has the name, UUID or pid 'web9'; "
        "name one of: old (pid 7), new (pid 8), x:9 (pid 9)"
    )


def test_a_missing_file_has_no_guests(tmp_path: Path) -> None:
    """The bridge has not written one, or is an older one."""
    names = GuestNames(str(tmp_path / "ring"))
    assert (names.guests(), names.problem, names.reload()) == ([], None, False)
    with pytest.raises(GuestError, match="there is no known guest at all"):
        names.matching(["web1"])


def test_another_file_is_read_and_the_same_is_not(ring: str) -> None:
    """Whenever the bridge has put a new one, and when there is none any more."""
    names = GuestNames(ring)
    assert not names.reload()
    put(ring, replace(NEW, numbers=((5, 1),)))
    assert [names.reload(), names.reload()] == [True, False]
    assert [guest.name for guest in names.guests()] == ["new"]
    assert names.of_number(1, 200 * S) is None
    assert names.of_number(5, 1) == names.guests()[0]
    Path(f"{ring}.guests").unlink()
    assert [names.reload(), names.reload()] == [True, False]
    assert names.guests() == []


def test_a_file_of_no_use_is_told_and_stands_in_nobodys_way(ring: str) -> None:
    """Records can be shown without names."""
    names = GuestNames(ring)
    Path(f"{ring}.guests").write_bytes(b"garbage")
    assert names.reload()
    assert names.guests() == []
    assert names.problem == (
        f"{ring}.guests: no file of guests, or a damaged one (no JSON); "
        "check --ring, and if it is the bridge's, remove it and restart the bridge"
    )
    with pytest.raises(GuestError, match=r"no known guest .* \(.*damaged one"):
        names.matching(["old"])
    put(ring, OLD)
    assert names.reload()
    assert names.guests() == [OLD]
    assert not names.problem


def test_all_readers_of_a_process_share_what_was_read(ring: str) -> None:
    """Each guest is one object for all of them, in all threads: it was parsed once."""
    found: list[list[Guest]] = []
    threads = [
        threading.Thread(target=lambda: found.append(GuestNames(ring).guests())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert {id(guest) for guests in found for guest in guests} == set(map(id, found[0]))


def test_of_a_changed_file_only_what_is_new_is_parsed(ring: str) -> None:
    """The guests that are as they were are the same objects; those that left are forgotten."""
    before = GuestNames(ring)
    ended = replace(OLD, ended_realtime_ns=5)
    put(ring, NEITHER, NEW, ended)
    after = GuestNames(ring)
    assert after.guests() == [NEITHER, NEW, ended]
    kept = {guest.pid: guest for guest in before.guests()}
    assert [guest is kept[guest.pid] for guest in after.guests()] == [True, True, False]
    assert before.guests() == [OLD, NEW, NEITHER]
    assert before.reload()
    assert before.guests() == after.guests()


def test_a_damaged_line_spoils_neither_what_was_nor_what_comes(ring: str) -> None:
    """The file is refused as a whole, as long as it is damaged."""
    names = GuestNames(ring)
    raw = Path(f"{ring}.guests").read_bytes()
    for damaged in (
        raw.replace(b'"new"', b'"n\nw"'),
        raw.replace(b"},\n{", b"},\n,{"),
        raw.replace(b"\n]}", b",\n]}"),
        raw.replace(b'"kind"', b'"kin"', 1),
        raw.replace(b'"aliases":[]', b'"aliases":' + b"[" * 100_000),
    ):
        assert damaged != raw
        Path(f"{ring}.guests").write_bytes(damaged)
        assert names.reload()
        assert (names.guests(), bool(names.problem)) == ([], True)
        Path(f"{ring}.guests").write_bytes(raw)
        assert names.reload()
        assert names.guests() == [OLD, NEW, NEITHER]


def test_any_json_of_the_same_meaning_is_read(ring: str) -> None:
    """Also without line breaks and generation, as an earlier bridge wrote it."""
    path = Path(f"{ring}.guests")
    whole = json.loads(path.read_bytes())
    del whole["generation"]
    path.write_text(json.dumps(whole, indent=1))
    assert GuestNames(ring).guests() == [OLD, NEW, NEITHER]
    path.write_bytes(encode(bytes(16), []))
    assert GuestNames(ring).guests() == []


def test_a_file_that_differs_in_its_generation_alone_is_read_again(
    ring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inode may be given again within a tick of the clock that times files."""
    names = GuestNames(ring)
    same = os.stat_result((stat.S_IFREG, *(0,) * 5, 1 << 16, *(0,) * 3))  # of 64 KiB
    monkeypatch.setattr(os, "fstat", lambda _: same)
    assert names.reload()
    assert not names.reload()
    Path(f"{ring}.guests").write_bytes(encode(bytes(16), (NEW,), 2**64 - 1))
    assert names.reload()
    assert names.guests() == [NEW]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fifo", "is no regular file, no file of guests; name the bridge's ring"),
        ("folder", "is a directory, no file of guests; name the bridge's ring"),
        ("huge", "no file of guests, or a damaged one"),
    ],
)
def test_what_is_no_file_of_guests_is_told(tmp_path: Path, kind: str, words: str) -> None:
    """A pipe, a folder, a file of any size: a sentence, and nobody waits."""
    path = tmp_path / "ring.guests"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, FILE_BYTES + 1)
    names = GuestNames(str(tmp_path / "ring"))
    assert names.guests() == []
    assert (names.problem or "").startswith(f"{path}: {words}")
    assert not names.reload()


def test_a_process_remembers_a_few_files(tmp_path: Path) -> None:
    """Tests and tools may read many rings; a server reads one."""
    before = GuestNames(str(tmp_path / "first"))
    for number in range(20):
        GuestNames(str(tmp_path / f"ring{number}"))
    assert len(names_module._files) <= names_module._FILES_MOST
    put(str(tmp_path / "first"), OLD)
    assert before.reload()
    assert before.guests() == [OLD]
