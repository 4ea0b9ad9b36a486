# SPDX-License-Identifier: GPL-2.0-or-later
"""Polls, parsed and encoded ahead of the callers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvmlog.rpcserver.vms import source
from kvmlog.rpcserver.vms.errors import (
    LateCollectorError,
    NoCollectorError,
    UnusableStatisticsError,
)
from kvmlog.rpcserver.vms.source import Poll, PollSource, require_fresh
from kvmlog.vmstats import file
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot, Vm
from tests.support import vmstats_samples as samples
from tests.support.bridge_process import until


def taken_now(*vms: Vm) -> Snapshot:
    """A snapshot that has just been written."""
    return samples.snapshot(*vms, collector=samples.collector(written=Moment.now()))


def write(path: Path, snapshot: Snapshot) -> None:
    """Put a new file in place, as the collector does."""
    new = path.with_suffix(".new")
    new.write_bytes(file.encode(snapshot))
    new.rename(path)


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Parsing, which waits until this is set."""
    goes_on = threading.Event()
    decode = file.decode

    def wait(path: str, raw: bytes, named_by: str) -> Snapshot:
        goes_on.wait()
        return decode(path, raw, named_by)

    monkeypatch.setattr(file, "decode", wait)
    yield goes_on
    goes_on.set()


def test_while_the_next_poll_is_parsed_callers_get_the_one_before(
    tmp_path: Path, parsing: threading.Event
) -> None:
    """Nobody waits for it, and then all get it."""
    path = tmp_path / "vms"
    write(path, taken_now(samples.vm()))
    parsing.set()
    polls = PollSource(str(path))
    first = polls.newest()
    assert polls.newest() is first
    parsing.clear()
    write(path, taken_now(samples.vm(), samples.off_vm()))
    assert [polls.newest() is first for _ in range(3)] == [True] * 3
    parsing.set()
    until(lambda: polls.newest() is not first)
    assert len(polls.newest().snapshot.vms) == 2


def test_a_poll_that_is_overdue_is_given_to_nobody(tmp_path: Path) -> None:
    """Whoever calls first after an hour waits for the newest."""
    path = tmp_path / "vms"
    write(path, samples.snapshot())  # taken long ago
    polls = PollSource(str(path))
    assert len(polls.newest().snapshot.vms) == 2
    write(path, samples.snapshot(samples.vm()))
    assert len(polls.newest().snapshot.vms) == 1


def test_what_was_asked_for_is_encoded_ahead(tmp_path: Path) -> None:
    """Those VMs that callers had, and no others; each once."""
    made: list[str] = []

    def encoder(vm: Vm, _until: Moment) -> bytes:
        made.append(vm.sample.name)
        return vm.sample.name.encode()

    poll = Poll(taken_now())
    assert poll.encoded("names", encoder, list(poll.snapshot.vms[:1])) == [b"web1"]
    assert poll.encoded("names", encoder, list(poll.snapshot.vms[:1])) == [b"web1"]
    assert made == ["web1"]
    path = tmp_path / "vms"
    write(path, taken_now())
    following = Poll(file.decode(str(path), path.read_bytes()))
    following.encode_as(poll)
    assert made == ["web1"] * 2
    assert following.encoded("names", encoder, list(following.snapshot.vms)) == [b"web1", b"db1"]
    assert made == ["web1", "web1", "db1"]


def test_what_nobody_asks_for_any_more_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking counts, being made ready does not: otherwise it would be made for ever."""
    made: list[str] = []

    def encoder(vm: Vm, _until: Moment) -> bytes:
        made.append(vm.sample.name)
        return b"x"

    first, second, third = (Poll(taken_now(samples.vm())) for _ in range(3))
    first.encoded("names", encoder, list(first.snapshot.vms))
    second.encode_as(first)
    assert len(made) == 2
    monkeypatch.setattr(source, "_KEPT_S", 0.0)
    third.encode_as(second)
    assert len(made) == 2


def test_the_next_poll_is_read_ahead_while_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for it; without callers nothing is read, and nothing kept."""
    monkeypatch.setattr(source, "_AHEAD_S", 0.0)
    path = tmp_path / "vms"
    write(path, taken_now(samples.vm()))
    polls = PollSource(str(path))
    polls.look()
    assert (polls._newest, polls._reading) == (None, None)
    first = polls.newest()
    write(path, taken_now(samples.vm(), samples.off_vm()))

    def changed() -> bool:
        polls.look()
        return polls._newest is not first

    until(changed)
    newest = polls._newest
    assert newest is not None
    assert len(newest.snapshot.vms) == 2
    monkeypatch.setattr(source, "_KEPT_S", 0.0)
    polls.look()
    assert polls._newest is None


def test_encodings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number and bytes are; what is not kept is made again."""
    monkeypatch.setattr(source, "_ENCODED_BYTES", 6)
    poll = Poll(taken_now())
    made: list[int] = []

    def encoder(vm: Vm, _until: Moment) -> bytes:
        made.append(id(vm))
        return b"four"

    vms = list(poll.snapshot.vms)
    assert poll.encoded("a", encoder, vms) == [b"four"] * 2
    assert poll.encoded("a", encoder, vms) == [b"four"] * 2
    assert made == [id(vms[0]), id(vms[1]), id(vms[1])]
    for kind in range(source._MOST_KINDS):
        poll.encoded(kind, encoder, vms[:1])
    assert len(poll._kinds) == source._MOST_KINDS
    assert poll._bytes == 4


def test_without_a_file_and_with_a_foreign_one(tmp_path: Path) -> None:
    """A sentence each; once the collector has written, all is well."""
    path = tmp_path / "vms"
    polls = PollSource(str(path))
    with pytest.raises(NoCollectorError, match="start the collector"):
        polls.newest()
    path.write_text('{"format": "other"}', encoding="ascii")
    with pytest.raises(UnusableStatisticsError, match="its format is not"):
        polls.newest()
    write(path, taken_now())
    assert len(polls.newest().snapshot.vms) == 2
    path.unlink()
    with pytest.raises(NoCollectorError):
        until(lambda: polls.newest() is None)


def test_a_late_collector_is_told() -> None:
    """Where a document has no place to say so."""
    require_fresh(taken_now())
    late = samples.collector(written=replace(Moment.now(), monotonic_ns=0), interval_s=1.0)
    with pytest.raises(LateCollectorError, match=r"^these figures are \d+ s old: the collector"):
        require_fresh(samples.snapshot(collector=late))
