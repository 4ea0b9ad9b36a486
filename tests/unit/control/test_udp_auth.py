# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed datagrams: none that is forged, replayed or old is accepted."""

from __future__ import annotations

import hmac
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
    """The time of day, which the test sets, and one that only goes on."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS
        self.elapsed_ns = 5 * S

    def nonces(self, most: int = udp_auth.NONCES) -> Nonces:
        """Nonces of a bridge that begins now."""
        return Nonces(lambda: self.now_ns, lambda: self.elapsed_ns, most)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += int(seconds * S)
        self.elapsed_ns += int(seconds * S)

    def set(self, ahead_s: float) -> None:
        """Set the time of day, as date(1) and NTP do."""
        self.now_ns += int(ahead_s * S)


def signed(number: int, time_ns: int) -> SignedRequest:
    """A request of its own nonce."""
    return SignedRequest(time_ns, b"%032x" % number, b"on")


def test_a_request_comes_out_as_it_went_in() -> None:
    """A request survives to the nanosecond, with blanks in the command and a shell's newline."""
    datagram, nonce = udp_auth.format_request(KEY, "on or off", HERE, NOW_NS)
    expected = SignedRequest(NOW_NS, nonce, b"on or off")
    assert udp_auth.parse_request(KEY, datagram, HERE) == expected
    assert udp_auth.parse_request(KEY, datagram + b"\n", HERE) == expected


def test_the_format_is_the_one_that_is_documented() -> None:
    """An HMAC-SHA256 of another program is accepted, with a time in whole seconds."""
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


@pytest.mark.parametrize(
    ("text", "fraction_ns"),
    [(b"1800000000.1", 100_000_000), (b"1800000000.123456789", 123_456_789), (b"0", None)],
)
def test_a_time_has_at_most_nine_digits_after_a_point(text: bytes, fraction_ns: int | None) -> None:
    """Each is a decimal fraction of a second; ten digits, a sign or a second point are none."""

    def parsed(time: bytes) -> SignedRequest | None:
        words = b"kvmlog1 " + time + b" " + b"ab" * 16 + b" on"
        mac = hmac.digest(KEY, words + b" " + HERE.encode(), "sha256").hex().encode()
        return udp_auth.parse_request(KEY, words + b" " + mac, HERE)

    found = parsed(text)
    assert found is not None
    assert found.time_ns == (0 if fraction_ns is None else 1_800_000_000 * S + fraction_ns)
    for wrong in (text + b".0000000000", b"-" + text, b"+" + text, text + b".0.0", text + b"."):
        assert parsed(wrong) is None


def test_every_changed_byte_is_noticed() -> None:
    """No changed or truncated request or answer is accepted."""
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


def offered(nonces: Nonces, request: SignedRequest) -> bytes:
    """Return the nonce that is offered in the refusal of a request."""
    with pytest.raises(SwitchError) as caught:
        nonces.accept(request)
    nonce = udp_auth.offered_nonce(f"error: {caught.value}".encode())
    assert nonce is not None
    return nonce


def test_a_request_is_taken_once() -> None:
    """A second time it is a replay, also at the end of the window."""
    clock = Clock()
    nonces = clock.nonces()
    clock.wait(1)
    nonces.accept(signed(1, clock.now_ns))
    nonces.accept(signed(2, clock.now_ns))
    for _ in range(2):
        with pytest.raises(ReplayedError):
            nonces.accept(signed(1, NOW_NS + S))
        clock.wait(29)


@pytest.mark.parametrize("ahead_s", [-31, 31, -3_600, 10**9])
def test_a_wrong_clock_is_told(ahead_s: int) -> None:
    """The message says by how much, and in which direction."""
    clock = Clock()
    nonces = clock.nonces()
    clock.wait(10_000)
    word = "ahead of" if ahead_s > 0 else "behind"
    with pytest.raises(SwitchError, match=f"{abs(ahead_s)}.000 s {word} this host's clock"):
        nonces.accept(signed(1, clock.now_ns + ahead_s * S))
    nonces.accept(signed(1, clock.now_ns + (30 if ahead_s > 0 else -30) * S))


def test_a_new_bridge_takes_nothing_older_than_itself() -> None:
    """A new bridge cannot know which older requests were accepted."""
    nonces = Clock().nonces()
    for old_ns in (NOW_NS, NOW_NS - S):
        with pytest.raises(SwitchError, match="older than what this bridge remembers"):
            nonces.accept(signed(1, old_ns))
    nonces.accept(signed(1, NOW_NS + 1))


