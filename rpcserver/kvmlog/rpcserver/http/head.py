# SPDX-License-Identifier: GPL-2.0-or-later
"""The head of a request: its parsing (RFC 9112), and what must be true of it to read its body.

Parsing is as strict as a recipient may be: what two parsers could read differently is refused.
The stdlib's parser, made for mail, takes longer than all the rest of a cheap call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from types import MappingProxyType
from typing import Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.limits import Limits

PATHS: Final = ("/", "/RPC2")
CONTENT_TYPES: Final = ("text/xml", "application/xml")
MOST_HEADERS: Final = 100

_VERSION: Final = re.compile(r"HTTP/([0-9])\.([0-9])")
# A proxy's form of the target, which servers have to accept (RFC 9112, 3.2.2).
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_HEADER: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00\r\n]*)")
_METHODS: Final = frozenset(HTTPMethod) - {HTTPMethod.CONNECT}
_ALLOW: Final = MappingProxyType({"Allow": "POST"})


@dataclass(frozen=True)
class Head:
    """A request's first line and its headers."""

    method: str
    path: str
    persistent: bool
    """Whether the connection may carry another request after this one."""

    asks: bool
    """Whether the client waits for "100 Continue" before it sends the body."""

    headers: Mapping[str, Sequence[str]]
    """Values by names in small letters, in the order in which they came."""

    def get(self, name: str, default: str = "") -> str:
        """Return the values of a header, joined by commas where it came more than once."""
        values = self.headers.get(name)
        return ", ".join(values) if values else default


def parse_head(data: bytes) -> Head:
    """Parse a head, from its request line to the empty line; RefusalError for what is none."""
    first, *lines = (line.removesuffix("\r") for line in data.decode("latin-1").split("\n"))
    method, target, version = _request_line(first)
    headers = _headers(lines[: lines.index("")])
    if method not in _METHODS:
        raise RefusalError(
            HTTPStatus.NOT_IMPLEMENTED, f"There is no HTTP method {faults.shown(method)}."
        )
    current = version >= 1
    # A proxy that forwards to another host of the two would be fooled.
    if current and len(headers.get("host", ())) != 1:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "Send one Host header.")
    expected = ", ".join(headers.get("expect", ())).lower() if current else ""
    if expected not in ("", "100-continue"):
        raise RefusalError(
            HTTPStatus.EXPECTATION_FAILED,
            f"Expect {faults.shown(expected)} cannot be met; send 100-continue, or none.",
        )
    closing = "close" in re.split(r"[,\s]+", ", ".join(headers.get("connection", ())).lower())
    path = _ABSOLUTE.sub("", target, 1) or "/"
    return Head(method, path, current and not closing, bool(expected), headers)


def body_length(head: Head, limits: Limits) -> int:
    """Return the length of the body in bytes; RefusalError for a request not to be read."""
    if head.method != HTTPMethod.POST:
        raise RefusalError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{head.method} is not served here; POST a methodCall.",
            _ALLOW,
        )
    if head.path not in PATHS:
        raise RefusalError(HTTPStatus.NOT_FOUND, f"POST to {' or '.join(PATHS)}.")
    if "origin" in head.headers:
        # A web page: its user did not mean to switch tracing (CSRF, DNS rebinding).
        raise RefusalError(HTTPStatus.FORBIDDEN, "Web pages may not call this server.")
    # Two of them, joined, are no type that is served.
    if head.get("content-type").partition(";")[0].strip().lower() not in CONTENT_TYPES:
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send one Content-Type: text/xml.")
    if head.get("content-encoding", "identity").lower() != "identity":
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body uncompressed.")
    if "transfer-encoding" in head.headers:
        raise RefusalError(
            HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length, not in chunks."
        )
    if "content-length" not in head.headers:
        raise RefusalError(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
    return _length(head.get("content-length"), limits.body_bytes)


def _request_line(line: str) -> tuple[str, str, int]:
    """Return method, target and the minor number of the version 1."""
    words = line.split(" ")
    version = _VERSION.fullmatch(words[-1])
    if len(words) != 3 or version is None or not all(word.isprintable() for word in words):
        raise RefusalError(
            HTTPStatus.BAD_REQUEST,
            f"The request line is {faults.shown(line)}; send METHOD PATH HTTP/1.1.",
        )
    if version[1] != "1":
        raise RefusalError(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"{words[2]} is not served; use HTTP/1.1."
        )
    return words[0], words[1], int(version[2])


def _headers(lines: Sequence[str]) -> dict[str, list[str]]:
    if len(lines) > MOST_HEADERS:
        raise RefusalError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"There are {len(lines)} headers; send {MOST_HEADERS} at most.",
        )
    headers: dict[str, list[str]] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "A header line is no NAME: VALUE.")
        headers.setdefault(found[1].lower(), []).append(found[2].rstrip(" \t"))
    return headers


def _length(text: str, most: int) -> int:
    number = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()):
        raise RefusalError(
            HTTPStatus.BAD_REQUEST, f"Content-Length {faults.shown(text)} is no number of bytes."
        )
    # Compared by digits first: int() refuses, with an error of its own, what is too long.
    if len(number) > len(str(most)) or int(number) > most:
        raise RefusalError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body may have {most} bytes, not {faults.shown(number)}.",
        )
    return int(number)
