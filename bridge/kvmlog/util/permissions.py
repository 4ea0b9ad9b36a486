# SPDX-License-Identifier: GPL-2.0-or-later
"""Permissions of the bridge's files: root's and, where it exists, the group kvmlog's."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import Final

from kvmlog.util.errors import KvmlogError

GROUP: Final = "kvmlog"
DIRECTORY_MODE: Final = 0o750


def group_id() -> int | None:
    """Return the group's id; None where the group does not exist."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def hand_to_group(target: str | int) -> None:
    """Give a path or descriptor to the group, where the group and the right to do so exist."""
    gid = group_id()
    if gid is None:
        return
    try:
        os.chown(target, -1, gid)
    except PermissionError:
        return


def make_parent(path: str) -> None:
    """Create the missing directory of `path`, 0750 and of the group; KvmlogError on failure."""
    directory = Path(path).absolute().parent
    try:
        if directory.is_dir():
            return
        directory.mkdir(parents=True, mode=DIRECTORY_MODE)
        directory.chmod(DIRECTORY_MODE)
    except OSError as error:
        raise KvmlogError(
            f"{directory}: cannot be created ({error.strerror}); create it or choose another place"
        ) from None
    hand_to_group(str(directory))
