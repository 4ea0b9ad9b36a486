# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics can be read by root and the file's group only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.util.errors import StatisticsError
from tests.support import forking
from tests.support.statistics_feed import Counting, exits

# Of nobody; and a group that nobody is in.
NOBODY, GROUP = 65_534, 64_999
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="changes its user: run the tests as root to force it"
)


def become_nobody(group: int) -> None:
    """Become an unprivileged user in this group only."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(NOBODY)


@as_root
def test_a_member_of_the_files_group_reads_while_it_is_written(open_folder: Path) -> None:
    """Members can read and not write, with nothing but the group's permission."""
    with Counting(open_folder) as counting:
        os.chown(counting.path, 0, GROUP)
        counting.feed(exits(12))
        counting.writer.flush()

        def read() -> None:
            become_nobody(GROUP)
            with StatisticsReader(counting.path) as reader:
                assert reader.snapshot().exits == 12
                assert reader.wait_until(0)
            with pytest.raises(PermissionError):
                os.open(counting.path, os.O_RDWR)

        assert forking.run(read) == 0


@as_root
def test_others_get_a_sentence(open_folder: Path) -> None:
    """Others get a message that says which group to join."""
    with Counting(open_folder) as counting:
        os.chown(counting.path, 0, GROUP)

        def read() -> None:
            become_nobody(NOBODY)
            with pytest.raises(StatisticsError, match="no permission; be root or in the group"):
                StatisticsReader(counting.path)

        assert forking.run(read) == 0


def test_the_file_is_for_its_owner_and_group_only(tmp_path: Path) -> None:
    """The mode is 0640, whatever the umask."""
    before = os.umask(0)
    try:
        with Counting(tmp_path) as counting:
            mode = stat.S_IMODE(counting.path.stat().st_mode)
    finally:
        os.umask(before)
    assert mode == 0o640
