# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog events`, `services` and `usage`, of a real file."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.cli.main import main
from kvmlog.history import services
from kvmlog.history.model import Binary
from kvmlog.history.protocol import Update
from kvmlog.vmstats.events import Kind
from tests.support.history_book import IDENTITY, UUID, Book
from tests.support.vmstats_samples import instance


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    """web1 started, was paused and met a full disk; times are UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with Book(tmp_path) as made:
        made.started()
        made.poll(5, made.sample(5))
        made.tell(10, Kind.SUSPENDED, "paused")
        facts = {"alias": "virtio-disk0", "path": "/a", "action": "pause"}
        made.tell(11, Kind.IO_ERROR, "enospc", **facts)
        made.tell(11.1, Kind.IO_ERROR, "enospc", **facts)
        with made.store.transaction(made.stamp(12)) as transaction:
            for binary in (Binary.VMSTATS, Binary.RPC):
                services.beat(transaction, binary, "nova", IDENTITY.host_uuid, made.stamp(12))
            services.update(transaction, Binary.RPC, Update(False, "new disks", True))
        yield made
    monkeypatch.undo()
    time.tzset()


def shown(capsys: pytest.CaptureFixture[str], book: Book, *words: str, status: int = 0) -> str:
    """What a command prints."""
    assert main([*words, "--history-file", book.path]) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


def test_events_are_actions_and_faults_in_their_order(
    capsys: pytest.CaptureFixture[str], book: Book
) -> None:
    """The newest last; what was told, and how it became known."""
    lines = shown(capsys, book, "events").splitlines()
    assert lines[0].split() == ["TIME", "VM", "EVENT", "RESULT", "SEEN", "DETAIL"]
    assert [line.split()[:6] for line in lines[1:]] == [
        ["2026-11-20", "19:46:03", "web1", "create", "-", "event"],
        ["2026-11-20", "19:46:04", "web1", "start", "-", "event"],
        ["2026-11-20", "19:46:12", "web1", "pause", "-", "event"],
        ["2026-11-20", "19:46:13", "web1", "io-error", "fault", "event"],
    ]
    assert lines[-1].endswith("I/O error of virtio-disk0 (enospc): the guest is paused (2 times)")


@pytest.mark.parametrize("words", [("--vm", "web1"), ("--vm", UUID.upper())])
def test_events_of_one_vm(
    capsys: pytest.CaptureFixture[str], book: Book, words: tuple[str, ...]
) -> None:
    """Name and UUID find it; JSON and CSV have the same."""
    lines = shown(capsys, book, "events", *words, "--json", "-n", "2").splitlines()
    found = [json.loads(line) for line in lines]
    assert [(one["event"], one["kind"], one["failed"]) for one in found] == [
        ("start", "action", False),
        ("pause", "action", False),
        ("io-error", "fault", True),
    ]
    assert {one["uuid"] for one in found} == {UUID}
    text = shown(capsys, book, "events", *words, "--csv", "-n", "2")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["time"] for row in rows] == [one["time"] for one in found]


def test_events_since(capsys: pytest.CaptureFixture[str], book: Book) -> None:
    """Then or later; without any there is a sentence."""
    lines = shown(capsys, book, "events", "--since", "2026-11-20T19:46:12").splitlines()
    assert len(lines) == 1 + 2
    assert shown(capsys, book, "events", "--since", "2026-11-21") == "nothing has happened\n"


def test_services_are_shown_with_what_is_set(
    capsys: pytest.CaptureFixture[str], book: Book
) -> None:
    """A reason, and that one was forced down."""
    rpc, vmstats = shown(capsys, book, "services").splitlines()[1:]
    assert rpc.split()[:3] == ["kvmlog-rpc", "down", "disabled"]
    assert rpc.endswith("new disks; forced down")
    assert vmstats.split()[:3] == ["kvmlog-vmstats", "down", "enabled"]
    (one, _) = shown(capsys, book, "services", "--json").splitlines()
    assert json.loads(one)["forced_down"] is True


def test_usage_of_owners_and_of_vms(capsys: pytest.CaptureFixture[str], book: Book) -> None:
    """2 CPUs and 4 GiB of web1's flavor, for the hour that is asked for."""
    period = ("usage", "--since", "2026-11-20T20:00", "--until", "2026-11-20T21:00")
    head, _, row = shown(capsys, book, *period).splitlines()
    assert head == (
        "2026-11-20 20:00:00 to 2026-11-20 21:00:00; observed since 2026-11-20 19:46:02"
    )
    assert row.split() == [instance().project_id, "1", "1.00", "2.00", "4096", "47.00"]
    row = shown(capsys, book, *period, "--vms").splitlines()[2]
    assert row.split()[1:7] == ["web1", "paused", "2", "4096", "47", "1.00"]
    (line,) = csv.DictReader(io.StringIO(shown(capsys, book, *period, "--csv")))
    assert (line["name"], line["hours"], line["flavor"]) == ("web1", "1.0", "m1.medium")
    whole = json.loads(shown(capsys, book, *period, "--json", "--project", "other"))
    assert whole["tenant_usages"] == []
    nothing = shown(capsys, book, *period, "--project", "other")
    assert nothing == "nothing was used; observed since 2026-11-20 19:46:02\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("events", "--vm", "web9"), "no VM of the name or UUID 'web9' has been seen"),
        (("usage", "--since", "2026-12-02", "--until", "2026-12-01"), "the start is not before"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(
    capsys: pytest.CaptureFixture[str], book: Book, words: tuple[str, ...], sentence: str
) -> None:
    """The status is 1, the sentence on stderr."""
    assert sentence in shown(capsys, book, *words, status=1)


@pytest.mark.parametrize("command", ["events", "services", "usage"])
def test_without_a_history(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    """What to start."""
    path = str(tmp_path / "none")
    assert main([command, "--history-file", path]) == 1
    said = capsys.readouterr().err
    assert said == f"kvmlog: {path}: there is no history; start it (kvmlog history)\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("events", "--since", "soon"), "'soon' is no time; give how long ago, as in 30m"),
        (("events", "--since", "99999999d"), "is no time"),
        (("events", "--since", "9999999d"), "is no time"),
        (("events", "-n", "0"), "'0': give a whole number from 1 to 1000"),
        (("events", "-n", "1001"), "give a whole number from 1 to 1000"),
        (("usage", "--json", "--csv"), "not allowed with argument --json"),
        (("remote", "h", "services", "--reason", "x"), "--reason without --disable; give both"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    """Status 2, and what to give."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
