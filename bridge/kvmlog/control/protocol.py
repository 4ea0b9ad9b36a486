# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch's protocol (docs/switch.md): the grammar of its datagrams, and their limits.

All input is untrusted: parse() raises nothing, it returns a sentence for the answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.control.sampling import EVERY_EXIT, PARAMS, Sampling
from kvmlog.util.errors import SwitchError

# The largest commands that are read. Only those over the local socket have arguments.
COMMAND_BYTES: Final = 512
UNIX_COMMAND_BYTES: Final = 8192
MOST_NAMES: Final = 64
NAME_CHARACTERS: Final = 256
LEAST_FOR_S: Final = 0.001
MOST_FOR_S: Final = 31_536_000  # a year

# The prefix of the error that reports that tracing was switched off for its cost.
BUDGET: Final = "budget: "

_ENDS: Final = b"\0\r\n"
_WORDS: Final = ("on", "off", "status", "pending", "guests", "flush", "reset")
# Only for those who may read the ring, which the local socket's mode ensures.
_LOCAL: Final = {
    "pending": "pending is asked for over the local socket (kvmlog pending)",
    "guests": "guests are asked for over the local socket (kvmlog guests)",
    "flush": "statistics are brought up to date over the local socket (kvmlog stat -i)",
    "reset": "statistics are reset over the local socket (kvmlog stat --reset)",
}
_ARGUMENTS_LOCAL: Final = "on takes arguments over the local socket only (kvmlog switch on --vm)"
_PARAMS: Final = ("vm", "for_s", *PARAMS)
_SHOWN_CHARACTERS: Final = 32


@dataclass(frozen=True)
class Command:
    """One datagram: `kind`, under which it is counted, and the command, or why there is none."""

    kind: str
    word: str = ""  # empty: nothing to do
    vm: tuple[str, ...] = ()  # names, UUIDs, pids; empty: all guests
    for_s: float | None = None  # None: no time limit
    sampling: Sampling = EVERY_EXIT
    guests: tuple[int, ...] | None = None  # numbers, for `pending`; None: all
    sentence: str = ""  # why there is nothing to do

    @property
    def has_arguments(self) -> bool:
        """Return whether the command is more than its word."""
        return bool(self.vm) or self.for_s is not None or self.sampling != EVERY_EXIT


def limit(channel: str) -> int:
    """Return the size limit of a command on this channel ("unix" or "udp"), in bytes."""
    return UNIX_COMMAND_BYTES if channel == "unix" else COMMAND_BYTES


def parse(channel: str, datagram: bytes, truncated: bool = False) -> Command:
    """Parse a datagram; `truncated`: it was larger than limit(channel)."""
    if truncated or len(datagram) > limit(channel):
        most = f"a command has at most {limit(channel)} bytes"
        return Command("oversized", sentence=f"{most}; send on, off or status")
    raw = datagram.rstrip(_ENDS)
    if not raw:
        return Command("empty", sentence="empty command; send on, off or status")
    # Not to be answered: two bridges would answer each other's answers for ever.
    if raw.startswith((b"ok ", b"error: ")):
        return Command("answer")
    if not all(0x20 <= byte < 0x7F for byte in raw):
        return Command("not_ascii", sentence="not a word of ASCII letters; send on, off or status")
    text = raw.decode("ascii")
    local = channel == "unix"
    if text.startswith("on {"):
        return _on(text[3:]) if local else Command("unknown", sentence=_ARGUMENTS_LOCAL)
    if text.startswith("pending {") and local:
        return _pending(text[8:])
    if text not in _WORDS:
        unknown = f"unknown command {text[:_SHOWN_CHARACTERS]!r}; send on, off or status"
        return Command("unknown", sentence=unknown)
    if text in _LOCAL and not local:
        return Command("unknown", sentence=_LOCAL[text])
    return Command(text, text)


