# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed datagrams of the switch: the key, the format, and replay protection (docs/switch.md).

    request   kvmlog1 TIME NONCE COMMAND HMAC
    answer    kvmlog1 answer NONCE HMAC TEXT

Both HMACs are SHA-256, in hex. The request's is over "kvmlog1 TIME NONCE COMMAND RECEIVER", so
that hosts with the same key do not take each other's datagrams; the answer's is over "kvmlog1
answer NONCE TEXT", so that it answers this request and no other. Neither can be mistaken for the
other: TIME has digits only.
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
# About 10 MB when full; only an owner of the key can fill it.
NONCES: Final = 65_536

_NS: Final = 1_000_000_000
_REQUEST: Final = re.compile(
    rb"kvmlog1 ([0-9]{1,10})(?:\.([0-9]{1,9}))? ([0-9a-f]{32}) (.*) ([0-9a-f]{64})[\r\n]*",
    re.DOTALL,
)
_ANSWER: Final = re.compile(rb"kvmlog1 answer ([0-9a-f]{32}) ([0-9a-f]{64}) (.*)", re.DOTALL)


@dataclass(frozen=True)
class SignedRequest:
    """A request with a valid signature; Nonces decides whether it is fresh."""

    time_ns: int  # since the epoch, by the sender's clock
    nonce: bytes  # 32 hex digits
    command: bytes


def read_key(path: str) -> bytes:
    """Read a key from a file: 64 or more hex digits; SecretError, SwitchError."""
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
    """Return a signed request and its nonce.

    receiver: address of the bridge, "192.0.2.1:50000" or "[2001:db8::1]:50000".
    """
    nonce = secrets.token_hex(16).encode()
    text = b"kvmlog1 %d.%09d %s %s" % (now_ns // _NS, now_ns % _NS, nonce, command.encode())
    return text + b" " + _mac(key, text + b" " + receiver.encode()), nonce


def parse_request(key: bytes, datagram: bytes, receiver: str) -> SignedRequest | None:
    """Verify a request; None when it is malformed, forged or for another receiver."""
    found = _REQUEST.fullmatch(datagram)
    if found is None:
        return None
    text = datagram[: found.end(4)] + b" " + receiver.encode()
    if not hmac.compare_digest(_mac(key, text), found[5]):
        return None
    fraction_ns = int((found[2] or b"").ljust(9, b"0"))
    return SignedRequest(int(found[1]) * _NS + fraction_ns, found[3], found[4])


def format_answer(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """Sign an answer to the request with this nonce."""
    mac = _mac(key, b"kvmlog1 answer " + nonce + b" " + text)
    return b"kvmlog1 answer " + nonce + b" " + mac + b" " + text


def parse_answer(key: bytes, nonce: bytes, datagram: bytes) -> bytes | None:
    """Return the text of the answer to the request with this nonce; None for anything else."""
    found = _ANSWER.fullmatch(datagram)
    if found is None or found[1] != nonce:
        return None
    mac = _mac(key, b"kvmlog1 answer " + nonce + b" " + found[3])
    return found[3] if hmac.compare_digest(mac, found[2]) else None


class ReplayedError(Exception):
    """The request has been accepted before."""


class Nonces:
    """The nonces of accepted requests: each is accepted once, and none that is too old.

    No request is accepted that is older than the newest forgotten nonce, even when the clock was
    set back, or older than this object, which knows no earlier nonces.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, most: int = NONCES) -> None:
        """clock: ns since the epoch."""
        self._clock = clock
        self._most = most
        self._accepted: dict[bytes, int] = {}
        self._floor_ns = clock()

    def accept(self, request: SignedRequest) -> None:
        """Accept a request and remember its nonce.

        ReplayedError, or SwitchError with the sentence for the sender.
        """
        now_ns = self._clock()
        if request.nonce in self._accepted:
            raise ReplayedError
        ahead_s = (request.time_ns - now_ns) / _NS
        if abs(ahead_s) > WINDOW_S:
            word = "ahead of" if ahead_s > 0 else "behind"
            raise SwitchError(
                f"the command's time is {abs(ahead_s):.3f} s {word} this host's clock, at most "
                f"{WINDOW_S:g} s are allowed; set the clocks"
            )
        if len(self._accepted) >= self._most:
            self._forget(now_ns)
        if request.time_ns <= self._floor_ns:
            raise SwitchError(
                "the command is older than what this bridge remembers; send it again, and if that "
                "does not help, set the clocks"
            )
        if len(self._accepted) >= self._most:
            raise SwitchError(
                f"{self._most} commands came within {2 * WINDOW_S:g} s; send it again later"
            )
        self._accepted[request.nonce] = request.time_ns

    def _forget(self, now_ns: int) -> None:
        """Forget the nonces of requests that the window refuses from now on."""
        end_ns = now_ns - int(WINDOW_S * _NS)
        old = [nonce for nonce, time_ns in self._accepted.items() if time_ns < end_ns]
        for nonce in old:
            self._floor_ns = max(self._floor_ns, self._accepted.pop(nonce))


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256").hex().encode()
