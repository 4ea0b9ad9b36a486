# SPDX-License-Identifier: GPL-2.0-or-later
"""Output of commands run in this very process: to start one takes seconds in emulation."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from kvmlog.cli import main
from tests.vm.inside.processes import Bridge

# Who spent the time of a row: together all of it.
PARTS: Final = ("kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
_MISSING: Final = ("overflow", "overflow_rows", "overflow_histogram", "torn", "forgotten")


class StatOutput:
    """One object of `kvmlog stat --json`, after a check of what holds for any.

    There was room for all; each row's time is shared out without rest; all exits are in the rows.
    """

    def __init__(self, text: str, at_rest: bool = True) -> None:
        """at_rest: nothing was being counted as it was told; else rows may be some exits apart."""
        self.whole: dict[str, Any] = json.loads(text)
        self.rows: list[dict[str, Any]] = self.whole["rows"]
        self.exits: int = self.whole["exits"]
        self.guests = {guest["name"]: guest for guest in self.whole["guests"]}
        assert {name: self.whole[name] for name in _MISSING} == dict.fromkeys(_MISSING, 0)
        if at_rest:
            assert sum(row["count"] for row in self.rows) == self.exits
            assert sum(guest["exits"] for guest in self.guests.values()) == self.exits
        for row in self.rows:
            if "kvm_ns" in row:
                assert sum(row[part] for part in PARTS) == row["total_ns"]

    def name(self, pid: int) -> str:
        """Return the name that this output has for the one guest of this process."""
        names = {guest["pid"]: str(name) for name, guest in self.guests.items()}
        return names[pid]

    def of(self, guest: str) -> list[dict[str, Any]]:
        """The rows of a guest, by its name here."""
        return [row for row in self.rows if row["guest"] == guest]

    def counts(self, guest: str, *keys: str) -> Counter[Any]:
        """Exits of a guest by the values of these keys; by one key: by its value."""
        found: Counter[Any] = Counter()
        for row in self.of(guest):
            values = tuple(row[key] for key in keys)
            found[values if len(values) > 1 else values[0]] += row["count"]
        return found

    def parts(self, guest: str) -> Counter[str]:
        """Return the guest's time by who spent it, in ns, halts included."""
        rows = self.of(guest)
        return Counter({part: sum(row[part] for row in rows) for part in PARTS})

    def culprit(self, guest: str) -> str:
        """Return the largest of PARTS."""
        ((part, _),) = self.parts(guest).most_common(1)
        return part


def command(*arguments: str | Path) -> str:
    """Return the output of a `kvmlog` command, whose exit status has to be 0."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main.main([str(argument) for argument in arguments]) == 0
    return printed.getvalue()


def stat(bridge: Bridge, *options: str, at_rest: bool = True) -> StatOutput:
    """`kvmlog stat --json` of a bridge, with more options."""
    return StatOutput(command("stat", "--json", "--ring", bridge.ring, *options), at_rest)
