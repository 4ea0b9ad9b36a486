# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that lists the hosts of a fleet: an address and labels a line."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kvmlog.client.connection import DEFAULT_PORT, RpcError, parse_address
from kvmlog.fleet import FleetError

STDIN: Final = "-"
MOST_HOSTS: Final = 10_000
MOST_BYTES: Final = 4 << 20
_MOST_LABELS: Final = 16
_VALUE_CHARACTERS: Final = 128
_SHOWN_CHARACTERS: Final = 60
# Prometheus' own; those that begin with two underscores mean something to it.
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class FleetHost:
    """One host: where its `kvmlog rpc` is, and what is known of it besides."""

    host: str
    port: int
    tls: bool
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in messages: HOST, with the port where that is not the usual one."""
        return self.host if self.port == DEFAULT_PORT else self.address(self.port)

    @property
    def url(self) -> str:
        """The address for kvmlog.client.Client."""
        return f"{'https' if self.tls else 'http'}://{self.address(self.port)}"

    def address(self, port: int) -> str:
        """Return HOST:PORT for a port of it."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def read(path: str, *, tls: bool = False, port: int = DEFAULT_PORT) -> list[FleetHost]:
    """Return the hosts of a file, "-": of standard input; FleetError names the line that is wrong.

    tls, port: of addresses that do not tell them.
    """
    shown = "standard input" if path == STDIN else path
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FleetError(
            f"{shown}: cannot be read ({error.strerror}); give a file with one HOST[:PORT] a line"
        ) from None
    if len(data) > MOST_BYTES:
        raise FleetError(f"{shown}: more than {MOST_BYTES} bytes; give a list of hosts")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FleetError(f"{shown}: line {line} is no UTF-8; give one HOST[:PORT] a line") from None
    return parse(text.split("\n"), shown, tls=tls, port=port)


def parse(
    lines: Sequence[str], shown: str, *, tls: bool = False, port: int = DEFAULT_PORT
) -> list[FleetHost]:
    """Return the hosts of some lines; as read()."""
    found: dict[tuple[str, int], int] = {}
    hosts: list[FleetHost] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            one = _host(words, tls=tls, port=port)
        except (FleetError, RpcError) as error:
            raise FleetError(f"{shown}: line {number}: {error}") from None
        key = (one.host.lower(), one.port)
        if key in found:
            raise FleetError(
                f"{shown}: line {number}: {one.name} is on line {found[key]} already; delete one"
            )
        if len(hosts) == MOST_HOSTS:
            raise FleetError(
                f"{shown}: line {number}: more than {MOST_HOSTS} hosts; split the list"
            )
        found[key] = number
        hosts.append(one)
    if not hosts:
        raise FleetError(f"{shown}: there is no host; give one HOST[:PORT] a line")
    return hosts


def _host(words: Sequence[str], *, tls: bool, port: int) -> FleetHost:
    host, given_port, with_tls = parse_address(words[0], port, tls)
    return FleetHost(host, given_port, with_tls, labels(words[1:]))


def labels(words: Sequence[str]) -> dict[str, str]:
    """Return labels by name; FleetError for what is none."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _LABEL.fullmatch(name) or len(value) > _VALUE_CHARACTERS:
            raise FleetError(
                f"{word[:_SHOWN_CHARACTERS]!a} is no label; give NAME=VALUE, the name of letters, "
                f"digits and underscores, {_VALUE_CHARACTERS} characters of value at most"
            )
        if name in found or len(found) == _MOST_LABELS:
            raise FleetError(
                f"label {name[:_SHOWN_CHARACTERS]}: given twice, or more than {_MOST_LABELS} "
                "labels; give each name once"
            )
        found[name] = value
    return found
