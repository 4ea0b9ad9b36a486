# SPDX-License-Identifier: GPL-2.0-or-later
"""Files removed, replaced or damaged under a live bridge."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvmlog.control.client import SwitchClient
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.reader import StatisticsReader
from tests.support.bridge_process import (
    HANG_S,
    KVMLOG,
    Bridge,
    kvmlog,
    options,
    running_bridge,
    until,
)
from tests.support.users import NOBODY, as_root

# Status over UDP: the local socket may be what is missing.
PLAIN = ("--udp-plain", "owner")
FILES = ("ring", "ring.statistics", "ring.guests", "ring.lock", "switch")


def status(bridge: Bridge) -> dict[str, Any]:
    """Return the status answer."""
    answer: dict[str, Any] = json.loads(bridge.ask(b"status").removeprefix(b"ok status "))
    return answer


def header_state(fd: int) -> int:
    """Return the state in the header of an open ring."""
    at = ffi.offsetof("struct kvmlog_ring_header", "state")
    return int.from_bytes(os.pread(fd, 4, at), "little")


def swap_for_copy(path: Path) -> None:
    """Put a copy in the file's place, as an editor or a backup does."""
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.rename(path)


def test_what_was_removed_is_made_anew(tmp_path: Path) -> None:
    """All five names at once; the readers of the old ring are told, and its id goes on."""
    with running_bridge(tmp_path, *PLAIN) as bridge:
        inodes = {name: (tmp_path / name).stat().st_ino for name in FILES}
        old = os.open(bridge.ring, os.O_RDONLY)
        with RingReader(bridge.ring) as reader, StatisticsReader(f"{bridge.ring}.statistics") as on:
            before = reader.info()
            counted = on.snapshot().statistics_id
            for name in FILES:
                (tmp_path / name).unlink()
            until(lambda: all((tmp_path / name).exists() for name in FILES))
            until(lambda: header_state(old) == lib.KVMLOG_RING_REPLACED)
            after = reader.info()
            assert (after.ring_id, after.state) == (before.ring_id, "running")
            assert on.snapshot().statistics_id == counted
        os.close(old)
        assert status(bridge)["files"] == []
        assert SwitchClient(str(bridge.switch)).status()["pid"] == bridge.process.pid
        ended, told = bridge.stop()
        assert ended == 0
    for name in ("ring", "ring.statistics", "ring.lock", "switch"):
        assert f"{tmp_path / name}: " in told
    assert inodes != {}
    assert "Traceback" not in told


def test_a_removed_folder_is_made_anew(tmp_path: Path) -> None:
    """The sibling: not the files but what they stand in."""
    folder = tmp_path / "run"
    with running_bridge(folder) as bridge:
        shutil.rmtree(folder)
        until(lambda: all((folder / name).exists() for name in FILES))
        with RingReader(bridge.ring) as reader:
            assert reader.info().writer_alive
        assert bridge.stop()[0] == 0


@pytest.mark.parametrize("name", ["ring", "ring.statistics", "ring.guests", "ring.lock"])
def test_a_copy_in_its_place_is_replaced(tmp_path: Path, name: str) -> None:
    """Else what is written from there on would be in a file without a name."""
    with running_bridge(tmp_path, *PLAIN) as bridge:
        swap_for_copy(tmp_path / name)
        planted = (tmp_path / name).stat().st_ino
        if name == "ring.lock":
            # It is taken over: what counts is that it is locked.
            until(lambda: second_bridge_is_refused(tmp_path))
        else:
            until(lambda: (tmp_path / name).stat().st_ino != planted)
        assert status(bridge)["files"] == []
        assert bridge.stop()[0] == 0


def second_bridge_is_refused(folder: Path) -> bool:
    """Return whether another bridge on this ring does not start, because it is written."""
    return "writes this ring already" in kvmlog("bridge", *options(folder)).stderr


def test_two_bridges_never_write_one_ring(tmp_path: Path) -> None:
    """Not even where the lock file was removed a moment ago."""
    with running_bridge(tmp_path, *PLAIN) as bridge:
        for _ in range(5):
            (tmp_path / "ring.lock").unlink(missing_ok=True)
            assert second_bridge_is_refused(tmp_path)
        until(lambda: not status(bridge)["files"])
        assert bridge.stop()[0] == 0


