# SPDX-License-Identifier: GPL-2.0-or-later
"""The C pump in its thread: from the source's socket into the ring, without Python's lock."""

from __future__ import annotations

import os
import threading
from typing import Any

from kvmlog.native import ffi, lib
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import RingError, os_error

_SCALARS = [
    name
    for name, field in ffi.typeof("struct kvmlog_pump_statistics").fields
    if field.type.kind == "primitive"
]
_VERDICTS = {
    number: name.removeprefix("KVMLOG_BATCH_").lower()
    for number, name in ffi.typeof("enum kvmlog_batch_verdict").elements.items()
}


class Pump:
    """One thread that also keeps the ring's heartbeat; start() and stop() any number of times."""

    def __init__(self, writer: RingWriter) -> None:
        self.native: Any = lib.kvmlog_pump_new(writer.native)
        if self.native == ffi.NULL:
            failure = os_error(ffi.errno)
            raise RingError(
                f"{writer.path}: no pump for this ring: {failure.strerror}"
            ) from failure
        self._thread: threading.Thread | None = None
        self._failure = 0

    def start(self) -> None:
        """Run on the socket that was set; a running pump goes on."""
        if self._thread is not None:
            return
        self._failure = 0
        self._thread = threading.Thread(target=self._run, name="kvmlog-pump", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take what the socket still holds, then end the thread."""
        if self._thread is None:
            return
        lib.kvmlog_pump_stop(self.native)
        self._thread.join()
        self._thread = None

    def detach(self) -> None:
        """Leave the socket: from here on only the heartbeat is kept."""
        self.stop()
        lib.kvmlog_pump_socket(self.native, -1, 0)
        self.start()

    def failure(self) -> str | None:
        """Return why the thread ended by itself, None while it runs."""
        return os.strerror(-self._failure) if self._failure else None

    def alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def received(self, cpu: int) -> int:
        """Return the messages of one CPU accounted for since tracing was switched on."""
        return int(lib.kvmlog_pump_received(self.native, cpu))

    def count(self, statistics: Any) -> None:
        """Count exits in a struct kvmlog_statistics from here on; ffi.NULL: in none."""
        lib.kvmlog_pump_count(self.native, statistics)

    def guests_fd(self) -> int:
        """Return a descriptor that is readable while guests() has something."""
        return int(lib.kvmlog_pump_guests_fd(self.native))

    def guests(self) -> tuple[bytes, int]:
        """Return guests announced since the last call, as whole records of type GUEST.

        And how many, since ever, there was no room for.
        """
        guests = ffi.new("struct kvmlog_record_guest[]", lib.KVMLOG_GUESTS_WAITING)
        missed = ffi.new("__u64 *")
        count = lib.kvmlog_pump_guests(self.native, guests, len(guests), missed)
        return ffi.buffer(guests)[: count * ffi.sizeof("struct kvmlog_record_guest")], missed[0]

    def settle(self, cpu: int, messages: int, dropped: int) -> None:
        """Write down what is missing at the end of one CPU's messages; see pump.c."""
        lib.kvmlog_pump_settle(self.native, cpu, messages, max(0, dropped))

    def statistics(self) -> dict[str, Any]:
        """Return struct kvmlog_pump_statistics by field; `bad_by_kind` only where not zero."""
        raw = ffi.new("struct kvmlog_pump_statistics *")
        lib.kvmlog_pump_read(self.native, raw)
        result: dict[str, Any] = {name: int(getattr(raw, name)) for name in _SCALARS}
        by_kind = enumerate(raw.bad_by_verdict)
        result["bad_by_kind"] = {_VERDICTS[number]: int(n) for number, n in by_kind if n}
        return result

    def close(self) -> None:
        """End the thread and free the pump; a second call does nothing."""
        self.stop()
        if self.native != ffi.NULL:
            lib.kvmlog_pump_free(self.native)
            self.native = ffi.NULL

    def _run(self) -> None:
        self._failure = lib.kvmlog_pump_run(self.native)
