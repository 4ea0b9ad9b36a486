# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge with the source bpf, and guests for it: what both say, and what stands in the ring."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import AnyRecord, GuestRecord, Record, unpack_records
from scripts.vm.kernels import PROJECT
from tests.support.bridge_process import HANG_S, Bridge

GUEST: Final = PROJECT / "build" / "guest" / "kvmlog-guest"
# linux/kvm.h
USER_EXITS: Final = {2: "KVM_EXIT_IO", 5: "KVM_EXIT_HLT", 6: "KVM_EXIT_MMIO"}


@dataclass
class Traced:
    """A bridge with the source bpf."""

    bridge: Bridge

    @property
    def switch(self) -> SwitchClient:
        return SwitchClient(str(self.bridge.switch), HANG_S)

    def status(self) -> dict[str, Any]:
        return self.switch.status()

    def records(self) -> list[AnyRecord]:
        with RingReader(self.bridge.ring) as reader:
            return unpack_records(reader.snapshot().records)

    def programs(self) -> set[int]:
        """The kernel's numbers of the programs that this bridge holds."""
        found = set()
        for entry in Path(f"/proc/{self.bridge.process.pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):
                match = re.search(r"^prog_id:\s*(\d+)$", entry.read_text("ascii"), re.MULTILINE)
                if match:
                    found.add(int(match[1]))
        return found


@contextlib.contextmanager
def guest(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A guest, while it lasts; its report is one line of JSON on stdout."""
    process = subprocess.Popen(
        [str(GUEST), "--json", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def report(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the guest's report of itself, once it has finished."""
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def run_guest(*arguments: str) -> dict[str, Any]:
    """A guest from its beginning to its end; its report."""
    with guest(*arguments) as process:
        answer = report(process)
        assert process.wait(HANG_S) == 0
    return answer


def guests(records: list[AnyRecord], pid: int) -> list[GuestRecord]:
    """GUEST records of one process."""
    return [r for r in records if isinstance(r, GuestRecord) and r.tgid == pid]


def exits_of(records: list[AnyRecord], number: int) -> list[Record]:
    """EXIT records of one guest."""
    return [r for r in records if isinstance(r, Record) and r.guest == number]


def user_exits(exits: list[Record]) -> dict[str, int]:
    """Count the returns to user space by name, as the guest reports them."""
    told = (r.user_reason for r in exits if r.flags & lib.KVMLOG_F_USER_REASON)
    return dict(Counter(USER_EXITS.get(reason, str(reason)) for reason in told))


def interrupted(exits: list[Record]) -> int:
    """Returns because of a signal."""
    return sum(bool(r.flags & lib.KVMLOG_F_USER_EINTR) for r in exits)


def check_sum(counters: dict[str, int]) -> None:
    """Nothing vanishes."""
    parts = ("emitted", "filtered", "sampled", "dropped", "pending")
    assert counters["seen"] == sum(counters[name] for name in parts)
