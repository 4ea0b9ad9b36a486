# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies as XML, as a stock client reads them, and their numbers at the typed client."""

from __future__ import annotations

import enum
from typing import Any
from xmlrpc.client import Fault

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.client.replies import numbers
from kvmlog.rpcserver.methods.reply import reply_pieces
from tests.support.rpc_calls import as_received


class Kind(enum.IntEnum):
    """A subclass of int, whose str() is no number in every version of Python."""

    ONE = 1


VALUES: list[tuple[Any, Any]] = [
    (2**64 - 1, "18446744073709551615"),
    (0, "0"),
    (Kind.ONE, "1"),
    (True, True),
    (None, ""),
    (0.5, 0.5),
    (float("nan"), ""),
    (float("-inf"), ""),
    ("a\x00b\x1b", "a\\x00b\\x1b"),
    ("\ud800", "\\ud800"),
    ("<&>]]>\r\n\t\u2603", "<&>]]>\r\n\t\u2603"),
    (b"\0", b"\0"),
    (b"", b""),
    ((1, [None]), ["1", [""]]),
    ({1: {"x": 2}}, {"1": {"x": "2"}}),
    ({"<a&b>": b"\xff"}, {"<a&b>": b"\xff"}),
    ([Fault(-32601, "no <x>")], [{"faultCode": -32601, "faultString": "no <x>"}]),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_what_values_become(value: Any, expected: Any) -> None:
    """A member has the same type, whatever its value."""
    assert as_received(value) == expected
    assert as_received({"member": value}) == {"member": expected}


def expected(value: Any) -> Any:
    """Return what a client has to get for a value without characters that XML lacks."""
    if isinstance(value, bool | bytes | str):
        return value
    if value is None or value in (float("inf"), float("-inf")):
        return ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return {name: expected(member) for name, member in value.items()}
    return [expected(one) for one in value] if isinstance(value, list) else value


texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from("\t\n\r<&>"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(value=values)
def test_every_value_survives_xml(value: Any) -> None:
    """A stock parser reads what was written, every character of it."""
    if "\ufffe" not in repr(value) and "\uffff" not in repr(value):
        assert as_received(value) == expected(value)


@pytest.mark.parametrize("size", [1, 48 * 1024, 48 * 1024 + 1, 1_000_000])
def test_a_block_comes_in_pieces(size: int) -> None:
    """None is longer than those who wait for the interpreter can bear; together they are one."""
    block = bytes(range(256)) * (size // 256) + bytes(size % 256)
    pieces = reply_pieces({"before": 1, "block": block, "after": 2})
    assert max(map(len, pieces)) <= 64 * 1024 + 256
    assert as_received({"before": 1, "block": block, "after": 2}) == {
        "before": "1",
        "block": block,
        "after": "2",
    }


def test_numbers_again_but_for_texts() -> None:
    """A guest whose name is a number keeps it as text; an empty string becomes None."""
    reply = {"lease_s": "", "filter": {"vm": ["42"], "tgids": "42"}, "limit": "-3", "source": "x"}
    assert numbers(reply) == {
        "lease_s": None,
        "filter": {"vm": ["42"], "tgids": 42},
        "limit": -3,
        "source": "x",
    }
