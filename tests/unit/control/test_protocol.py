# SPDX-License-Identifier: GPL-2.0-or-later
"""The grammar of commands, from untrusted bytes."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.control import protocol
from kvmlog.control.protocol import Command
from kvmlog.control.sampling import Sampling
from kvmlog.util.errors import SwitchError


@pytest.mark.parametrize("word", ["on", "off", "status", "pending", "guests"])
def test_words(word: str) -> None:
    """Each word alone is a command over the local socket."""
    assert protocol.parse("unix", word.encode()) == Command(word, word)


def test_pending_of_some_guests() -> None:
    """Their numbers choose them, each once; over the local socket only."""
    command = protocol.format_pending([3, 1, 3])
    assert command == 'pending {"guests":[1,3]}'
    assert protocol.parse("unix", command.encode()) == Command("pending", "pending", guests=(1, 3))
    assert protocol.parse("udp", command.encode()).kind == "unknown"
    assert protocol.format_pending(None) == "pending"
    # Too many to name: of all guests, which the asker then chooses from.
    assert protocol.format_pending(range(10_000)) == "pending"


@pytest.mark.parametrize(
    "arguments",
    [
        "{}",
        '{"guests": 1}',
        '{"guests": ["1"]}',
        '{"guests": [true]}',
        '{"guests": [-1]}',
        '{"guests": [4294967296]}',
        '{"guests": [1], "vm": []}',
        '{"guests": [1], "guests": [2]}',
        '{"guests": [1]',
        "{" * 4_000,
    ],
)
def test_pending_of_no_guest_numbers_is_a_sentence(arguments: str) -> None:
    """What is no list of numbers is refused whole."""
    command = protocol.parse("unix", f"pending {arguments}".encode())
    assert (command.kind, command.word) == ("bad_arguments", "")
    assert "is no list of guest numbers; send pending" in command.sentence


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (b"{}", Command("on", "on")),
        (b'{"vm": ["web1"]}', Command("on", "on", ("web1",))),
        (b'{"for_s":60}', Command("on", "on", (), 60)),
        (b'{"for_s": 0.001}', Command("on", "on", (), 0.001)),
        (b'{"for_s": 31536000, "vm": ["a", "4242"]}', Command("on", "on", ("a", "4242"), 31536000)),
        (b'{"one_in": 10}', Command("on", "on", sampling=Sampling(10))),
        (
            b'{"on_ms": 5, "off_ms": 95, "max_per_s": 1000}',
            Command("on", "on", sampling=Sampling(1, 5, 95, 1000)),
        ),
        (b'{"vm": ["\\u00e9t\\u00e9"]}\0\n', Command("on", "on", ("été",))),
    ],
)
def test_on_with_arguments(arguments: bytes, expected: Command) -> None:
    """Either argument, both, or none."""
    assert protocol.parse("unix", b"on " + arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ('{"vm": []}', '"vm" is an empty list; name a guest'),
        ('{"vm": "web1"}', """"vm" is 'web1'; give a list of names, UUIDs or pids"""),
        ('{"vm": null}', '"vm" is null; give a list'),
        ('{"vm": [4242]}', '"vm" has a member 4242; give a list'),
        ('{"vm": [""]}', """"vm" has a member ''; give a list"""),
        ('{"vm": ["a", ["b"]]}', '"vm" has a member ["b"]; give a list'),
        (json.dumps({"vm": ["a"] * 65}), '"vm" has 65 members; at most 64; name fewer'),
        (json.dumps({"vm": ["a" * 257]}), '"vm" has a member of 257 characters'),
        ('{"vm": ["a"], "until": 3}', """"max_per_s", not 'until'; leave it out"""),
        ('{"\\u001b[2J": 3}', r"""not '\x1b[2J'; leave it out"""),
        ('{"for_s": 0}', '"for_s" is 0; give seconds from 0.001 to 31536000'),
        ('{"for_s": 0.0009}', '"for_s" is 0.0009; give seconds'),
        ('{"for_s": 31536001}', '"for_s" is 31536001; give seconds'),
        ('{"for_s": 1e999}', '"for_s" is Infinity; give seconds'),
        ('{"for_s": true}', '"for_s" is true; give seconds'),
        ('{"for_s": "60"}', """"for_s" is '60'; give seconds"""),
        ('{"one_in": 0}', '"one_in" is 0; give a whole number from 1 to 1000000, or leave it out'),
        ('{"one_in": 1.5}', '"one_in" is 1.5; give a whole number'),
        ('{"max_per_s": true}', '"max_per_s" is true; give a whole number from 1 to'),
        ('{"on_ms": 5}', '"on_ms" is 5 without "off_ms"; a sampling window takes both'),
        ('{"off_ms": 5}', '"off_ms" is 5 without "on_ms"; a sampling window takes both'),
        ('{"on_ms": 1, "off_ms": 999999999}', '"off_ms" is 999999999; give a whole number'),
        ('{"for_s": NaN}', "is no JSON object; send on, or as in on {"),
        ('{"for_s": 1, "for_s": 2}', "is no JSON object"),
        ('{"vm": ["a"]', "is no JSON object"),
        ('{"vm": ["a"]} {}', "is no JSON object"),
        ('{"vm": ' + "[" * 4_000, "is no JSON object"),
        ('{"for_s": ' + "9" * 5_000 + "}", "is no JSON object"),
    ],
)
def test_arguments_that_cannot_be(arguments: str, sentence: str) -> None:
    """The value, the limit and the remedy; in ASCII, and short."""
    asked = protocol.parse("unix", f"on {arguments}".encode())
    assert (asked.kind, asked.word) == ("bad_arguments", "")
    assert sentence in asked.sentence
    assert len(asked.sentence) < 250
    assert re.fullmatch(r"[ -~]+", asked.sentence)


def test_arguments_only_over_the_local_socket() -> None:
    """A sender of datagrams to a port is nobody who may know who the guests are."""
    refused = protocol.parse("udp", b'on {"for_s": 60}')
    assert (refused.kind, refused.word) == ("unknown", "")
    assert refused.sentence.startswith("on takes arguments over the local socket only")
    assert protocol.parse("udp", b"guests").sentence.startswith(
        "guests are asked for over the local"
    )


@pytest.mark.parametrize(("channel", "most"), [("udp", 512), ("unix", 8192)])
def test_limits(channel: str, most: int) -> None:
    """The longest that is read, and the sentence for more."""
    assert protocol.parse(channel, b"on" + b"\0" * (most - 2)) == Command("on", "on")
    for refused in (
        protocol.parse(channel, b"on" + b"\0" * (most - 1)),
        protocol.parse(channel, b"on", truncated=True),
    ):
        assert refused.kind == "oversized"
        assert refused.sentence.startswith(f"a command has at most {most} bytes")


names = st.lists(st.text(min_size=1, max_size=20), max_size=5).map(tuple)


samplings = st.builds(
    Sampling, st.integers(1, 1_000_000), max_per_s=st.none() | st.integers(1, 10**9)
)


@given(vm=names, for_s=st.none() | st.integers(1, 31_536_000), recorded=samplings)
def test_what_is_formatted_is_parsed(
    vm: tuple[str, ...], for_s: int | None, recorded: Sampling
) -> None:
    """format_on() and parse() agree in ASCII, whatever the names hold."""
    formatted = protocol.format_on(vm, for_s, recorded).encode("ascii")
    assert protocol.parse("unix", formatted) == Command("on", "on", vm, for_s, recorded)


def test_too_many_names_for_one_command() -> None:
    """A command that is too long is refused before it is sent."""
    with pytest.raises(SwitchError, match=r"64 guests make a command of .* bytes; at most 8192"):
        protocol.format_on(("x" * 200,) * 64, None)


@given(rest=st.binary(max_size=100))
def test_any_arguments_are_parsed_or_refused(rest: bytes) -> None:
    """Any bytes give a command or a sentence."""
    asked = protocol.parse("unix", b"on {" + rest)
    assert bool(asked.word) != bool(asked.sentence)
