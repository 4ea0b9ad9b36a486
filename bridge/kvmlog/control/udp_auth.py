# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed datagrams of the switch: the key, the format, and replay protection (docs/access.md).

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
OFFER_S: Final = 30.0

_NS: Final = 1_000_000_000
_WINDOW_NS: Final = int(WINDOW_S * _NS)
_OFFER_NS: Final = int(OFFER_S * _NS)
_REQUEST: Final = re.compile(
    rb"kvmlog1 ([0-9]{1,10})(?:\.([0-9]{1,9}))? ([0-9a-f]{32}) (.*) ([0-9a-f]{64})[\r\n]*",
    re.DOTALL,
)
_OFFERED: Final = re.compile(rb"error: .* the nonce ([0-9a-f]{32})\b")
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


def format_request(
    key: bytes, command: str, receiver: str, now_ns: int, nonce: bytes | None = None
) -> tuple[bytes, bytes]:
    """Return a signed request and its nonce.

    receiver: address of the bridge, "192.0.2.1:50000" or "[2001:db8::1]:50000". nonce: the one that
    the bridge offered, None for a new one.
    """
    nonce = nonce or secrets.token_hex(16).encode()
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


def offered_nonce(text: bytes) -> bytes | None:
    """Return the nonce that an answer wants a request signed with; None when it offers none."""
    found = _OFFERED.match(text)
    return found[1] if found else None


class ReplayedError(Exception):
    """The request has been accepted before."""


class Nonces:
    """The nonces of accepted requests: each request is accepted once, and only when it is fresh.

    A request is fresh by its time, when that is within WINDOW_S of this host's clock and after
    all that was forgotten: that of this object's start, and of nonces that gave way to others. So
    a clock that is set back makes no old request fresh. What then cannot be told from a replay is
    refused with an offer: a nonce that is nobody's yet. A request with that is fresh whatever its
    time, since nobody can have signed it before. Offers are not stored: each has its time on a
    clock that is never set, and a MAC that only this object can make.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        most: int = NONCES,
    ) -> None:
        """clock: ns since the epoch, which may be set; elapsed: ns of a clock that is never set."""
        self._clock = clock
        self._elapsed = elapsed
        self._most = most
        self._secret = secrets.token_bytes(KEY_BYTES)
        # When each may be forgotten, by `elapsed`, and up to which time none is fresh then.
        self._accepted: dict[bytes, tuple[int, int]] = {}
        self._floor_ns = clock()

    def accept(self, request: SignedRequest) -> None:
        """Accept a request and remember its nonce.

        ReplayedError, or SwitchError with the sentence for the sender.
        """
        now_ns = self._elapsed()
        if request.nonce in self._accepted:
            raise ReplayedError
        if self._is_offer(request.nonce, now_ns):
            kept = (now_ns + _OFFER_NS, 0)
        else:
            ahead_ns = request.time_ns - self._clock()
            self._check_time(request.time_ns, ahead_ns, now_ns)
            kept = (now_ns + ahead_ns + _WINDOW_NS, request.time_ns)
        if len(self._accepted) >= self._most:
            self._forget(now_ns)
        if len(self._accepted) >= self._most:
            raise SwitchError(
                f"{self._most} commands came within {2 * WINDOW_S:g} s; send it again later"
            )
        self._accepted[request.nonce] = kept

    def _check_time(self, time_ns: int, ahead_ns: int, now_ns: int) -> None:
        """Raise SwitchError, with an offer, for a request that is not fresh by its time."""
        again = f"sign it again with the nonce {self._offer(now_ns).decode()}, within {OFFER_S:g} s"
        if abs(ahead_ns) > _WINDOW_NS:
            off = f"{abs(ahead_ns) / _NS:.3f} s {'ahead of' if ahead_ns > 0 else 'behind'}"
            raise SwitchError(
                f"the command's time is {off} this host's clock, at most {WINDOW_S:g} s are "
                f"allowed; set the clocks, or {again}"
            )
        if time_ns <= self._floor_ns:
            raise SwitchError(
                "the command is older than what this bridge remembers, which began later or whose "
                f"clock was set back; {again}"
            )

    def _forget(self, now_ns: int) -> None:
        """Forget the nonces that have been kept for long enough."""
        old = [nonce for nonce, (until_ns, _) in self._accepted.items() if until_ns <= now_ns]
        for nonce in old:
            self._floor_ns = max(self._floor_ns, self._accepted.pop(nonce)[1])

    def _offer(self, now_ns: int) -> bytes:
        begun = b"%016x" % now_ns
        return begun + _mac(self._secret, begun)[:16]

    def _is_offer(self, nonce: bytes, now_ns: int) -> bool:
        begun_ns = int(nonce[:16], 16)
        return (
            hmac.compare_digest(nonce, self._offer(begun_ns)) and 0 <= now_ns - begun_ns < _OFFER_NS
        )


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256").hex().encode()
