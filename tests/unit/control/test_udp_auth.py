# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed datagrams: nothing forged, nothing twice, nothing old."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.control import udp_auth
from kvmlog.control.udp_auth import Nonces, ReplayedError, SignedRequest
from kvmlog.util.errors import KvmlogError, SwitchError
from tests.support.corruption import damage

KEY = bytes(range(32))
HERE = "192.0.2.7:50000"
NOW_NS = 1_800_000_000_123_456_789
S = 1_000_000_000


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


def signed(number: int, time_ns: int) -> SignedRequest:
    """A request of its own nonce."""
    return SignedRequest(time_ns, b"%032x" % number, b"on")


def test_a_request_comes_out_as_it_went_in() -> None:
    """To the nanosecond, with blanks in the command and the newline that a shell adds."""
    datagram, nonce = udp_auth.format_request(KEY, "on or off", HERE, NOW_NS)
    expected = SignedRequest(NOW_NS, nonce, b"on or off")
    assert udp_auth.parse_request(KEY, datagram, HERE) == expected
    assert udp_auth.parse_request(KEY, datagram + b"\n", HERE) == expected


def test_the_format_is_the_one_that_is_documented() -> None:
    """HMAC-SHA256 as any other program computes it; a time in whole seconds will do."""
    # printf '%s' "kvmlog1 1800000000 ab...ab on 192.0.2.7:50000" |
    #     openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f
    mac = b"0c9861df73d65f10ac46cac38e7826f77ce72a35288179ee4db604b7c6a12350"
    datagram = b"kvmlog1 1800000000 " + b"ab" * 16 + b" on " + mac
    assert udp_auth.parse_request(KEY, datagram, HERE) == SignedRequest(
        1_800_000_000 * S, b"ab" * 16, b"on"
    )


@pytest.mark.parametrize("receiver", ["192.0.2.8:50000", "192.0.2.7:50001", "[::1]:50000"])
def test_a_request_is_for_one_receiver(receiver: str) -> None:
    """A host with the same key does not take it."""
    datagram, _ = udp_auth.format_request(KEY, "on", HERE, NOW_NS)
    assert udp_auth.parse_request(KEY, datagram, receiver) is None


def test_every_changed_byte_is_noticed() -> None:
    """Of request and answer; and what is cut short."""
    request, nonce = udp_auth.format_request(KEY, "off", HERE, NOW_NS)
    answer = udp_auth.format_answer(KEY, nonce, b"ok off")
    assert udp_auth.parse_answer(KEY, nonce, answer) == b"ok off"
    for at in range(len(request)):
        changed = request[:at] + bytes([request[at] ^ 1]) + request[at + 1 :]
        assert udp_auth.parse_request(KEY, changed, HERE) is None
        assert udp_auth.parse_request(KEY, request[:at], HERE) is None
    for at in range(len(answer)):
        changed = answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]
        assert udp_auth.parse_answer(KEY, nonce, changed) is None
        assert udp_auth.parse_answer(KEY, nonce, answer[:at]) is None


def test_another_key_and_another_request_are_noticed() -> None:
    """An answer belongs to one request; a request is no answer."""
    request, nonce = udp_auth.format_request(KEY, "on", HERE, NOW_NS)
    assert udp_auth.parse_request(bytes(32), request, HERE) is None
    answer = udp_auth.format_answer(KEY, nonce, b"ok on")
    assert udp_auth.parse_answer(KEY, b"0" * 32, answer) is None
    assert udp_auth.parse_answer(bytes(32), nonce, answer) is None
    assert udp_auth.parse_answer(KEY, nonce, request) is None
    assert udp_auth.parse_request(KEY, answer, HERE) is None


def test_a_request_is_taken_once() -> None:
    """A second time it is a replay, also at the end of the window."""
    clock = Clock()
    nonces = Nonces(clock)
    clock.now_ns += S
    nonces.take(signed(1, clock.now_ns))
    nonces.take(signed(2, clock.now_ns))
    for _ in range(2):
        with pytest.raises(ReplayedError):
            nonces.take(signed(1, NOW_NS + S))
        clock.now_ns += 29 * S


@pytest.mark.parametrize("ahead_s", [-31, 31, -3_600, 10**9])
def test_a_wrong_clock_is_told(ahead_s: int) -> None:
    """By how much, and in which direction."""
    clock = Clock()
    nonces = Nonces(clock)
    clock.now_ns += 10_000 * S
    word = "ahead of" if ahead_s > 0 else "behind"
    with pytest.raises(SwitchError, match=f"{abs(ahead_s)}.000 s {word} this host's clock"):
        nonces.take(signed(1, clock.now_ns + ahead_s * S))
    nonces.take(signed(1, clock.now_ns + (30 if ahead_s > 0 else -30) * S))


def test_a_new_bridge_takes_nothing_older_than_itself() -> None:
    """It cannot know which of these were taken before."""
    nonces = Nonces(Clock())
    for old_ns in (NOW_NS, NOW_NS - S):
        with pytest.raises(SwitchError, match="older than what this bridge remembers"):
            nonces.take(signed(1, old_ns))
    nonces.take(signed(1, NOW_NS + 1))


def test_memory_is_bounded_and_what_is_forgotten_stays_out() -> None:
    """Full: refused until the window has passed; and a clock set back opens no door."""
    clock = Clock()
    nonces = Nonces(clock, most=3)
    for number in range(3):
        nonces.take(signed(number, NOW_NS + 1 + number))
    with pytest.raises(SwitchError, match="3 commands came within 60 s"):
        nonces.take(signed(9, NOW_NS + 9))
    clock.now_ns += 31 * S
    nonces.take(signed(9, clock.now_ns))
    clock.now_ns = NOW_NS + S
    for number in range(3):
        with pytest.raises(SwitchError, match="older than what this bridge remembers"):
            nonces.take(signed(number, NOW_NS + 1 + number))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda b: b"kvmlog1 " + b)))
def test_noise_is_neither_request_nor_answer(noise: bytes) -> None:
    """And raises nothing."""
    assert udp_auth.parse_request(KEY, noise, HERE) is None
    assert udp_auth.parse_answer(KEY, b"0" * 32, noise) is None


@settings(deadline=None)
@given(st.integers(min_value=0))
def test_a_damaged_request_is_none(seed: int) -> None:
    """100 damages for each seed, 10,000 in all: bytes changed, moved, doubled, left out."""
    dice = random.Random(seed)
    request, nonce = udp_auth.format_request(KEY, "on", HERE, NOW_NS)
    answer = udp_auth.format_answer(KEY, nonce, b"ok on")
    for _ in range(100):
        for whole in (request, answer):
            damaged = damage(dice, whole)
            if damaged.rstrip(b"\r\n") != whole:
                assert udp_auth.parse_request(KEY, damaged, HERE) is None
                assert udp_auth.parse_answer(KEY, nonce, damaged) is None


@pytest.mark.parametrize("text", ["", "ab" * 31, "xy" * 32, "ab" * 32 + " !", "\u00e4" * 64])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """The sentence says how to make one."""
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KvmlogError, match="openssl rand -hex 32"):
        udp_auth.read_key(str(path))


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o601, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """With its mode and what to do."""
    path = tmp_path / "key"
    path.write_text("ab" * 32, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(KvmlogError, match=f"has mode {mode:04o}.*chmod 0600"):
        udp_auth.read_key(str(path))
    path.chmod(0o640)
    assert udp_auth.read_key(str(path)) == b"\xab" * 32
