# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that somebody else planted, or can change, are not ours alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kvmlog.util import ownership
from kvmlog.util.errors import KvmlogError
from tests.support.users import NOBODY, as_root


def objection(path: Path, *, links: bool = False) -> str:
    """Return what is said against the file at this path."""
    return ownership.objection(path.lstat(), links=links)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_a_file_of_ours_that_nobody_else_writes_is_accepted(tmp_path: Path, mode: int) -> None:
    """Reading by others is not the concern here."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    assert objection(path) == ""


def test_mode_links_and_kind_are_told(tmp_path: Path) -> None:
    """Each with the value found."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o646)
    assert "has mode 0646" in objection(path)
    path.chmod(0o640)
    os.link(path, tmp_path / "other")
    assert "has 2 hard links" in objection(path)
    assert objection(path, links=True) == ""
    (tmp_path / "link").symlink_to(path)
    assert "no regular file" in objection(tmp_path / "link")


@as_root
def test_owner_and_group_are_told(tmp_path: Path) -> None:
    """A group that root makes members of may write; any other may not."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o660)
    assert objection(path) == ""
    os.chown(path, 0, NOBODY)
    assert "has mode 0660" in objection(path)
    os.chown(path, NOBODY, 0)
    assert objection(path) == f"belongs to nobody (uid {NOBODY})"


@as_root
@pytest.mark.parametrize(
    ("owner", "mode", "refused"),
    [(0, 0o755, False), (0, 0o1777, False), (0, 0o777, True), (NOBODY, 0o755, True)],
)
def test_a_folder_where_others_can_take_our_names_is_refused(
    tmp_path: Path, owner: int, mode: int, refused: bool
) -> None:
    """A sticky one, as /tmp is, keeps them."""
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, owner, 0 if stat.S_IMODE(mode) == 0o755 else NOBODY)
    if not refused:
        ownership.check_folder(str(folder / "ring"), remedy="choose another")
        return
    with pytest.raises(KvmlogError, match=rf"mode {mode:04o}: others could .*; choose another"):
        ownership.check_folder(str(folder / "ring"), remedy="choose another")


def test_a_temporary_takes_no_planted_file(tmp_path: Path) -> None:
    """A link at its name is removed, and not followed."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"kept")
    (tmp_path / "ring.new").symlink_to(victim)
    fd, name = ownership.create_temporary(str(tmp_path / "ring"), os.O_WRONLY, 0o640)
    os.write(fd, b"fresh")
    os.close(fd)
    assert victim.read_bytes() == b"kept"
    assert Path(name).read_bytes() == b"fresh"
