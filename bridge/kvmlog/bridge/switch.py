# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch: commands in datagrams, one answer each. UDP and the local socket share it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from kvmlog.bridge import wire
from kvmlog.bridge.engine import Engine
from kvmlog.bridge.errors import KvmlogError

# A command is a word; more than this is not read.
COMMAND_BYTES: Final = 512
# The most pending exits in one answer: 208 bytes each.
PENDING_SHOWN: Final = 256
_ENDS: Final = b"\0\r\n"


class Switch:
    """Carries out `on`, `off`, `status` and `pending`, and counts everything it was sent.

    `about`: further members of the status answer.
    """

    def __init__(self, engine: Engine, about: Callable[[], dict[str, Any]]) -> None:
        self.engine = engine
        self._about = about
        self._counts: dict[str, Counter[str]] = {}

    def answer(self, channel: str, command: bytes, truncated: bool = False) -> bytes | None:
        """The answer to one datagram, None where none is due. Never raises for bad input.

        `truncated`: the datagram was longer than COMMAND_BYTES.
        """
        kind, word = _classify(command, truncated)
        if kind == "pending" and channel != "unix":
            # Records are for those who may read the ring: the local socket's mode decides.
            kind, word = "unknown", "pending is asked for over the local socket (kvmlog pending)"
        self.count(channel, kind)
        if kind == "answer":
            return None
        if kind not in ("on", "off", "status", "pending"):
            return f"error: {word}".encode("ascii", "replace")
        try:
            return self._carry_out(word).encode()
        except KvmlogError as error:
            self.count(channel, "failed")
            return f"error: {error}".encode()

    def count(self, channel: str, kind: str) -> None:
        """One more `kind` on the channel, shown in the status answer."""
        self._counts.setdefault(channel, Counter())[kind] += 1

    def status(self) -> dict[str, Any]:
        """All that the status answer holds."""
        commands = {channel: dict(counts) for channel, counts in self._counts.items()}
        return {**self.engine.describe(), **self._about(), "commands": commands}

    def _pending(self) -> dict[str, Any]:
        """How many exits are pending, and as hex the records of those that have lasted longest."""
        raw = self.engine.pending()
        size = wire.RECORD_BYTES
        exits = [raw[at : at + size] for at in range(0, len(raw), size)]
        exits.sort(key=lambda record: wire.decode(record).ns)
        return {"count": len(exits), "records": b"".join(exits[:PENDING_SHOWN]).hex()}

    def _carry_out(self, word: str) -> str:
        if word == "status":
            return "ok status " + json.dumps(self.status(), separators=(",", ":"))
        if word == "pending":
            return "ok pending " + json.dumps(self._pending(), separators=(",", ":"))
        self.engine.switch(word == "on")
        return f"ok {word}"


def _classify(command: bytes, truncated: bool) -> tuple[str, str]:
    """What a datagram is, and the command's word or the sentence that refuses it."""
    if truncated or len(command) > COMMAND_BYTES:
        return "oversized", f"a command has at most {COMMAND_BYTES} bytes; send on, off or status"
    word = command.rstrip(_ENDS)
    if not word:
        return "empty", "empty command; send on, off or status"
    # Two bridges that answer each other's answers would never end.
    if word.startswith((b"ok ", b"error: ")):
        return "answer", ""
    if not all(0x20 <= byte < 0x7F for byte in word):
        return "not_ascii", "not a word of ASCII letters; send on, off or status"
    text = word.decode("ascii")
    if text in ("on", "off", "status", "pending"):
        return text, text
    return "unknown", f"unknown command {text[:32]!r}; send on, off or status"
