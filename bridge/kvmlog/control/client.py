# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch's client over the local socket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from kvmlog.control.protocol import BUDGET, format_on, format_pending
from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.util import local_socket
from kvmlog.util.errors import BudgetError, SwitchError
from kvmlog.util.local_socket import Words

# Of the switch's socket, in errors.
WORDS: Final = Words("bridge", "kvmlog bridge", "--switch", SwitchError)
_ANSWER_BYTES: Final = 1 << 16


class SwitchClient:
    """Client of a running bridge, for any process that may use its socket."""

    def __init__(self, path: str, timeout_s: float = 5.0) -> None:
        self.path = path
        self.timeout_s = timeout_s

    def send(self, command: str) -> str:
        """Send a command and return the bridge's answer: "ok on", "ok status {...}", "error: ...".

        SwitchError when no bridge answers.
        """
        answer = local_socket.ask(
            self.path,
            command.encode(),
            WORDS,
            timeout_s=self.timeout_s,
            most_bytes=_ANSWER_BYTES,
        )
        return answer.decode("utf-8", "replace")

    def switch(
        self,
        on: bool,
        vm: Sequence[str] = (),
        for_s: float | None = None,
        sampling: Sampling = EVERY_EXIT,
    ) -> str:
        """Switch tracing on or off and return the answer; SwitchError when it was refused.

        BudgetError, once, when tracing has been switched off meanwhile because it cost too much:
        `off` is carried out nevertheless, `on` is not.

        vm: only guests with these names, UUIDs or pids; each word has to match a running guest, and
        names and UUIDs also match later ones. for_s: switch off again after so many seconds (0.001
        to 31,536,000). sampling: which of their exits. Each replaces the earlier setting. The
        answer to these is "ok on {...}", see accepted().
        """
        command = format_on(tuple(vm), for_s, sampling) if on else "off"
        answer = self.send(command)
        if command not in ("on", "off"):
            accepted(answer)
        elif answer != f"ok {command}":
            raise _refusal(answer)
        return answer

    def guests(self) -> int:
        """Have the bridge look for guests and update the file of guests; return how many run."""
        answer = _parse_ok(self.send("guests"), "guests", self.path)
        return int(answer.get("running", 0))

    def flush(self) -> dict[str, Any]:
        """Have the bridge write all that it has received into the statistics' file.

        It does not where it was asked for too often: the file's `folded_ns` tells. Return the
        answer: `statistics_id`, and how many ms exits may take to the bridge, `late_ms`.
        SwitchError when there is none.
        """
        return _parse_ok(self.send("flush"), "flush", self.path)

    def status(self) -> dict[str, Any]:
        """Return the status answer; SwitchError when there is none."""
        return _parse_ok(self.send("status"), "status", self.path)

    def pending(self, guests: Iterable[int] | None = None) -> tuple[bytes, int]:
        """Return the pending exits as whole records, longest first, and how many there are.

        guests: numbers of the only guests; None: all. The bridge sends at most 256 records.
        SwitchError when there is no answer.
        """
        answer = _parse_ok(self.send(format_pending(guests)), "pending", self.path)
        try:
            return bytes.fromhex(answer["records"]), int(answer["count"])
        except (KeyError, TypeError, ValueError):
            raise SwitchError(
                f"{self.path}: the bridge's pending exits cannot be read; restart it"
            ) from None


def accepted(answer: str) -> dict[str, Any]:
    """Parse the answer to `on` with arguments: {"matched": {word: [pid, ...]}, "for_s": seconds}.

    The fields of Sampling may follow; each stands there if it was requested. SwitchError when the
    command was refused.
    """
    return _parse_ok(answer, "on", "the switch")


def _parse_ok(answer: str, word: str, path: str) -> dict[str, Any]:
    """Return the JSON object behind "ok WORD "; SwitchError for any other answer."""
    words = answer.removeprefix(f"ok {word} ")
    if words == answer:
        raise _refusal(answer)
    try:
        value = json.loads(words)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SwitchError(f"{path}: the bridge's {word} cannot be read; restart it")
    return value


def _refusal(answer: str) -> SwitchError:
    sentence = answer.removeprefix("error: ")
    if sentence == answer:
        return SwitchError(
            f"the bridge answered {answer[:80]!r}; use bridge and command of the same version"
        )
    if sentence.startswith(BUDGET):
        return BudgetError(sentence.removeprefix(BUDGET))
    return SwitchError(sentence)
