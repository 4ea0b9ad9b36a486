# SPDX-License-Identifier: GPL-2.0-or-later
"""Another tool that has an event open: perf, as the kernel sees it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator

from tests.vm.inside import host

_PERF_EVENT_OPEN = 298  # x86-64
_PERF_TYPE_TRACEPOINT = 2
_ATTRIBUTE_BYTES = 128


@contextlib.contextmanager
def held_open(event: str) -> Iterator[None]:
    """Counts kvm:`event` on CPU 0, for as long as the context lasts (perf_event_open(2))."""
    number = int((host.TRACING / "events/kvm" / event / "id").read_text())
    attribute = struct.pack("=IIQ", _PERF_TYPE_TRACEPOINT, _ATTRIBUTE_BYTES, number)
    buffer = ctypes.create_string_buffer(attribute, _ATTRIBUTE_BYTES)
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(_PERF_EVENT_OPEN, buffer, -1, 0, -1, 0)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        os.close(descriptor)
