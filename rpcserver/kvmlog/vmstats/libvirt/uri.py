# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's connection URIs: which of them can be one, and what is behind them on this host."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from kvmlog.guests.sanitize import clean
from kvmlog.util.errors import VmStatsError

_SCHEME: Final = re.compile(r"[a-z][a-z0-9]*(\+(unix|ssh|tls|tcp|ext|libssh|libssh2))?")
# https://libvirt.org/drivers.html, and those that earlier releases had.
_DRIVERS: Final = re.compile(
    "bhyve|ch|esx|gsx|hyperv|lxc|openvz|parallels|phyp|qemu|test|uml|vbox|"
    "vmwarefusion|vmwareplayer|vmwarews|vpx|vz|xen|xenapi"
)
_REMEDY: Final = "give one such as qemu:///system, qemu+ssh://HOST/system or test:///default"
_CHARACTERS: Final = 1024
_URIS_MOST: Final = 64
# Of libvirt's daemon of its own for QEMU, and of the one for all drivers.
_SOCKETS: Final = ("/run/libvirt/virtqemud-sock-ro", "/run/libvirt/libvirt-sock-ro")


def check(uris: Sequence[str]) -> None:
    """Raise VmStatsError for the first that no libvirt would take, or that is there twice."""
    if not uris:
        raise VmStatsError(f"there is no URI to collect from; {_REMEDY}")
    if len(uris) > _URIS_MOST:
        raise VmStatsError(f"{len(uris)} URIs, at most {_URIS_MOST} are collected from")
    for at, uri in enumerate(uris):
        if not _is_plausible(uri):
            raise VmStatsError(f"{clean(uri)!r} is no libvirt URI; {_REMEDY}")
        driver = _driver(urlsplit(uri))
        if _DRIVERS.fullmatch(driver) is None:
            raise VmStatsError(f"{clean(uri)!r}: libvirt has no driver {driver}; {_REMEDY}")
        if uri in uris[:at]:
            raise VmStatsError(f"{uri} is given twice; give each URI once")


def is_local(uri: str) -> bool:
    """Return whether its domains are processes of this host; those of the test driver are none."""
    parts = urlsplit(uri)
    return _driver(parts) == "qemu" and not parts.hostname


def daemon_sockets(uri: str) -> tuple[str, ...]:
    """Return where libvirt's local daemon may listen, the likelier first; () where none is."""
    parts = urlsplit(uri)
    if not is_local(uri):
        return ()
    chosen = parse_qs(parts.query).get("socket")
    if chosen:
        return (chosen[0],)
    return _SOCKETS if parts.path == "/system" else ()


def state_folder(uri: str) -> str | None:
    """Return where libvirt keeps the pid files of its local domains; None for no such place."""
    sockets = daemon_sockets(uri)
    return os.path.join(os.path.dirname(sockets[0]), "qemu") if sockets else None


def _is_plausible(uri: str) -> bool:
    if not uri.isprintable() or len(uri) > _CHARACTERS or "://" not in uri:
        return False
    try:
        parts = urlsplit(uri)
        _ = parts.port  # ValueError for one that is no number
    except ValueError:
        return False
    return _SCHEME.fullmatch(parts.scheme) is not None and parts.path.startswith("/")


def _driver(parts: SplitResult) -> str:
    return parts.scheme.partition("+")[0]
