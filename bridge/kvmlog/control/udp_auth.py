# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed datagrams of the switch: the key, the format, and no command twice (docs/switch.md).

    request   kvmlog1 TIME NONCE COMMAND HMAC
    answer    kvmlog1 answer NONCE HMAC TEXT

Both HMACs are of SHA-256, in hex. The request's is over "kvmlog1 TIME NONCE COMMAND RECEIVER", so
that hosts with the same key do not take each other's datagrams; the answer's over "kvmlog1 answer
NONCE TEXT", so that it answers this request and no other. Neither can be taken for the other one:
a TIME has digits only.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kvmlog.util.errors import SwitchError
from kvmlog.util.secrets import read_secret

MAGIC: Final = b"kvmlog1 "
WINDOW_S: Final = 30.0
KEY_BYTES: Final = 32
REQUEST_BYTES: Final = 1024
# About 10 MB when full, which only who has the key can make it.
NONCES: Final = 65_536

_NS: Final = 1_000_000_000
_REQUEST: Final = re.compile(
    rb"kvmlog1 ([0-9]{1,10})(?:\.([0-9]{1,9}))? ([0-9a-f]{32}) (.*) ([0-9a-f]{64})[\r\n]*",
    re.DOTALL,
)
_ANSWER: Final = re.compile(rb"kvmlog1 answer ([0-9a-f]{32}) ([0-9a-f]{64}) (.*)", re.DOTALL)


@dataclass(frozen=True)
class SignedRequest:
    """A request whose signature is right; whether it is fresh and new Nonces tells."""

    time_ns: int  # since the epoch, by the sender's clock
    nonce: bytes  # 32 hex digits
    command: bytes


def read_key(path: str) -> bytes:
    """The key in a file: 64 or more hex digits. SecretError, SwitchError when it is none."""
    text = read_secret(path, "UDP key").strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise SwitchError(
            f"{path}: a UDP key is {2 * KEY_BYTES} or more hex digits; make one: "
            f"(umask 077; openssl rand -hex {KEY_BYTES} > {path})"
        )
    return key


def format_request(key: bytes, command: str, receiver: str, now_ns: int) -> tuple[bytes, bytes]:
    """A signed request to RECEIVER ("192.0.2.1:50000", "[2001:db8::1]:50000"), and its nonce."""
    nonce = secrets.token_hex(16).encode()
    text = b"kvmlog1 %d.%09d %s %s" % (now_ns // _NS, now_ns % _NS, nonce, command.encode())
    return text + b" " + _mac(key, text + b" " + receiver.encode()), nonce


def parse_request(key: bytes, datagram: bytes, receiver: str) -> SignedRequest | None:
    """The request in a datagram; None when it is malformed, forged or for another receiver."""
    found = _REQUEST.fullmatch(datagram)
    if found is None:
        return None
    text = datagram[: found.end(4)] + b" " + receiver.encode()
    if not hmac.compare_digest(_mac(key, text), found[5]):
        return None
    fraction_ns = int((found[2] or b"").ljust(9, b"0"))
    return SignedRequest(int(found[1]) * _NS + fraction_ns, found[3], found[4])


def format_answer(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """A signed answer to the request of this nonce."""
    mac = _mac(key, b"kvmlog1 answer " + nonce + b" " + text)
    return b"kvmlog1 answer " + nonce + b" " + mac + b" " + text


def parse_answer(key: bytes, nonce: bytes, datagram: bytes) -> bytes | None:
    """The text of the answer to the request of this nonce; None when it is not that."""
    found = _ANSWER.fullmatch(datagram)
    if found is None or found[1] != nonce:
        return None
    mac = _mac(key, b"kvmlog1 answer " + nonce + b" " + found[3])
    return found[3] if hmac.compare_digest(mac, found[2]) else None


class ReplayedError(Exception):
    """This very request was taken before."""


class Nonces:
    """Which requests were taken: each once, and none too old to be remembered.

    What is forgotten leaves its time behind: nothing older is taken any more, even when the
    clock was set back. A new bridge takes nothing older than itself, for it knows no nonces.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, most: int = NONCES) -> None:
        """clock: ns since the epoch."""
        self._clock = clock
        self._most = most
        self._taken: dict[bytes, int] = {}
        self._floor_ns = clock()

    def take(self, request: SignedRequest) -> None:
        """Remembers a request that may be carried out.

        ReplayedError, or SwitchError with the sentence for the sender.
        """
        now_ns = self._clock()
        if request.nonce in self._taken:
            raise ReplayedError
        ahead_s = (request.time_ns - now_ns) / _NS
        if abs(ahead_s) > WINDOW_S:
            word = "ahead of" if ahead_s > 0 else "behind"
            raise SwitchError(
                f"the command's time is {abs(ahead_s):.3f} s {word} this host's clock, at most "
                f"{WINDOW_S:g} s are allowed; set the clocks"
            )
        if len(self._taken) >= self._most:
            self._forget(now_ns)
        if request.time_ns <= self._floor_ns:
            raise SwitchError(
                "the command is older than what this bridge remembers; send it again, and if that "
                "does not help, set the clocks"
            )
        if len(self._taken) >= self._most:
            raise SwitchError(
                f"{self._most} commands came within {2 * WINDOW_S:g} s; send it again later"
            )
        self._taken[request.nonce] = request.time_ns

    def _forget(self, now_ns: int) -> None:
        """Those that the window keeps out from now on."""
        end_ns = now_ns - int(WINDOW_S * _NS)
        old = [nonce for nonce, time_ns in self._taken.items() if time_ns < end_ns]
        for nonce in old:
            self._floor_ns = max(self._floor_ns, self._taken.pop(nonce))


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256").hex().encode()
