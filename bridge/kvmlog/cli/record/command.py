# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog record`: records of the ring into a file, for a while or around an event."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from typing import Final

from kvmlog.cli import records, selection
from kvmlog.cli.record.loop import Loop, until_signal
from kvmlog.cli.record.progress import Progress
from kvmlog.cli.record.tracing import Tracing
from kvmlog.cli.switch import period_s
from kvmlog.cli.workload import CommandError, running
from kvmlog.guests.names import GuestNames
from kvmlog.recording import flight, output
from kvmlog.recording.feed import Feed, next_index
from kvmlog.recording.flight import Event, Lookout, Trigger
from kvmlog.recording.format import RecordingError
from kvmlog.recording.header import Header, isa_of_this_host, of_this_host
from kvmlog.recording.writer import FullError, RecordingWriter
from kvmlog.ring.reader import RingReader
from kvmlog.util.errors import KvmlogError, RingError
from kvmlog.util.units import NS_PER_S

_FAILED: Final = 1
_SIZE: Final = re.compile(r"(\d{1,15})([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_LEAST_BYTES: Final = 64 << 10
_BEFORE_S: Final = 10.0
_AFTER_S: Final = 2.0
EPILOG: Final = """\
Where tracing is off, it is switched on for the recording, of the guests of --vm, with a lease, and
off again at its end; where it is on, it is left as it is. --vm, --reason and --slower-than leave
out what is not wanted while it is recorded. Losses, guests, switches and clocks are always kept.

--freeze-on records nothing until the event comes. Then it keeps what the ring has of the time
before (--before; a larger ring, kvmlog bridge --slots, has more) and what comes after (--after).

Commands that read a recording take it as --from FILE: stat, dump, tail, guests, explain."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog record`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "-o", dest="output", metavar="FILE", required=True, help="file to record into"
    )
    parser.add_argument(
        "--for",
        dest="for_s",
        type=period_s,
        metavar="TIME",
        help="end after this time: seconds, or 90s, 5m, 1h (default: until Ctrl-C, or the end of "
        "the command)",
    )
    parser.add_argument(
        "--size",
        type=size_bytes,
        metavar="N",
        help="end before the file has more bytes: 100M, 2G (default: no limit)",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    parser.add_argument(
        "--freeze-on",
        action="append",
        default=[],
        type=_trigger,
        metavar="EVENT",
        help="wait for an exit and record what surrounds it: 'slower-than 10ms' (halts and pauses "
        "left out), internal-error, triple-fault, shutdown or another reason; repeatable",
    )
    parser.add_argument(
        "--before",
        dest="before_s",
        type=period_s,
        metavar="TIME",
        help=f"with --freeze-on: keep so much of the time before (default {_BEFORE_S:g}s)",
    )
    parser.add_argument(
        "--after",
        dest="after_s",
        type=period_s,
        metavar="TIME",
        help=f"with --freeze-on: and so much of the time after (default {_AFTER_S:g}s)",
    )
    selection.add_arguments(parser, verb="record")
    records.add_ring(parser)
    records.add_switch(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ...",
        help="record while this command runs, and exit with its exit status",
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Return 0, or the command's exit status; 1 where no event came. KvmlogError."""
    if args.command[:1] == ["--"]:
        del args.command[0]
    if not args.freeze_on and (args.before_s is not None or args.after_s is not None):
        args.usage_error("--before and --after surround an event; give --freeze-on EVENT too")
    output.check(args.output, force=args.force)
    with RingReader(args.ring) as ring:
        session = _Session(args, ring)
        try:
            return session.record()
        finally:
            session.close()


class _Session:
    """One run of `kvmlog record`."""

    def __init__(self, args: argparse.Namespace, ring: RingReader) -> None:
        self._args = args
        self._ring = ring
        # The terminal is the command's while it runs.
        self._progress = Progress(live=sys.stderr.isatty() and not args.command)
        self._view = selection.guest_view(args.ring, args.vm)
        self._names = GuestNames(args.ring)
        self._chosen = selection.from_arguments(args, self._view)
        self._tracing = Tracing(args.switch, ring, args.vm, self._progress.say)

    def record(self) -> int:
        """Record; return the exit status."""
        first = next_index(self._ring)
        self._tracing.begin()
        if not self._args.command:
            with until_signal() as stop:
                return self._until(first, stop.wait)
        try:
            with running(self._args.command) as command:
                try:
                    done = self._until(first, command.wait)
                except KvmlogError as error:
                    self._progress.say(str(error))
                    done = _FAILED
                self.close()
                return command.status or done
        except CommandError as error:
            self._progress.say(str(error))
            return error.status

    def close(self) -> None:
        """Leave tracing as it was."""
        self._tracing.end()
        self._progress.clear()

    def _until(self, first: int, ended: Callable[[float], bool]) -> int:
        args = self._args
        if not args.freeze_on:
            feed = Feed(self._ring, self._chosen, self._names, tuple(args.vm), first)
            return self._write(self._header(), feed, args.for_s, ended)
        event = self._event(ended)
        if event is None:
            self._progress.say(f"no event came ({self._waited_for()}); nothing is recorded")
            return _FAILED
        text = flight.describe(self._ring, self._view, event)
        self._progress.say(text)
        before_ns = round((args.before_s or _BEFORE_S) * NS_PER_S)
        since_ns = max(0, event.record.exit_ns - before_ns)
        words = tuple(args.vm)
        feed = flight.feed_since(self._ring, self._chosen, self._names, words, since_ns)
        late_s = (time.monotonic_ns() - event.written_ns) / NS_PER_S
        after_s = max(0.001, (args.after_s or _AFTER_S) - late_s)
        short_ns = flight.missing_before_ns(self._ring, since_ns)
        if short_ns:
            self._progress.say(flight.missing_words(short_ns, since_ns, event))
        return self._write(self._header(text, since_ns), feed, after_s, ended)

    def _event(self, ended: Callable[[float], bool]) -> Event | None:
        """Wait for the event; None: it was ended, or the time was over before."""
        guests = self._view if self._args.vm else None
        lookout = Lookout(self._ring, self._args.freeze_on, guests)
        self._progress.say(f"waiting for {self._waited_for()}")
        ends_s = None
        if self._args.for_s is not None:
            ends_s = time.monotonic() + self._args.for_s
        while True:
            found = lookout.look()
            if found is not None:
                self._tracing.find_guests()
                return found
            self._tracing.keep()
            self._progress.wait(f"waiting for {self._waited_for()}")
            if ended(flight.LOOK_S) or (ends_s is not None and time.monotonic() >= ends_s):
                return None

    def _write(
        self, header: Header, feed: Feed, limit_s: float | None, ended: Callable[[float], bool]
    ) -> int:
        """Write the file, from now until it is to end; return the exit status."""
        path, status = self._args.output, 0
        fd = output.create(path, force=self._args.force)
        writer: RecordingWriter | None = None
        try:
            writer = RecordingWriter(fd, header, self._ring.clocks(), self._args.size)
            feed.describe(writer)
            loop = Loop(feed, writer, self._tracing, self._progress, limit_s)
            try:
                reason = loop.run(ended)
                loop.finish()
                writer.flush()
            except FullError:
                reason = "the file is as large as it may be (--size)"
                self._progress.say(f"{path}: {reason}")
                writer.close()
            except RingError as error:
                reason, status = "the ring could not be read any more", _FAILED
                self._progress.say(f"{error}; the recording ends here")
            writer.end(reason)
        except OSError as failure:
            count = 0 if writer is None else writer.records
            raise output.write_failed(path, failure, count) from None
        finally:
            os.close(fd)
        self._progress.sum_up(path, writer)
        return status

    def _header(self, event: str = "", since_ns: int | None = None) -> Header:
        return of_this_host(
            self._ring.info().source,
            isa_of_this_host(),
            since_ns=since_ns,
            selection=_typed(self._args),
            command=shlex.join(self._args.command),
            event=event,
        )

    def _waited_for(self) -> str:
        return ", ".join(trigger.text for trigger in self._args.freeze_on)


def _typed(args: argparse.Namespace) -> str:
    """Return the filters as options."""
    words: list[str] = []
    for word in args.vm:
        words += ["--vm", word]
    for found in args.reason:
        words += ["--reason", found[0].name.lower()]
    if args.slower_than:
        words += ["--slower-than", f"{args.slower_than}ns"]
    return shlex.join(words)


def _trigger(value: str) -> Trigger:
    try:
        return flight.parse(value)
    except RecordingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def size_bytes(value: str) -> int:
    """Parse "100M", "2G" and the like into bytes, for argparse; units of 1,024."""
    match = _SIZE.fullmatch(value)
    amount = 0 if match is None else int(match[1]) << _UNITS[match[2].lower()]
    if not _LEAST_BYTES <= amount < 2**63:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a size; give at least 64K, as in 100M or 2G"
        )
    return amount
