# SPDX-License-Identifier: GPL-2.0-or-later
"""Dispatch of the switch's commands, one answer each, for UDP and the local socket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final

from kvmlog.control import protocol
from kvmlog.control.protocol import BUDGET, Command
from kvmlog.engine.engine import Engine
from kvmlog.ring.records import RECORD_BYTES, decode_record
from kvmlog.util.errors import BudgetError, KvmlogError
from kvmlog.util.ratelimit import TimeShare

# The most pending exits in one answer: 224 bytes each.
PENDING_SHOWN: Final = 256
# Of the bridge's time that `guests` may take to look into all processes: whoever may read asks.
_SCAN_SHARE: Final = 0.1
# The same for `flush`, which holds up the pump while it writes.
_FLUSH_SHARE: Final = 0.1


class Dispatcher:
    """Carry out the commands of kvmlog.control.protocol, and count everything that is sent.

    about: returns further members of the status answer.
    """

    def __init__(self, engine: Engine, about: Callable[[], dict[str, Any]]) -> None:
        self.engine = engine
        self._about = about
        self._counts: dict[str, Counter[str]] = {}
        self._scan = TimeShare(engine.registry.scan, _SCAN_SHARE)
        self._flush = TimeShare(engine.flush, _FLUSH_SHARE)

    def answer(self, channel: str, datagram: bytes, truncated: bool = False) -> bytes | None:
        """Return the answer to one datagram, None where none is due; never raise for bad input.

        truncated: the datagram was longer than protocol.limit(channel).
        """
        command = protocol.parse(channel, datagram, truncated)
        self.count(channel, command.kind)
        if command.kind == "answer":
            return None
        sentence = command.sentence
        if command.word:
            try:
                return self._carry_out(channel, command).encode()
            except KvmlogError as error:
                self.count(channel, "failed")
                sentence = str(error)
        # Names of guests, which it may hold, are input: not all of it may be sent as it is.
        return f"error: {sentence}".encode("utf-8", "backslashreplace")

    def count(self, channel: str, kind: str) -> None:
        """Count one more `kind` on the channel, for the status answer."""
        self._counts.setdefault(channel, Counter())[kind] += 1

    def status(self) -> dict[str, Any]:
        """Return all that the status answer holds."""
        commands = {channel: dict(counts) for channel, counts in self._counts.items()}
        return {**self.engine.describe(), **self._about(), "commands": commands}

    def _pending(self, guests: Collection[int] | None) -> dict[str, Any]:
        """Return how many exits of these guest numbers are pending; in hex the longest ones."""
        raw = self.engine.pending()
        size = RECORD_BYTES
        exits = [raw[at : at + size] for at in range(0, len(raw), size)]
        if guests is not None:
            exits = [record for record in exits if decode_record(record).guest in guests]
        exits.sort(key=lambda record: decode_record(record).ns)
        return {"count": len(exits), "records": b"".join(exits[:PENDING_SHOWN]).hex()}

    def _guests(self) -> dict[str, Any]:
        """Scan for guests; return how many run. Their names are in the file (docs/guests.md)."""
        registry = self.engine.registry
        self._scan()
        registry.refresh()
        registry.save()
        return {"running": len(registry.running())}

    def _report_stop(self, word: str) -> None:
        """Raise BudgetError, once, when the budget has switched tracing off.

        Not to senders over UDP, of whom most do not read their answer.
        """
        stopped = self.engine.budget.report_stop()
        if stopped is None:
            return
        if word == "off":
            self.engine.switch(False)
        raise BudgetError(BUDGET + stopped)

    def _carry_out(self, channel: str, command: Command) -> str:
        if command.word == "status":
            status = self.status()
            if channel != "unix" and status["filter"] is not None:
                # Who the guests are is for those who may use the local socket.
                status["filter"] = {"tgids": status["filter"]["tgids"]}
            return "ok status " + json.dumps(status, separators=(",", ":"))
        if command.word == "pending":
            return "ok pending " + json.dumps(self._pending(command.guests), separators=(",", ":"))
        if command.word == "guests":
            return "ok guests " + json.dumps(self._guests())
        if command.word == "flush":
            self._flush()
            return "ok flush " + json.dumps(self.engine.describe_flush())
        if command.word == "reset":
            self.engine.reset()
            return "ok reset"
        if channel == "unix":
            self._report_stop(command.word)
        matched = self.engine.switch(
            command.word == "on", command.vm, command.for_s, command.sampling
        )
        if not command.has_arguments:
            return f"ok {command.word}"
        accepted: dict[str, Any] = {"matched": matched} if command.vm else {}
        if command.for_s is not None:
            accepted["for_s"] = command.for_s
        accepted |= command.sampling.arguments()
        return "ok on " + json.dumps(accepted)
