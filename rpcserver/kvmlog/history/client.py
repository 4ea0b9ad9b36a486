# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of the history's local socket: commands, and the heartbeats of a service."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any, Final

from kvmlog.history import protocol
from kvmlog.history.model import Binary
from kvmlog.history.protocol import Beat, Consumed, Request, ServiceUpdate, Update
from kvmlog.util import local_socket
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import HistoryError

BEAT_S: Final = 10.0
_BEAT_TIMEOUT_S: Final = 2.0


class HistoryClient:
    """Client of a running `kvmlog history`, for processes that may use its socket.

    Each call returns once what it asks for is kept; HistoryError where it was refused, or where
    no history answers.
    """

    def __init__(self, path: str, timeout_s: float = 5.0) -> None:
        self.path = path
        self._timeout_s = timeout_s

    def update_service(self, binary: str, wanted: Update) -> None:
        """Set what is wanted of a service."""
        self._ask(ServiceUpdate(binary, wanted))

    def consumed(self, consumer: str, sequence: int) -> None:
        """Note that a consumer of the journal has done with all up to a sequence."""
        self._ask(Consumed(consumer, sequence))

    def beat(self, binary: Binary, detail: str | None = None) -> None:
        """Tell that a service lives."""
        self._ask(Beat(binary, detail))

    def _ask(self, request: Request) -> dict[str, Any]:
        raw = local_socket.ask(
            self.path,
            protocol.encode(request),
            protocol.WORDS,
            timeout_s=self._timeout_s,
            most_bytes=protocol.ANSWER_BYTES,
        )
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("ok"), dict):
            return dict(answer["ok"])
        sentence = answer.get("error") if isinstance(answer, dict) else None
        raise HistoryError(
            str(sentence or f"{self.path}: the history's answer cannot be read; restart it")
        )


class Heartbeat(Closeable):
    """A thread that tells the history, every BEAT_S, that a service lives.

    A service is none the worse for a history that is not there.
    """

    def __init__(self, path: str, binary: Binary) -> None:
        self._client = HistoryClient(path, _BEAT_TIMEOUT_S)
        self._binary = binary
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def close(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while True:
            with contextlib.suppress(HistoryError):
                self._client.beat(self._binary)
            if self._ended.wait(BEAT_S):
                return
