# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog guests` over a file of guests, without a bridge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.cli.main import main
from kvmlog.guests.model import Guest, encode
from kvmlog.ring.reader import boot_id
from tests.support import statistics_rows as make

UUID = "6f5c2d10-0f4e-4b0c-9f6b-1f2f3a4b5c6d"
KNOWN = [
    make.named(
        11, "old", ended_realtime_ns=make.SINCE_NS + 5 * make.SECOND, cgroup="/machine.slice"
    ),
    make.named(
        4_242,
        "web1",
        uuid=UUID,
        numbers=((3, 5), (4, 9)),
        first_seen_realtime_ns=make.SINCE_NS,
        pod="0a1b",
        container="c" * 64,
    ),
    Guest(77, 7_700, "kvmlog-guest", "other", "kvmlog-guest:77", False),
]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    yield from make.utc(monkeypatch)


def shown(
    folder: Path, capsys: pytest.CaptureFixture[str], *options: str, known: list[Guest] = KNOWN
) -> tuple[list[str], list[str]]:
    """Lines on stdout and stderr."""
    ring = folder / "ring"
    (folder / "ring.guests").write_bytes(encode(boot_id(), known))
    places = ("--ring", str(ring), "--switch", str(folder / "switch"))
    assert main(["guests", *places, *options]) == 0
    printed = capsys.readouterr()
    return printed.out.splitlines(), printed.err.splitlines()


def test_running_guests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A note says that no bridge is looking for guests; the list is the last one written."""
    out, err = shown(tmp_path, capsys)
    assert out == [
        "NAME                  PID  KIND      UUID                                  STATE    "
        "SINCE                    EXITS  NUMBERS  WHERE",
        f"web1                 4242  qemu      {UUID}  running  "
        "2026-11-20 19:46:02          -  3,4      pod 0a1b container cccccccccccc",
        "kvmlog-guest:77        77  other     -                                     running  "
        "1970-01-01 00:00:00          -  -        -",
    ]
    assert err == [
        f"kvmlog: {tmp_path}/switch: no bridge is running; start it (kvmlog bridge); "
        "these are the guests it knew last",
        "kvmlog: 1 guest that ended: kvmlog guests --all",
    ]


def test_all_guests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that ended have the time of their end."""
    out, err = shown(tmp_path, capsys, "--all")
    assert out[1].split()[:6] == ["old", "11", "qemu", "-", "ended", "2026-11-20"]
    assert out[1].split()[6:] == ["19:46:07", "-", "-", "/machine.slice"]
    assert (len(out), len(err)) == (4, 1)


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object per guest."""
    out, _ = shown(tmp_path, capsys, "--json", "--all")
    ended, running, _ = map(json.loads, out)
    assert (ended["name"], ended["running"], ended["ended"]) == (
        "old",
        False,
        "2026-11-20T19:46:07.000000000+00:00",
    )
    assert running == {
        "name": "web1",
        "named": True,
        "uuid": UUID,
        "pid": 4_242,
        "kind": "qemu",
        "comm": "qemu-system-x86",
        "running": True,
        "since": "2026-11-20T19:46:02.000000000+00:00",
        "ended": None,
        "exits": None,
        "numbers": [3, 4],
        "aliases": [],
        "pod": "0a1b",
        "container": "c" * 64,
        "cgroup": "",
        "start_ticks": 424_200,
        "first_seen_realtime_ns": make.SINCE_NS,
        "ended_realtime_ns": None,
    }


def test_no_guest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence; no table, and nothing in JSON."""
    assert shown(tmp_path, capsys, known=[])[0] == ["no guest runs"]
    assert shown(tmp_path, capsys, "--json", known=[])[0] == []


@pytest.mark.parametrize("options", [(), ("--json",), ("--all",)])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "remove it and restart the bridge"),
        (None, "no bridge has listed guests there; start it (kvmlog bridge) or name its ring"),
    ],
)
def test_what_is_not_known_is_not_called_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    content: str | None,
    why: str,
) -> None:
    """A damaged file, and a missing one: status 1, and the remedy on stderr."""
    if content is not None:
        (tmp_path / "ring.guests").write_text(content)
    places = ("--ring", str(tmp_path / "ring"), "--switch", str(tmp_path / "switch"))
    assert main(["guests", *places, *options]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    no_bridge, unknown = printed.err.splitlines()
    assert no_bridge.endswith("switch: no bridge is running; start it (kvmlog bridge)")
    assert unknown.startswith(f"kvmlog: {tmp_path}/ring.guests: ")
    assert why in unknown
