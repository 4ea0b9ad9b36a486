# SPDX-License-Identifier: GPL-2.0-or-later
"""What others tell the history, over its local socket: a JSON object per datagram, and its answer.

An answer is {"ok": {...}} once what was asked for is on the disk, or {"error": "a sentence"}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from kvmlog.history.model import Binary
from kvmlog.util.errors import HistoryError
from kvmlog.util.local_socket import Words

WORDS: Final = Words("history", "kvmlog history", "--history-socket", HistoryError)
REQUEST_BYTES: Final = 8 << 10
ANSWER_BYTES: Final = 64 << 10
_DETAIL_CHARACTERS: Final = 255
# Nova's own limit.
_REASON_CHARACTERS: Final = 255
_CONSUMER_CHARACTERS: Final = 80
_SEQUENCE_MOST: Final = (1 << 63) - 1
# Services that tell their own heartbeats; those of the others the history finds itself.
TELLING: Final = (Binary.RPC, Binary.METRICS)


@dataclass(frozen=True)
class Update:
    """What is to be set of a service; None: it stays."""

    enabled: bool | None = None
    disabled_reason: str | None = None  # only where it is disabled
    forced_down: bool | None = None


@dataclass(frozen=True)
class Beat:
    """A heartbeat of a service."""

    binary: Binary
    detail: str | None


@dataclass(frozen=True)
class ServiceUpdate:
    """A change of a service's settings."""

    binary: str
    wanted: Update


@dataclass(frozen=True)
class Consumed:
    """How far a consumer of the journal has come."""

    consumer: str
    sequence: int


Request: TypeAlias = Beat | ServiceUpdate | Consumed


def encode(request: Request) -> bytes:
    """Return a request as a datagram."""
    if isinstance(request, Beat):
        document: dict[str, Any] = {"command": "beat", **vars(request)}
    elif isinstance(request, ServiceUpdate):
        settings = {
            name: value for name, value in vars(request.wanted).items() if value is not None
        }
        document = {"command": "service.update", "binary": request.binary, **settings}
    else:
        document = {"command": "consumed", **vars(request)}
    return json.dumps(document).encode()


def decode(datagram: bytes) -> Request:
    """Parse a request; HistoryError for anything else, with what is wrong."""
    try:
        document = json.loads(datagram)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise HistoryError("a request is a JSON object; give one")
    fields = _Fields(document)
    command = fields.text("command", 40)
    request: Request
    if command == "beat":
        binary = fields.text("binary", 40)
        if binary not in TELLING:
            raise HistoryError(
                f"{binary!r} tells no heartbeats of its own; give one of {', '.join(TELLING)}"
            )
        request = Beat(Binary(binary), fields.maybe_text("detail", _DETAIL_CHARACTERS))
    elif command == "service.update":
        request = _service_update(fields)
    elif command == "consumed":
        consumer = fields.text("consumer", _CONSUMER_CHARACTERS)
        request = Consumed(consumer, fields.number("sequence"))
    else:
        raise HistoryError(
            f"there is no command {command!r}; give beat, service.update or consumed"
        )
    fields.check_all_used()
    return request


def _service_update(fields: _Fields) -> ServiceUpdate:
    binary = fields.text("binary", 80)
    wanted = Update(
        enabled=fields.maybe_bool("enabled"),
        disabled_reason=fields.maybe_text("disabled_reason", _REASON_CHARACTERS),
        forced_down=fields.maybe_bool("forced_down"),
    )
    if wanted.enabled is None and wanted.forced_down is None:
        raise HistoryError("nothing is to be set; give enabled or forced_down")
    if wanted.disabled_reason is not None and wanted.enabled is not False:
        raise HistoryError("a disabled_reason takes a service that is disabled; give enabled false")
    return ServiceUpdate(binary, wanted)


class _Fields:
    """The fields of a request, each taken once."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._left = dict(document)

    def text(self, name: str, most: int) -> str:
        found = self.maybe_text(name, most)
        if not found:
            raise HistoryError(f"{name} is missing; give it")
        return found

    def maybe_text(self, name: str, most: int) -> str | None:
        found = self._left.pop(name, None)
        if found is None:
            return None
        if not isinstance(found, str) or len(found) > most or not found.isprintable():
            raise HistoryError(f"{name} is no text; give at most {most} printable characters")
        return found

    def maybe_bool(self, name: str) -> bool | None:
        found = self._left.pop(name, None)
        if found is not None and not isinstance(found, bool):
            raise HistoryError(f"{name} is neither true nor false; give one of them")
        return found

    def number(self, name: str) -> int:
        found = self._left.pop(name, None)
        if type(found) is not int or not 0 <= found <= _SEQUENCE_MOST:
            raise HistoryError(f"{name} is no number; give one from 0 to {_SEQUENCE_MOST}")
        return found

    def check_all_used(self) -> None:
        if self._left:
            raise HistoryError(f"{next(iter(self._left))[:40]!r} is no field of it; leave it out")
