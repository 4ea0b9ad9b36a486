# SPDX-License-Identifier: GPL-2.0-or-later
"""Fault codes: a part of the interface, documented in docs/rpc.md, never reused.

The negative ones follow "Specification for Fault Code Interoperability"
(xmlrpc-epi, version 20010516).
"""

from __future__ import annotations

import reprlib
from typing import Final
from xmlrpc.client import Fault

NOT_WELL_FORMED: Final = -32700
"""The body is no well-formed XML, or holds a DTD or an entity."""

INVALID_REQUEST: Final = -32600
"""The XML is no XML-RPC methodCall."""

UNKNOWN_METHOD: Final = -32601
INVALID_PARAMETERS: Final = -32602

INTERNAL: Final = -32603
"""A defect of the server; its log has the traceback."""

SWITCH_FAILED: Final = 101
"""The bridge is not there, or did not acknowledge the switch."""

NO_RING: Final = 102
"""There is no ring file: no bridge has run here."""

RING_UNREADABLE: Final = 103
"""The ring file is there and cannot be read: permissions, format."""

NOT_ALLOWED: Final = 104
"""The caller is authenticated, and has no right to this method."""

OVER_BUDGET: Final = 105
"""Tracing has been switched off because it cost too much; reported once, then calls work again."""

NO_GUEST: Final = 110
"""A name, UUID or pid belongs to no known guest."""

NO_STATISTICS: Final = 111
"""There is no statistics file: the bridge keeps none, or none has run here."""

STATISTICS_UNREADABLE: Final = 112
"""The statistics file is there and cannot be read: permissions, format."""

BUSY: Final = 113
"""Too many calls of this kind are under way; the same call may work later."""

NO_VM_STATISTICS: Final = 114
"""There is no file of VM statistics: no collector has run here."""

VM_STATISTICS_UNREADABLE: Final = 115
"""The file of VM statistics is there and cannot be used: permissions, format."""

VM_STATISTICS_LATE: Final = 116
"""The collector has not written for too long, and the document cannot say so."""

VM_NOT_RUNNING: Final = 117
"""The VM does not run, and the format tells of running ones only."""

NO_HISTORY: Final = 130
"""There is no history of this host: kvmlog history has never run here."""

HISTORY_UNREADABLE: Final = 131
"""The history is there and cannot be used: permissions, format, damage."""

NO_SERVICE: Final = 132
"""No service has that id, or that host and binary."""

NO_ACTION: Final = 133
"""A request_id of no action of that VM."""

NO_HYPERVISOR: Final = 134
"""No host has that pattern in its name."""

SERVICE_NOT_CHANGED: Final = 135
"""The process that writes the history is not there, or did not change the service."""


def fault(code: int, sentence: str) -> Fault:
    """Return a Fault whose text any XML parser accepts: ASCII without control characters."""
    safe = "".join(c if c.isascii() and c.isprintable() else _escaped(c) for c in sentence)
    return Fault(code, safe)


def shown(value: object) -> str:
    """Return a client's value for a sentence: in ASCII, and short however deep or long it is."""
    return _SHORT.repr(value).encode("ascii", "backslashreplace").decode("ascii")


def _escaped(character: str) -> str:
    return " " if character.isspace() else ascii(character)[1:-1]


_SHORT: Final = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
