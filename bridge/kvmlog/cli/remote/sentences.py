# SPDX-License-Identifier: GPL-2.0-or-later
"""Sentences about another host, as its server or a local command words them, made true here.

What they advise runs there: a command that `kvmlog remote` has is named as it is typed here, the
others are said to be for that host.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from kvmlog.cli.table import Words

# A command with its own first words, so that "(kvmlog bridge --ring)" stays one.
_ADVICE: Final = re.compile(r"\bkvmlog (?P<command>[a-z]+)\b(?P<rest>(?: -{1,2}[a-z][-a-z]*)*)")
# What a sentence about a connection of libvirt's begins with.
_CONNECTION: Final = re.compile(r"^[a-z][a-z0-9+]*://\S*(?=: )")
_LOCAL: Final = frozenset(("bridge", "config", "demo", "history", "rpc", "vmstats"))


def about(host: str, commands: Collection[str]) -> Words:
    """Return the function that rewords sentences; commands: those that `kvmlog remote` has."""

    def words(sentence: str) -> str:
        return _ADVICE.sub(typed, _CONNECTION.sub(placed, sentence))

    def placed(uri: re.Match[str]) -> str:
        return f"{uri[0]} on {host}"

    def typed(advice: re.Match[str]) -> str:
        command = advice["command"]
        if command in commands:
            return f"kvmlog remote {host} {command}{advice['rest']}"
        if command in _LOCAL:
            return f"{advice[0]} on {host}"
        return advice[0]

    return words
