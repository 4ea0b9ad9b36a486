# SPDX-License-Identifier: GPL-2.0-or-later
"""Marshalling of replies: XML-RPC has neither null nor integers of more than 32 bits.

Every integer becomes a string of decimal digits, whatever its size, and None an empty string.
Booleans, doubles, arrays and structs stay what they are.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

# What XML 1.0 has no character for (https://www.w3.org/TR/xml/#charsets).
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def marshal(value: Any) -> Any:
    """Return a value as replies have it; text is escaped where XML cannot carry it."""
    if value is None:
        return ""
    if isinstance(value, bool | bytes):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return {marshal(str(name)): marshal(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [marshal(member) for member in value]
    return _NO_XML.sub(lambda found: ascii(found[0])[1:-1], str(value))
