# SPDX-License-Identifier: GPL-2.0-or-later
"""Ticks: what the sources tell is in the file, also where that cannot be written for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.history import recorder as recorders
from kvmlog.history.model import Binary, ChangeKind
from kvmlog.history.protocol import Beat, Consumed, ServiceUpdate, Update
from kvmlog.history.recorder import Recorder, Settings
from kvmlog.history.retention import Limits
from kvmlog.util.errors import HistoryError
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.events import Kind, Occurrence, path_of
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.writer import SnapshotWriter
from tests.support import vmstats_samples as samples
from tests.support.history_book import BOOT, IDENTITY, UUID, Book

LIMITS = Limits(30, 1 << 30)


@pytest.fixture
def collected(tmp_path: Path) -> Iterator[EventLog]:
    """The collector's events."""
    with EventLog(path_of(str(tmp_path / "vms.json")), BOOT) as made:
        yield made


@pytest.fixture
def recorder(tmp_path: Path, book: Book) -> Iterator[Recorder]:
    """The history of a host without a bridge."""
    settings = Settings(
        ring=str(tmp_path / "ring"),
        switch=str(tmp_path / "switch"),
        vmstats=str(tmp_path / "vms.json"),
        zone="nova",
        host_uuid=IDENTITY.host_uuid,
        boot_id=BOOT,
    )
    with Recorder(settings, book.store, LIMITS) as made:
        yield made


def happen(collected: EventLog, kind: Kind, detail: str) -> None:
    """Have something happen to the VM."""
    collected.note(Occurrence(Moment.now(), samples.URI, kind, UUID, "web1", detail))
    collected.handle()


def write_samples(tmp_path: Path, boot_id: str) -> None:
    """Write a poll of now, with web1."""
    now = Moment.now()
    collector = samples.collector(written=now)
    made = samples.snapshot(samples.vm(taken=now, started=now), collector=collector)
    with SnapshotWriter(str(tmp_path / "vms.json")) as writer:
        writer.write(made.__class__(boot_id, made.collector, made.hosts, made.vms))


def test_events_are_written_at_once(book: Book, recorder: Recorder, collected: EventLog) -> None:
    """Not only with the next sample; an idle tick writes nothing."""
    recorder.tick()
    happen(collected, Kind.DEFINED, "added")
    recorder.tick()
    assert book.names() == ["create"]
    before = book.reader.status()
    recorder.tick()
    assert book.reader.status() == before


def test_a_file_that_cannot_be_written(
    book: Book, recorder: Recorder, collected: EventLog, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, in the log and in the state; what came meanwhile is written later, once."""
    recorder.tick()
    connection = book.store._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    happen(collected, Kind.DEFINED, "added")
    recorder.tick()
    happen(collected, Kind.STARTED, "booted")
    recorder.tick()
    assert "it is read-only" in recorder.state
    assert "it is read-only" in capsys.readouterr().err
    with pytest.raises(HistoryError, match="it is read-only"):
        recorder.carry_out(Consumed("webhook", 1))
    connection.execute("PRAGMA query_only = OFF")
    recorder.tick()
    assert (book.names(), book.reader.status().lost_events) == (["create", "start"], 0)
    assert recorder.state == f"keeping what happens in {book.path}"


def test_samples_are_taken_once_settled(
    book: Book,
    recorder: Recorder,
    collected: EventLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two seconds after they were written: then all events of their time are there."""
    write_samples(tmp_path, BOOT)
    recorder.tick()
    assert book.reader.lives() == ()
    monkeypatch.setattr(recorders, "_SETTLED_S", 0.0)
    recorder.tick()
    assert [life.name for life in book.reader.lives()] == ["web1"]
    # A file of before the host's start.
    write_samples(tmp_path, "another boot")
    recorder.tick()
    assert len(book.reader.lives()) == 1


def test_files_that_cannot_be_used(
    book: Book, recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Are told once, in log, state and file, until they can."""
    (tmp_path / "vms.json").write_text("{}")
    (tmp_path / "vms.json.events").write_text("{}\n")
    for _ in range(3):
        recorder.tick()
    said = capsys.readouterr().err.splitlines()
    assert [line.count("restart the collector") for line in said] == [1, 1]
    assert recorder.state in said[0]
    assert book.reader.status().warning == recorder.state
    write_samples(tmp_path, BOOT)
    (tmp_path / "vms.json.events").unlink()
    with EventLog(path_of(str(tmp_path / "vms.json")), BOOT):
        recorder.tick()
    assert recorder.state.startswith("keeping")


def test_heartbeats(
    book: Book, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own, the collector's by its file; one that falls silent is told to be down, once."""
    write_samples(tmp_path, BOOT)
    recorder.tick()
    monkeypatch.setattr(recorder, "_beat_due", 0.0)
    recorder.tick()
    assert [one.binary for one in book.reader.services()] == [Binary.VMSTATS, Binary.HISTORY]
    own = book.reader.services()[1]
    assert (own.host, own.zone, own.report_count) == ("host1", "nova", 2)
    recorder.carry_out(Beat(Binary.METRICS, "a detail"))
    (metrics,) = book.reader.services(binary=Binary.METRICS)
    assert (metrics.detail, metrics.report_count) == ("a detail", 1)
    seen = metrics.last_seen.monotonic_ns - 61 * 10**9
    with book.store.transaction(own.last_seen) as transaction:
        transaction.execute(
            "UPDATE service SET seen_mono = ? WHERE binary = ?", [seen, Binary.METRICS]
        )
    for _ in range(2):
        monkeypatch.setattr(recorder, "_beat_due", 0.0)
        recorder.tick()
    recorder.carry_out(Beat(Binary.METRICS, None))
    monkeypatch.setattr(recorder, "_beat_due", 0.0)
    recorder.tick()
    told = [
        one.body["what"]
        for one in book.reader.changes(0)
        if one.kind is ChangeKind.SERVICE and one.body["binary"] == Binary.METRICS
    ]
    assert told == ["up", "down", "up"]


def test_ids_of_services_last(book: Book, recorder: Recorder) -> None:
    """They are made of the host's: a file that is begun anew has the same."""
    recorder.tick()
    (before,) = book.reader.services()
    Path(book.path).rename(f"{book.path}.old")
    recorder.carry_out(Beat(Binary.RPC, None))
    recorder.carry_out(Consumed("webhook", 7))
    recorder._beat_due = 0.0
    recorder.tick()
    (after,) = book.reader.services(binary=Binary.HISTORY)
    assert (after.uuid, after.report_count) == (before.uuid, 1)
    assert book.reader.cursor("webhook") == 7
    assert book.reader.cursor("other") is None


def test_updates(book: Book, recorder: Recorder) -> None:
    """What is set is there, and told."""
    recorder.tick()
    recorder.carry_out(
        ServiceUpdate(Binary.HISTORY, Update(enabled=False, disabled_reason="moving"))
    )
    (own,) = book.reader.services()
    assert (own.enabled, own.disabled_reason) == (False, "moving")
    entry = book.reader.changes(0)[-1]
    assert entry.body == {
        "what": "updated",
        "binary": "kvmlog-history",
        "enabled": False,
        "disabled_reason": "moving",
    }
