# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that another user planted where the bridge has its own: refused, each in a sentence."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.util.errors import SwitchError
from tests.support import forking
from tests.support.bridge_process import kvmlog, options, running_bridge
from tests.support.users import NOBODY, as_root

FILES = ("ring", "ring.statistics", "ring.guests", "ring.lock")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like /tmp, with the files of a bridge that has ended."""
    found = tmp_path / "sticky"
    found.mkdir()
    found.chmod(0o1777)
    with running_bridge(found) as bridge:
        assert bridge.stop()[0] == 0
    return found


def refusal(folder: Path, *extra: str) -> str:
    """Return the sentence of a bridge that does not start."""
    done = kvmlog("bridge", *options(folder), *extra)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def give_away(path: Path) -> None:
    """Make it another user's."""
    os.chown(path, NOBODY, NOBODY)


def open_to_all(path: Path) -> None:
    """Let everybody write it."""
    path.chmod(0o666)


def link(path: Path) -> None:
    """Give it a second name, as a planted hard link has."""
    os.link(path, path.with_name(f"{path.name}.kept"))


def lead_elsewhere(path: Path) -> None:
    """Put a symbolic link in its place."""
    path.rename(path.with_name(f"{path.name}.kept"))
    path.symlink_to(path.with_name(f"{path.name}.kept"))


@as_root
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (give_away, f"belongs to nobody (uid {NOBODY})"),
        (open_to_all, "has mode 0666 (owner root (uid 0))"),
        (link, "has 2 hard links"),
        (lead_elsewhere, "it is a symbolic link"),
    ],
)
def test_no_planted_file_is_taken_over(
    folder: Path, name: str, plant: Callable[[Path], None], words: str
) -> None:
    """Path, what was found and the remedy are told; the file stays as it is."""
    path = folder / name
    plant(path)
    before = (path.lstat().st_ino, path.lstat().st_uid, path.read_bytes())
    told = refusal(folder)
    assert f"{path}: " in told
    assert words in told
    assert "choose another place (--ring)" in told
    assert before == (path.lstat().st_ino, path.lstat().st_uid, path.read_bytes())


def test_a_lock_file_that_is_none_keeps_its_content(folder: Path) -> None:
    """A wrong --ring destroys nothing."""
    (folder / "ring.lock").write_bytes(b"payroll")
    assert "holds something else (it begins b'payroll'" in refusal(folder)
    assert (folder / "ring.lock").read_bytes() == b"payroll"


@as_root
def test_links_at_the_names_of_temporaries_are_not_followed(folder: Path) -> None:
    """They are removed: nobody else's file is written."""
    victim = folder / "victim"
    victim.write_bytes(b"kept")
    for name in ("ring", "ring.statistics", "ring.guests"):
        (folder / name).unlink()
        (folder / f"{name}.new").symlink_to(victim)
    with running_bridge(folder):
        assert victim.read_bytes() == b"kept"


@as_root
def test_a_dead_socket_that_cannot_be_removed_is_told(open_folder: Path) -> None:
    """Somebody else's in a sticky folder, for a bridge that is not root."""
    folder = open_folder / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    path = str(folder / "switch")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link_to:
        link_to.bind(path)
    os.chmod(path, 0o777)

    def bind() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        with pytest.raises(SwitchError, match=r"switch: cannot be removed \(.*; remove it or give"):
            UnixServer(path, cast(Dispatcher, None))

    assert forking.run(bind) == 0


@as_root
def test_a_configuration_of_somebody_else_is_not_followed(tmp_path: Path) -> None:
    """Root does not do what another user can write."""
    path = tmp_path / "kvmlog.toml"
    path.write_text("[bridge]\nslots = 2048\n", encoding="utf-8")
    give_away(path)
    done = kvmlog("config", "check", str(path))
    assert done.returncode == 1
    assert f"{path}: belongs to nobody" in done.stdout + done.stderr
    os.chown(path, 0, 0)
    (tmp_path / "link").symlink_to(path)
    assert kvmlog("config", "check", str(tmp_path / "link")).returncode == 0
