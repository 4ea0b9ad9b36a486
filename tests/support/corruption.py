# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged input, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final
from xmlrpc.client import dumps

# Calls that between them use every element of XML-RPC.
_CALLS: Final = (
    dumps(("on",), "kvmLogSwitch"),
    dumps(({"on": True, "vm": ["web1", 4242], "for_s": 0.5},), "kvmSwitch"),
    dumps(({"count": 3, "form": "structs"},), "kvmRecords"),
    dumps((b"bytes", [[], [1, -2]], None), "kvmLogStatus", allow_none=True),
)
# What parsers stumble over.
_PIECES: Final = (
    b"",
    b"\0",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"&#0;",
    b"&lol;",
    b"<!DOCTYPE m>",
    b"<value>",
    b"</value>",
    b"<int>" + b"9" * 400 + b"</int>",
    b"<i8>-99999999999999999999</i8>",
    b"<double>nan</double>",
    b"<base64>=</base64>",
    b"<dateTime.iso8601>0</dateTime.iso8601>",
    b"<array><data>" * 40,
    b"<![CDATA[<a>]]>",
)


def damage(dice: random.Random, whole: bytes, pieces: tuple[bytes, ...] = ()) -> bytes:
    """Bytes changed, moved, doubled or left out at a random place, or a piece put there."""
    at, end = sorted(dice.choices(range(len(whole) + 1), k=2))
    part = whole[at:end]
    own = (b"", dice.randbytes(len(part)), part * 2, part[::-1], b" ", b"\0")
    return whole[:at] + dice.choice(own + pieces) + whole[end:]


def damaged_calls(seed: int, count: int) -> Iterator[bytes]:
    """So many bodies of requests, damaged once or several times."""
    dice = random.Random(seed)
    for _ in range(count):
        body = dice.choice(_CALLS).encode()
        for _ in range(dice.choice((1, 1, 2, 5))):
            body = damage(dice, body, _PIECES)
        yield body