def test_memory_is_bounded_and_what_is_forgotten_stays_out() -> None:
    """Full: refused until the window has passed; and a clock set back opens no door."""
    clock = Clock()
    nonces = clock.nonces(most=3)
    for number in range(3):
        nonces.accept(signed(number, NOW_NS + 1 + number))
    with pytest.raises(SwitchError, match="3 commands came within 60 s"):
        nonces.accept(signed(9, NOW_NS + 9))
    clock.wait(31)
    nonces.accept(signed(9, clock.now_ns))
    clock.set(-30)
    for number in range(3):
        with pytest.raises(SwitchError, match="older than what this bridge remembers"):
            nonces.accept(signed(number, NOW_NS + 1 + number))


@pytest.mark.parametrize("back_s", [1, 31, 3_600, 10**8])
def test_a_clock_that_is_set_back_refuses_nobody_for_long(back_s: int) -> None:
    """Within what the bridge remembers a request is accepted at once, before that as offered."""
    clock = Clock()
    nonces = clock.nonces()
    clock.wait(100)
    nonces.accept(signed(1, clock.now_ns))
    clock.set(-back_s)
    request = signed(2, clock.now_ns)
    if back_s < 100:
        nonces.accept(request)
    else:
        again = SignedRequest(clock.now_ns, offered(nonces, request), b"on")
        nonces.accept(again)
        with pytest.raises(ReplayedError):
            nonces.accept(again)


@pytest.mark.parametrize("back_s", [1, 31, 3_600, 10**8])
def test_a_clock_that_is_set_back_lets_no_replay_in(back_s: int) -> None:
    """Neither at once nor when its time comes again, of this bridge's requests or of earlier ones.

    With memory to spare, and with one that has forgotten the request.
    """
    for most, known in ((8, ReplayedError), (1, SwitchError)):
        clock = Clock()
        before = signed(7, NOW_NS - 5 * S)
        nonces = clock.nonces(most)
        clock.wait(100)
        captured = signed(1, clock.now_ns)
        nonces.accept(captured)
        if most == 1:
            clock.wait(61)
            nonces.accept(signed(2, clock.now_ns))
            clock.set(-61)
        clock.set(-back_s)
        for _ in range(10):
            for request, refusal in ((captured, known), (before, SwitchError)):
                with pytest.raises(refusal):
                    nonces.accept(request)
            clock.wait(back_s / 9)


def test_a_full_memory_empties_whatever_the_clock_is_set_to() -> None:
    """How long a nonce is kept does not depend on the time of day."""
    clock = Clock()
    nonces = clock.nonces(most=2)
    clock.wait(100)
    for number in range(2):
        nonces.accept(signed(number, clock.now_ns))
    clock.set(-50)
    with pytest.raises(SwitchError, match="2 commands came within 60 s; send it again later"):
        nonces.accept(signed(3, clock.now_ns))
    clock.wait(30)
    again = offered(nonces, signed(4, clock.now_ns - 3_600 * S))
    nonces.accept(SignedRequest(0, again, b"on"))


def test_an_offer_is_for_once_and_ends() -> None:
    """It is good for one request of any time, for 30 s, and to the bridge that made it."""
    clock = Clock()
    nonces, other = clock.nonces(), clock.nonces()
    old = signed(1, NOW_NS - 3_600 * S)
    first = offered(nonces, old)
    clock.wait(1)
    second = offered(nonces, old)
    assert first != second
    with pytest.raises(SwitchError):
        other.accept(SignedRequest(0, first, b"on"))
    nonces.accept(SignedRequest(0, first, b"on"))
    with pytest.raises(ReplayedError):
        nonces.accept(SignedRequest(0, first, b"on"))
    changed = (b"0" if second[:1] != b"0" else b"1") + second[1:]
    with pytest.raises(SwitchError):
        nonces.accept(SignedRequest(0, changed, b"on"))
    clock.wait(28.5)
    nonces.accept(SignedRequest(10**10 * S, second, b"on"))
    third = offered(nonces, old)
    clock.wait(30)
    with pytest.raises(SwitchError):
        nonces.accept(SignedRequest(0, third, b"on"))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda b: b"kvmlog1 " + b)))
def test_noise_is_neither_request_nor_answer(noise: bytes) -> None:
    """Garbage is refused and raises nothing."""
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
    """The message says how to make one."""
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KvmlogError, match="openssl rand -hex 32"):
        udp_auth.read_key(str(path))


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o601, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message has the mode and the remedy."""
    path = tmp_path / "key"
    path.write_text("ab" * 32, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(KvmlogError, match=f"has mode {mode:04o}.*chmod 0600"):
        udp_auth.read_key(str(path))
    path.chmod(0o640)
    assert udp_auth.read_key(str(path)) == b"\xab" * 32
