# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands print while several run at once: each line with the name of its host.

The commands of `kvmlog remote` print to sys.stdout and sys.stderr, as they would for one host; here
each thread has its own behind these.
"""

from __future__ import annotations

import _thread
import contextlib
import io
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, TextIO

# Of one host until its command has ended; more than that is printed as it comes.
_KEPT_CHARACTERS: Final = 4 << 20


class Lines(io.TextIOBase):
    """A stream that hands on whole lines."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._begun: list[str] = []

    def writable(self) -> bool:
        """Return whether one may write: always."""
        return True

    def write(self, text: str) -> int:
        """Hand on the lines that the text ends."""
        *whole, rest = text.split("\n")
        for line in whole:
            self._take("".join((*self._begun, line)))
            self._begun = []
        if rest:
            self._begun.append(rest)
        return len(text)

    def end(self) -> None:
        """Hand on what is left."""
        if self._begun:
            self.write("\n")


class _PerThread(io.TextIOBase):
    """A stream that is another one in some threads."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual
        self.local = threading.local()

    def _stream(self) -> TextIO:
        found: TextIO = getattr(self.local, "stream", self.usual)
        return found

    def writable(self) -> bool:
        """Return whether one may write: always."""
        return True

    def write(self, text: str) -> int:
        """Write to the thread's own stream."""
        return self._stream().write(text)

    def flush(self) -> None:
        """Flush the thread's own stream."""
        self._stream().flush()


class Output:
    """The streams of the process, which hosts' threads share line by line."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out, self._err = _PerThread(out), _PerThread(err)
        self._lock = threading.Lock()  # of both: a line, or a host's whole output, at a time
        self.reader_went = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Be sys.stdout and sys.stderr within `with`."""
        with (
            contextlib.redirect_stdout(self._out),
            contextlib.redirect_stderr(self._err),
        ):
            yield

    @contextlib.contextmanager
    def of(self, prefix: str, take: Callable[[str], None] | None, *, live: bool) -> Iterator[None]:
        """Have this thread print for a host within `with`.

        take: gets the lines of standard output in place of it; live: print each line as it comes,
        else all at the end.
        """
        kept: list[tuple[TextIO, str]] = []
        size = 0

        def keep(stream: TextIO, line: str) -> None:
            nonlocal size
            kept.append((stream, f"{prefix}{line}\n"))
            size += len(line)
            if live or size > _KEPT_CHARACTERS:
                self._print(kept)
                size = 0

        out = Lines(take or (lambda line: keep(self._out.usual, line)))
        err = Lines(lambda line: keep(self._err.usual, line))
        self._out.local.stream, self._err.local.stream = out, err
        try:
            yield
        finally:
            del self._out.local.stream, self._err.local.stream
            out.end()
            err.end()
            self._print(kept)

    def _print(self, kept: list[tuple[TextIO, str]]) -> None:
        with self._lock:
            for stream, text in kept:
                with self._reader_may_go():
                    stream.write(text)
            for stream in {id(one): one for one, _ in kept}.values():
                with self._reader_may_go():
                    stream.flush()
        kept.clear()

    @contextlib.contextmanager
    def _reader_may_go(self) -> Iterator[None]:
        """Interrupt the main thread where nobody reads any more: what goes on for ever would."""
        try:
            yield
        except BrokenPipeError:
            if not self.reader_went:
                self.reader_went = True
                _thread.interrupt_main()
        except ValueError:
            pass  # closed by now

    def write(self, line: str) -> None:
        """Print a line on standard output."""
        self._print([(self._out.usual, f"{line}\n")])

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        self._print([(self._err.usual, f"{line}\n")])


def current() -> Output:
    """Return one for the process's own streams."""
    return Output(sys.stdout, sys.stderr)
