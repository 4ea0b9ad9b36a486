# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes that `kvmlog record` takes and shows, and its line of progress."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import pytest

from kvmlog.cli.record.command import size_bytes
from kvmlog.cli.record.progress import Progress, size
from kvmlog.recording.writer import RecordingWriter
from tests.support import recordings


@pytest.mark.parametrize(
    ("typed", "amount"),
    [("64K", 65_536), ("100M", 104_857_600), ("2G", 2 << 30), ("70000", 70_000), ("1tib", 1 << 40)],
)
def test_sizes_are_of_1024(typed: str, amount: int) -> None:
    """Letters in any case, with or without "iB"."""
    assert size_bytes(typed) == amount


@pytest.mark.parametrize("typed", ["", "0", "63K", "-1M", "1.5G", "12X", "9" * 16, "99999999999T"])
def test_what_is_no_size(typed: str) -> None:
    """The sentence says what is."""
    with pytest.raises(argparse.ArgumentTypeError, match="give at least 64K, as in 100M or 2G"):
        size_bytes(typed)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 bytes"),
        (1_023, "1023 bytes"),
        (1_024, "1.0 KiB"),
        (819_010, "800 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 * 10**9, "4.7 GiB"),
        (1 << 60, "1048576 TiB"),
    ],
)
def test_sizes_that_are_shown(amount: int, text: str) -> None:
    """Three digits and a unit."""
    assert size(amount) == text


def test_what_is_no_terminal_gets_no_line(tmp_path: Path) -> None:
    """Sentences alone; control characters in a guest's name are escaped."""
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT, 0o600)
    shown, plain = io.StringIO(), io.StringIO()
    with RecordingWriter(fd, recordings.header(), recordings.CLOCKS) as writer:
        for live, stream in ((True, shown), (False, plain)):
            progress = Progress(live, stream)
            progress.show(writer)
            progress.wait("waiting")
            progress.say("a \x1b[31mname")
    os.close(fd)
    assert plain.getvalue() == "kvmlog: a \\x1b[31mname\n"
    line, sentence = shown.getvalue().split("\r\x1b[K")[1:]
    assert line.startswith("0:00  0 records  0/s  0 lost  ")
    assert sentence == plain.getvalue()
