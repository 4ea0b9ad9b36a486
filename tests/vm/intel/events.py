# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario printed, taken apart: kvmlog's records and the kernel's events of each run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from kvmlog.ring.records import Record, unpack_records

_PART: Final = re.compile(r"^=== (?P<kind>\w+)(?: (?P<rest>.*))?$", re.MULTILINE)
# "  guest-123   [000] d..1.    12.345678: kvm_exit: vcpu 0 reason CPUID rip 0x4 ..."
_EVENT: Final = re.compile(
    r"^ *.{1,16}-(?P<tid>\d+) +\[(?P<cpu>\d+)\] \S+ +(?P<s>\d+)\.(?P<us>\d{6}): "
    r"kvm_(?P<name>\w+): (?P<text>.*)$"
)
_EXIT: Final = re.compile(
    r"vcpu (?P<vcpu>\d+) reason (?P<reason>.*?) rip (?P<rip>0x\w+) info1 (?P<info1>0x\w+) "
    r"info2 (?P<info2>0x\w+) intr_info (?P<intr_info>0x\w+) error_code (?P<error_code>0x\w+)"
)


@dataclass(frozen=True)
class Event:
    """One event of the kernel's, other than kvm_exit."""

    name: str  # without "kvm_"
    ns: int  # CLOCK_MONOTONIC, whole microseconds
    tid: int
    text: str


@dataclass
class KernelExit:
    """The event kvm_exit, and those of the same thread up to its next."""

    ns: int
    tid: int
    cpu: int
    vcpu: int
    reason: str
    rip: int
    info1: int
    info2: int
    intr_info: int
    error_code: int
    after: list[Event] = field(default_factory=list)

    def all(self, *names: str) -> list[Event]:
        """Those after it that are called so."""
        return [event for event in self.after if event.name in names]

    def first(self, *names: str) -> Event | None:
        """The first of them."""
        return next(iter(self.all(*names)), None)

    def number(self, pattern: str, *names: str, base: int = 16) -> int | None:
        """The number that the first of them has where the pattern's group is."""
        event = self.first(*names)
        found = re.search(pattern, event.text) if event is not None else None
        return int(found[1], base) if found else None


@dataclass
class Run:
    """One guest."""

    name: str
    parameters: dict[str, str]  # of kvm_intel
    lines: list[dict[str, Any]]  # of kvmlog-receiver
    batches: list[bytes]
    exits: list[KernelExit]
    status: int

    @property
    def records(self) -> list[Record]:
        """Those of exits, in time order."""
        records = [
            record
            for batch in self.batches
            for record in unpack_records(batch)
            if isinstance(record, Record)
        ]
        return sorted(records, key=lambda record: record.exit_ns)

    def line(self, kind: str, **wanted: object) -> dict[str, Any]:
        """The receiver's only line of a kind with these values."""
        wanted["line"] = kind
        (line,) = (line for line in self.lines if wanted.items() <= line.items())
        return line


def read_runs(output: str) -> list[Run]:
    """Return the runs of a scenario in order; ValueError when its output is not whole."""
    runs: list[Run] = []
    parameters: dict[str, str] = {}
    marks = list(_PART.finditer(output))
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(output)
        text, rest = output[mark.end() : end], mark["rest"] or ""
        if mark["kind"] == "kvm_intel":
            parameters = dict(word.split("=", 1) for word in rest.split())
        elif mark["kind"] == "run":
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            batches = [bytes.fromhex(line["bytes"]) for line in lines if line["line"] == "records"]
            runs.append(Run(rest.split()[0], parameters, lines, batches, [], -1))
        elif mark["kind"] == "trace":
            runs[-1].exits = read_exits(text)
        elif mark["kind"] == "end":
            runs[-1].status = int(rest)
        else:
            raise ValueError(f"a part that nobody knows: {mark[0]!r}")
    return runs


def read_exits(trace: str) -> list[KernelExit]:
    """Return the exits in ftrace's text in time order, each with what followed in its thread."""
    exits: list[KernelExit] = []
    latest: dict[int, KernelExit] = {}
    for line in trace.splitlines():
        found = _EVENT.match(line)
        if found is None:
            if line.strip():
                raise ValueError(f"ftrace says what nobody understands: {line!r}")
            continue
        tid = int(found["tid"])
        ns = (int(found["s"]) * 1_000_000 + int(found["us"])) * 1_000
        if found["name"] == "exit":
            fields = _EXIT.match(found["text"])
            if fields is None:
                raise ValueError(f"kvm_exit says what nobody understands: {found['text']!r}")
            rip, info1, info2, intr_info, error_code = (
                int(fields[name], 16)
                for name in ("rip", "info1", "info2", "intr_info", "error_code")
            )
            latest[tid] = KernelExit(
                ns=ns,
                tid=tid,
                cpu=int(found["cpu"]),
                vcpu=int(fields["vcpu"]),
                reason=fields["reason"].strip(),
                rip=rip,
                info1=info1,
                info2=info2,
                intr_info=intr_info,
                error_code=error_code,
            )
            exits.append(latest[tid])
        elif tid in latest:
            latest[tid].after.append(Event(found["name"], ns, tid, found["text"]))
    return exits
