# SPDX-License-Identifier: GPL-2.0-or-later
"""Parser of the output of `kvmlog demo`: the whole session has to be there."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvmlog.cli.demo.guest import NAME

# A line of an exit of the demo's guest; its reason.
EXIT = re.compile(rf"^\d\d-\d\d \d\d:\d\d:\d\d\.\d{{6}} {NAME} +0 +\d+  (\w+)", re.MULTILINE)
# How its parts begin.
_PARTS = (
    *("a tracing session of this host", "kvmlog rpc at 127.0.0.1:", f"the guest {NAME} runs: "),
    *("switching on over RPC", "exits as they come", "how many, how long"),
    *("switching off over RPC", "done: "),
)


class Session(NamedTuple):
    """One from beginning to end."""

    live: list[str]  # reasons of the exits that were shown, in order
    counted: set[str]  # reasons in the statistics


def whole_session(text: str) -> Session:
    """Return what the demo showed; AssertionError when a part of the session is missing."""
    told = [part for part in re.split(r"^demo: ", text, flags=re.MULTILINE) if part]
    assert [part[: len(words)] for part, words in zip(told, _PARTS, strict=True)] == [*_PARTS]
    live = EXIT.findall(told[4])
    assert told[-1].startswith(f"done: {len(live)} exits of {NAME} shown, ")
    lines = told[5].splitlines()
    return Session(live, {line.split()[1] for line in lines if line.startswith(NAME)})
