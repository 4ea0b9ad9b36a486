# SPDX-License-Identifier: GPL-2.0-or-later
"""Values in replies, and their numbers at the client."""

from __future__ import annotations

from typing import Any
from xmlrpc.client import dumps, loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.client.replies import numbers
from kvmlog.rpcserver.methods.marshal import marshal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**64 - 1, "18446744073709551615"),
        (0, "0"),
        (True, True),
        (None, ""),
        (0.5, 0.5),
        (float("nan"), ""),
        ("a\x00b\x1b", "a\\x00b\\x1b"),
        ("\ud800", "\\ud800"),
        (b"\0", b"\0"),
        ((1, [None]), ["1", [""]]),
        ({1: {"x": 2}}, {"1": {"x": "2"}}),
    ],
)
def test_what_values_become(value: Any, expected: Any) -> None:
    """A member has the same type, whatever its value."""
    assert marshal(value) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=values)
def test_every_value_survives_xml(value: Any) -> None:
    """A stock parser reads what marshal() returns."""
    # A line end within text is one character to every XML parser.
    given = marshal(value)
    text = dumps((given,), methodresponse=True)
    (found,), _ = loads(text.replace("\r", "&#13;"), use_builtin_types=True)
    assert found == given


def test_numbers_again_but_for_texts() -> None:
    """A guest whose name is a number keeps it as text; an empty string becomes None."""
    reply = {"lease_s": "", "filter": {"vm": ["42"], "tgids": "42"}, "limit": "-3", "source": "x"}
    assert numbers(reply) == {
        "lease_s": None,
        "filter": {"vm": ["42"], "tgids": 42},
        "limit": -3,
        "source": "x",
    }
