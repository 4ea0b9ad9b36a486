# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch's client over the local socket, for any process that may use it."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Sequence
from typing import Any, Final

from kvmlog.control.protocol import BUDGET, format_on
from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.util import permissions
from kvmlog.util.errors import BudgetError, SwitchError

_ANSWER_BYTES: Final = 1 << 16


class SwitchClient:
    """Sends commands to a running bridge; usable from any process that may use the socket."""

    def __init__(self, path: str, timeout_s: float = 5.0) -> None:
        self.path = path
        self.timeout_s = timeout_s

    def send(self, command: str) -> str:
        """The bridge's answer as it came: "ok on", "ok status {...}", "error: sentence".

        SwitchError when no bridge answers.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(self.timeout_s)
            try:
                # Connected first: from then on only the bridge can send here. To a socket that
                # has an address already anybody could.
                link.connect(self.path)
                link.bind("")  # an abstract address of the kernel's choice, for the answer
                link.send(command.encode())
                return link.recv(_ANSWER_BYTES).decode("utf-8", "replace")
            except TimeoutError:
                raise SwitchError(
                    f"{self.path}: no answer within {self.timeout_s:g} s; "
                    "look at the bridge's log or restart it"
                ) from None
            except OSError as error:
                raise SwitchError(_unreachable(self.path, error)) from None

    def switch(
        self,
        on: bool,
        vm: Sequence[str] = (),
        for_s: float | None = None,
        recorded: Sampling = EVERY_EXIT,
    ) -> str:
        """Switches tracing and returns the answer; SwitchError when it was not acknowledged.

        BudgetError, once, when tracing has been switched off meanwhile because it cost too much:
        an `off` is done then too, an `on` is not.

        vm: only guests with these names, UUIDs or pids, now and later, all of them running now;
        for_s: off by itself after so many seconds (0.001 to 31,536,000); recorded: which of their
        exits; each replaces what was before. The answer to these is "ok on {...}", see accepted().
        """
        command = format_on(tuple(vm), for_s, recorded) if on else "off"
        answer = self.send(command)
        if command not in ("on", "off"):
            accepted(answer)
        elif answer != f"ok {command}":
            raise _refusal(answer)
        return answer

    def guests(self) -> int:
        """Has the bridge look for guests, and write down whom it found; how many run."""
        answer = _answered(self.send("guests"), "guests", self.path)
        return int(answer.get("running", 0))

    def status(self) -> dict[str, Any]:
        """The status answer; SwitchError when there is none."""
        return _answered(self.send("status"), "status", self.path)

    def pending(self) -> tuple[bytes, int]:
        """Exits that wait for their re-entry: whole records, longest first, and how many there are.

        The bridge gives at most 256 records. SwitchError when it gives no answer.
        """
        answer = _answered(self.send("pending"), "pending", self.path)
        try:
            return bytes.fromhex(answer["records"]), int(answer["count"])
        except (KeyError, TypeError, ValueError):
            raise SwitchError(
                f"{self.path}: the bridge's pending exits cannot be read; restart it"
            ) from None


def accepted(answer: str) -> dict[str, Any]:
    """What `on` with arguments was answered: {"matched": {word: [pid, ...]}, "for_s": seconds}.

    Beside these, members of Sampling. A member stands there when it was asked for. SwitchError when
    it was not acknowledged.
    """
    return _answered(answer, "on", "the switch")


def _answered(answer: str, word: str, path: str) -> dict[str, Any]:
    """The JSON object behind "ok WORD "; SwitchError when it is another answer."""
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


def _unreachable(path: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return f"{path}: no bridge is running; start it (kvmlog bridge)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission; be root or in the group {permissions.GROUP}"
    return f"{path}: the bridge cannot be reached ({error.strerror or error})"