def another_file(path: Path) -> None:
    """Put a file of ours that is none of kvmlog's there."""
    path.unlink()
    path.write_bytes(b"payroll")


def anothers_file(path: Path) -> None:
    """Put somebody else's file there."""
    another_file(path)
    os.chown(path, NOBODY, NOBODY)


def anothers_socket(path: Path) -> None:
    """Put somebody else's socket there."""
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(path))
    os.chown(path, NOBODY, NOBODY)


@as_root
@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("ring", another_file),
        ("ring", anothers_file),
        ("ring.statistics", another_file),
        ("ring.statistics", anothers_file),
        ("ring.guests", anothers_file),
        ("ring.lock", another_file),
        ("ring.lock", anothers_file),
        ("switch", another_file),
        ("switch", anothers_socket),
    ],
)
def test_what_is_foreign_is_told_and_left_until_it_goes(
    tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    """A sentence in the status and in the log; when it is removed, ours is back."""
    path = tmp_path / name
    with running_bridge(tmp_path, *PLAIN) as bridge:
        put(path)
        foreign = path.stat().st_ino
        until(lambda: bool(status(bridge)["files"]))
        (sentence,) = status(bridge)["files"]
        assert sentence.startswith(f"{path}: ")
        assert path.stat().st_ino == foreign
        path.unlink()
        until(lambda: not status(bridge)["files"] and path.exists())
        ended, told = bridge.stop()
    assert ended == 0
    assert told.count(sentence) == 1


def test_a_ring_cut_short_ends_the_bridge_in_a_sentence(tmp_path: Path) -> None:
    """SIGBUS becomes an exit status that restarts the unit, which makes a new ring."""
    for name in ("ring", "ring.statistics"):
        with running_bridge(tmp_path, *PLAIN) as bridge:
            os.truncate(tmp_path / name, 0)
            _, told = bridge.process.communicate(timeout=HANG_S)
            assert bridge.process.returncode == lib.KVMLOG_EXIT_FILE_CUT
            assert f"kvmlog bridge: {tmp_path / name}: was cut short" in told
    with running_bridge(tmp_path, *PLAIN) as bridge:
        with RingReader(bridge.ring) as reader:
            assert reader.info().writer_alive
        assert bridge.stop()[0] == 0


@pytest.mark.parametrize("name", ["ring", "ring.statistics"])
def test_a_scribbled_header_ends_the_bridge_in_a_sentence(tmp_path: Path, name: str) -> None:
    """And the next one begins anew."""
    with running_bridge(tmp_path, *PLAIN) as bridge:
        with (tmp_path / name).open("r+b") as file:
            file.write(b"\xff" * 64)
        _, told = bridge.process.communicate(timeout=HANG_S)
        assert bridge.process.returncode == 1
        assert f"{tmp_path / name}: somebody else wrote into" in told
        assert "Traceback" not in told
    with running_bridge(tmp_path, *PLAIN) as bridge:
        assert bridge.stop()[0] == 0


def test_after_a_kill_no_command_says_running(tmp_path: Path) -> None:
    """Status, its JSON and the reader: the writer is gone."""
    with running_bridge(tmp_path, *PLAIN) as bridge:
        bridge.process.kill()
        bridge.process.wait()
    said = kvmlog("status", "--ring", str(tmp_path / "ring"), "--switch", str(tmp_path / "switch"))
    assert f"{tmp_path / 'ring'}, abandoned" in said.stdout
    assert ", running" not in said.stdout
    with RingReader(tmp_path / "ring") as reader:
        assert (reader.info().state, reader.info().writer_alive) == ("abandoned", False)


def test_tail_goes_on_where_a_copy_was_in_between(tmp_path: Path) -> None:
    """It neither ends nor repeats what it has shown."""
    with running_bridge(tmp_path, *PLAIN) as bridge:
        command = ["tail", "-n", "5", "--ring", str(bridge.ring)]
        with subprocess.Popen(
            [*KVMLOG, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as tail:
            assert tail.stdout is not None
            assert tail.stdout.readline()
            swap_for_copy(bridge.ring)
            planted = bridge.ring.stat().st_ino
            until(lambda: bridge.ring.stat().st_ino != planted)
            assert tail.poll() is None
            tail.terminate()
            rest, told = tail.communicate(timeout=HANG_S)
        assert (rest, told) == ("", "")
        assert bridge.stop()[0] == 0
