# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations that the kernel lets fail (Documentation/fault-injection/fault-injection.rst)."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KINDS: Final = ("failslab", "fail_page_alloc")
_DEBUGFS: Final = Path("/sys/kernel/debug")
_FAIL_NTH: Final = "/proc/thread-self/fail-nth"
_MANY: Final = 1_000_000
_CALL = re.compile(r"^ (\w[\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+( \[kvmlog\])?$", re.MULTILINE)


def _set(kind: str, **values: object) -> None:
    """Write settings of one kind, named as its files are ("-" for "_")."""
    for name, value in values.items():
        (_DEBUGFS / kind / name.replace("_", "-")).write_text(f"{value}")


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Let any allocation fail that may; at the end none does."""
    for kind in KINDS:
        _set(kind, ignore_gfp_wait="N", task_filter="N", probability=0, times=-1, verbose=2)
        for limit in ("interval_ms", "burst"):
            (_DEBUGFS / kind / f"verbose_ratelimit_{limit}").write_text("0")
    try:
        yield
    finally:
        for kind in KINDS:
            _set(kind, probability=0, task_filter="N")


@contextlib.contextmanager
def failing_pages(order: int) -> Iterator[None]:
    """Let every allocation of so many pages (2^order) or more fail, of any process."""
    with _settings():
        _set("fail_page_alloc", verbose=0, min_order=order, probability=100)
        yield


@contextlib.contextmanager
def failing_slabs(
    percent: int, processes: Callable[[], Iterable[int]] = lambda: ()
) -> Iterator[None]:
    """Let allocations of small objects fail: of these, also of those that come, and who asks."""
    ended = threading.Event()

    def keep_marking() -> None:
        while not ended.wait(0.05):
            _mark(processes(), True)

    marking = threading.Thread(target=keep_marking)
    with _settings():
        _set("failslab", verbose=0, task_filter="Y", probability=percent)
        try:
            _mark(processes(), True)
            marking.start()
            yield
        finally:
            ended.set()
            marking.join()
            _mark(processes(), False)


def _mark(processes: Iterable[int], failing: bool) -> None:
    for pid in processes:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/make-it-fail").write_text("1" if failing else "0")


class KernelLog:
    """The lines that the kernel logs from now on."""

    def __init__(self) -> None:
        self._kmsg = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._kmsg, 0, os.SEEK_END)

    def close(self) -> None:
        os.close(self._kmsg)

    def take(self) -> str:
        """All of them since the last call."""
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                # "priority,sequence,time,flags;text", then lines of keys and values
                record = os.read(self._kmsg, 8192).decode(errors="replace")
                lines.append(record.partition(";")[2].splitlines()[0])
        return "\n".join(lines)


@dataclass
class Step:
    """One allocation that was made to fail, and what the kernel logged of it."""

    number: int  # of the allocation, from 1 on
    failed: bool = False  # False: there were not so many
    log: str = ""

    @property
    def calls(self) -> tuple[str, ...]:
        """The module's functions that were under way, innermost first.

        Empty as well for an allocation with __GFP_NOWARN, whose failure is not logged.
        """
        return tuple(name for name, module in _CALL.findall(self.log) if module)


class Walk:
    """Counts the allocations of this thread in an operation, and has one of them fail at a time."""

    def __enter__(self) -> Walk:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_settings())
        _set("fail_page_alloc", min_order=0)
        self._log = KernelLog()
        self._stack.callback(self._log.close)
        self._file = os.open(_FAIL_NTH, os.O_RDWR)
        self._stack.callback(os.close, self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def armed(self, step: Step) -> Iterator[None]:
        """Let this allocation of what follows fail; the step tells afterwards whether it did."""
        self._log.take()
        os.pwrite(self._file, b"%d" % step.number, 0)
        try:
            yield
        finally:
            step.failed = self._left() == 0
            os.pwrite(self._file, b"0", 0)
            step.log = self._log.take()

    @contextlib.contextmanager
    def counted(self) -> Iterator[Step]:
        """Count the allocations of what follows: the step's number afterwards. None fails."""
        step = Step(_MANY)
        os.pwrite(self._file, b"%d" % _MANY, 0)
        try:
            yield step
        finally:
            step.number = _MANY - self._left()
            os.pwrite(self._file, b"0", 0)

    def _left(self) -> int:
        return int(os.pread(self._file, 32, 0))
