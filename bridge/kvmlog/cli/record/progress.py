# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kvmlog record` says: a line that it rewrites on a terminal, sentences, and a sum."""

from __future__ import annotations

import sys
import time
from typing import Final, TextIO

from kvmlog.exits.format.notes import counted
from kvmlog.recording.writer import RecordingWriter
from kvmlog.util import units
from kvmlog.util.printable import printable
from kvmlog.util.units import KIB

_EACH_S: Final = 0.5
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """The progress of a recording, on stderr; live: rewrite a line there, else say only sentences.

    The line has time, records, records a second since the last one, losses, and bytes.
    """

    def __init__(self, live: bool, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = live
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._records = 0
        self._has_line = False

    def show(self, writer: RecordingWriter) -> None:
        """Rewrite the line, twice a second at most."""
        now_s = time.monotonic()
        if not self._live or now_s - self._shown_s < _EACH_S:
            return
        rate = (writer.taken - self._records) / (now_s - (self._shown_s or self._began_s))
        self._shown_s, self._records = now_s, writer.taken
        self._write(
            f"{self._elapsed()}  {writer.taken:,} records  {units.short(rate, 1_000)}/s  "
            f"{writer.lost_records:,} lost  {size(writer.bytes_written)}"
        )

    def wait(self, text: str) -> None:
        """Rewrite the line with what is waited for."""
        now_s = time.monotonic()
        if self._live and now_s - self._shown_s >= _EACH_S:
            self._shown_s = now_s
            self._write(f"{self._elapsed()}  {text}")

    def say(self, sentence: str) -> None:
        """Print a sentence on a line of its own."""
        self.clear()
        print(f"kvmlog: {printable(sentence)}", file=self._stream, flush=True)

    def sum_up(self, path: str, writer: RecordingWriter) -> None:
        """Print what was recorded."""
        each = ""
        if writer.records:
            each = f" ({writer.bytes_written / writer.records:.1f} bytes each)"
        lost = f"{counted(writer.lost_records, 'record')} lost"
        if writer.overwritten:
            lost += f", {writer.overwritten:,} of them overwritten before they were read"
        self.say(
            f"recorded {counted(writer.records, 'record')} in {self._elapsed()}, {lost}: {path}, "
            f"{size(writer.bytes_written)}{each}"
        )

    def clear(self) -> None:
        """Remove the line."""
        if self._has_line:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._has_line = False

    def _write(self, line: str) -> None:
        self._stream.write(_CLEAR + line)
        self._stream.flush()
        self._has_line = True

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began_s)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def size(amount: int) -> str:
    """Return bytes as text: "812 bytes", "1.2 MiB"."""
    if amount < KIB:
        return f"{amount} bytes"
    value, units_left = amount / KIB, ["TiB", "GiB", "MiB", "KiB"]
    unit = units_left.pop()
    while value >= 999.5 and units_left:
        value, unit = value / KIB, units_left.pop()
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
