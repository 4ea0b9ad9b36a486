# SPDX-License-Identifier: GPL-2.0-or-later
"""Interface of both sources to the tests: the module (netlink.py), the BPF programs (programs.py).

A test that takes `control` or `receiver` runs for each of SOURCES; `only(...)` chooses others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import AnyRecord, Record

KMOD, BPF, BPF_EVENT = "kmod", "bpf", "bpf-event"
SOURCES: Final = (KMOD, BPF)
# bpf-event: the same programs, with the reason from the event's fields.
ALL: Final = (KMOD, BPF, BPF_EVENT)
NUMBERS: Final = {
    KMOD: lib.KVMLOG_SOURCE_KMOD,
    BPF: lib.KVMLOG_SOURCE_BPF,
    BPF_EVENT: lib.KVMLOG_SOURCE_BPF,
}


def only(*sources: str) -> pytest.MarkDecorator:
    """Runs a test, or as `pytestmark` a whole file, for these sources."""
    return pytest.mark.parametrize("source", sources, indirect=True)


class Status(Protocol):
    """A source's status."""

    @property
    def on(self) -> bool: ...
    @property
    def attached(self) -> bool: ...
    @property
    def window_ms(self) -> tuple[int | None, int | None]: ...
    @property
    def counters(self) -> dict[str, int]: ...
    def check_sum(self) -> dict[str, int]: ...


class Control(Protocol):
    """Commands to a source."""

    def switch_on(
        self,
        tgids: Iterable[int] = (),
        one_in: int | None = None,
        window_ms: tuple[int, int] | None = None,
        lease_ms: int = 0,
    ) -> None: ...
    def switch_off(self) -> None: ...
    def status(self) -> Status: ...
    def pending(self) -> list[Record]: ...


class Receiver(Protocol):
    """Records received from a source."""

    @property
    def records(self) -> list[AnyRecord]: ...
    @property
    def exits(self) -> list[Record]: ...
    def of_type(self, kind: type) -> list[AnyRecord]: ...
    def reasons(self) -> Counter[int]: ...
    def drain(self, quiet_s: float = 0.3) -> None: ...
    def take_for(self, duration_s: float) -> None: ...
