# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's Python binding, set up once per process, and its errors as sentences."""

from __future__ import annotations

import threading
from typing import Final

import libvirt

from kvmlog.guests.sanitize import clean

_lock = threading.Lock()  # covers _is_set_up
_is_set_up = False

_UNSUPPORTED: Final = frozenset(
    (
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        libvirt.VIR_ERR_OPERATION_DENIED,
        libvirt.VIR_ERR_ACCESS_DENIED,
    )
)
_REFUSED: Final = frozenset(
    (
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_OPERATION_DENIED,
    )
)
_MESSAGE_CHARACTERS: Final = 512


def set_up() -> None:
    """Prepare the binding; to be called before the first connection. Once is enough."""
    global _is_set_up
    with _lock:
        if _is_set_up:
            return
        # Of itself it prints each error on stderr.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        # Events and keepalive need a loop; connections opened before would have neither.
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _is_set_up = True


def _run_events() -> None:
    while libvirt.virEventRunDefaultImpl() == 0:
        pass


def is_unsupported(error: libvirt.libvirtError) -> bool:
    """Return whether the same call would fail for ever: the driver, or our rights, lack it."""
    return error.get_error_code() in _UNSUPPORTED


def sentence(error: libvirt.libvirtError) -> str:
    """Return what went wrong with a connection, and what to do about it."""
    said = clean(error.get_error_message() or str(error), _MESSAGE_CHARACTERS)
    return f"{said}; {_remedy(error.get_error_code(), said)}"


def _remedy(code: int | None, said: str) -> str:
    if code in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_ARG):
        return "correct the URI (vmstats.uris)"
    if code in _REFUSED or "ermission denied" in said:
        return "run the collector as root or as a user of the group libvirt"
    if "No such file" in said or "Connection refused" in said:
        return "start libvirtd (systemctl start libvirtd); it is tried again"
    return "it is tried again"
