# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies as XML: XML-RPC has neither null nor integers of more than 32 bits.

Every integer becomes a string of decimal digits, whatever its size, and None an empty string.
Booleans, doubles, arrays and structs stay what they are, and text is escaped where XML has no such
character. The stdlib's marshaller, which is made for any object, takes several times as long.
"""

from __future__ import annotations

import binascii
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from xmlrpc.client import Fault

_BEGIN: Final = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n"
_END: Final = "\n</param>\n</params>\n</methodResponse>\n"
# A line end would be read as another one; what XML 1.0 has no character for
# (https://www.w3.org/TR/xml/#charsets) is escaped as in Python.
_SPECIAL: Final = re.compile("[&<>\r]|[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCES: Final[Mapping[str, str]] = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
# A multiple of 3, so that no piece but the last is padded; short, since others wait for it.
_BASE64_BYTES: Final = 48 * 1024
# Some 64 KiB of text.
_TEXT_PARTS: Final = 1024


class Written:
    """An array that has been written before: each of its values as value_bytes() returns it."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values


def value_bytes(value: Any) -> bytes:
    """Return one value element, for replies that repeat it (Written)."""
    writer = _Writer()
    writer.write(value)
    writer.end_text()
    return b"".join(writer.pieces)


def reply_pieces(result: Any) -> list[bytes]:
    """Return a methodResponse with this result, in pieces.

    A block of bytes is not copied as a whole: its pieces are made one by one.
    """
    writer = _Writer()
    writer.text.append(_BEGIN)
    writer.write(result)
    writer.text.append(_END)
    writer.end_text()
    return writer.pieces


class _Writer:
    """A reply under construction: complete pieces, then text."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.text: list[str] = []

    def end_text(self) -> None:
        self.pieces.append("".join(self.text).encode())
        self.text = []

    def write(self, value: Any) -> None:
        """Write one value element."""
        simple = _SIMPLE.get(type(value))
        if simple is not None:
            self.text.append(f"<value>{simple(value)}</value>")
        elif isinstance(value, dict):
            self._write_struct(value)
        elif isinstance(value, list | tuple):
            self.text.append("<value><array><data>")
            for member in value:
                self.write(member)
                if len(self.text) >= _TEXT_PARTS:
                    self.end_text()
            self.text.append("</data></array></value>")
        elif isinstance(value, bytes):
            self._write_bytes(value)
        elif isinstance(value, Written):
            self.text.append("<value><array><data>")
            self.end_text()
            self.pieces += value.values
            self.text.append("</data></array></value>")
        elif isinstance(value, Fault):
            # The only integer: clients compare it with that of a fault that comes by itself.
            self.text.append(
                f"<value><struct>{_member('faultCode')}<value><int>{value.faultCode}</int></value>"
                f"</member>{_member('faultString')}<value>{_string(value.faultString)}</value>"
                "</member></struct></value>"
            )
        else:
            plain = int(value) if isinstance(value, int) else str(value)
            self.text.append(f"<value>{_string(plain)}</value>")

    def _write_struct(self, value: dict[Any, Any]) -> None:
        self.text.append("<value><struct>")
        for name, member in value.items():
            simple = _SIMPLE.get(type(member))
            if simple is not None:
                self.text.append(f"{_member(name)}<value>{simple(member)}</value></member>")
            else:
                self.text.append(_member(name))
                self.write(member)
                self.text.append("</member>")
        self.text.append("</struct></value>")

    def _write_bytes(self, value: bytes) -> None:
        self.text.append("<value><base64>")
        self.end_text()
        view = memoryview(value)
        self.pieces += (
            binascii.b2a_base64(view[at : at + _BASE64_BYTES], newline=False)
            for at in range(0, len(view), _BASE64_BYTES)
        )
        self.text.append("</base64></value>")


def _string(value: str | int) -> str:
    text = str(value)
    if _SPECIAL.search(text) is not None:
        text = _SPECIAL.sub(_escape, text)
    return f"<string>{text}</string>"


def _escape(found: re.Match[str]) -> str:
    return _REFERENCES.get(found[0]) or ascii(found[0])[1:-1]


def _double(value: float) -> str:
    return f"<double>{value!r}</double>" if math.isfinite(value) else "<string></string>"


@functools.lru_cache(maxsize=1024)
def _member(name: object) -> str:
    """Return the beginning of a member, up to its value."""
    text = _SPECIAL.sub(_escape, str(name))
    return f"<member><name>{text}</name>"


_SIMPLE: Final[Mapping[type, Callable[[Any], str]]] = {
    str: _string,
    int: lambda value: f"<string>{value}</string>",
    bool: lambda value: f"<boolean>{value:d}</boolean>",
    float: _double,
    type(None): lambda _: "<string></string>",
}