def format_on(vm: tuple[str, ...], for_s: float | None, sampling: Sampling = EVERY_EXIT) -> str:
    """Format the command `on` with these arguments, as parse() takes it.

    SwitchError when it is longer than UNIX_COMMAND_BYTES.
    """
    arguments: dict[str, Any] = {}
    if vm:
        arguments["vm"] = vm
    if for_s is not None:
        arguments["for_s"] = for_s
    arguments |= sampling.arguments()
    command = f"on {json.dumps(arguments)}" if arguments else "on"
    if len(command) > UNIX_COMMAND_BYTES:
        raise SwitchError(
            f"{len(vm)} guests make a command of {len(command)} bytes; at most "
            f"{UNIX_COMMAND_BYTES}; name fewer, or give their pids"
        )
    return command


def format_pending(guests: Iterable[int] | None) -> str:
    """Format the command `pending` for these guest numbers; for all where there are too many."""
    if guests is None:
        return "pending"
    command = f"pending {json.dumps({'guests': sorted(set(guests))}, separators=(',', ':'))}"
    return command if len(command) <= UNIX_COMMAND_BYTES else "pending"


def _pending(text: str) -> Command:
    try:
        arguments = _object(text)
        guests = arguments.get("guests")
        if arguments.keys() != {"guests"} or not isinstance(guests, list):
            raise ValueError
        if not all(type(one) is int and 0 <= one < 2**32 for one in guests):
            raise ValueError
    except (ValueError, RecursionError):
        example = 'pending {"guests": [1, 2]}'
        sentence = f"{_shown(text)} is no list of guest numbers; send pending, or as in {example}"
        return Command("bad_arguments", sentence=sentence)
    return Command("pending", "pending", guests=tuple(guests))


def _on(text: str) -> Command:
    try:
        arguments = _object(text)
        unknown = next((name for name in arguments if name not in _PARAMS), None)
        if unknown is not None:
            known = ", ".join(f'"{name}"' for name in _PARAMS)
            raise SwitchError(f"on takes {known}, not {_shown(unknown)}; leave it out")
        vm = _argument(arguments, "vm", _names) or ()
        for_s = _argument(arguments, "for_s", _seconds)
        return Command("on", "on", vm, for_s, Sampling.parse(arguments))
    except SwitchError as error:
        sentence = str(error)
    except (ValueError, RecursionError):
        example = 'on {"vm": ["web1"], "for_s": 60}'
        sentence = f"{_shown(text)} is no JSON object; send on, or as in {example}"
    return Command("bad_arguments", sentence=sentence)


def _object(text: str) -> dict[str, Any]:
    """Parse the JSON object that a command has; ValueError, RecursionError."""
    found: dict[str, Any] = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    return found


def _argument(arguments: dict[str, Any], name: str, check: Callable[[Any], Any]) -> Any:
    return check(arguments[name]) if name in arguments else None


def _names(value: Any) -> tuple[str, ...]:
    remedy = 'give a list of names, UUIDs or pids, as in {"vm": ["web1", "4242"]}'
    if not isinstance(value, list):
        raise SwitchError(f'"vm" is {_shown(value)}; {remedy}')
    if not value:
        raise SwitchError('"vm" is an empty list; name a guest, or leave it out for all guests')
    if len(value) > MOST_NAMES:
        raise SwitchError(
            f'"vm" has {len(value)} members; at most {MOST_NAMES}; name fewer, or leave it out '
            "for all guests"
        )
    for name in value:
        if not isinstance(name, str) or not name:
            raise SwitchError(f'"vm" has a member {_shown(name)}; {remedy}')
        if len(name) > NAME_CHARACTERS:
            raise SwitchError(
                f'"vm" has a member of {len(name)} characters ({_shown(name)}); at most '
                f"{NAME_CHARACTERS}; give the guest's UUID or pid"
            )
    return tuple(value)


def _seconds(value: Any) -> float:
    # To Python true is a number.
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not LEAST_FOR_S <= value <= MOST_FOR_S or not math.isfinite(value):
        raise SwitchError(
            f'"for_s" is {_shown(value)}; give seconds from {LEAST_FOR_S} to {MOST_FOR_S}, or '
            "leave it out to trace without end"
        )
    return float(value) if isinstance(value, float) else int(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _shown(value: Any) -> str:
    """Return an untrusted value as short ASCII without terminal escape sequences."""
    text = value if isinstance(value, str) else json.dumps(value)
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return ascii(cut) if isinstance(value, str) else cut
