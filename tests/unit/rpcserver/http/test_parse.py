# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests as bytes: calls are parsed, and nothing else gets through."""

from __future__ import annotations

from xmlrpc.client import Fault, dumps

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.http.parse import parse_call
from tests.support.corruption import damaged_calls

DEPTH = 32


def code_of(body: bytes) -> int:
    """Return the code of the fault that a body is answered with."""
    with pytest.raises(Fault) as caught:
        parse_call(body, DEPTH)
    assert caught.value.faultString.isascii()
    return int(caught.value.faultCode)


@pytest.mark.parametrize("parameters", [(), ("on",), (True,), (1, [2, {"a": b"bytes"}])])
def test_stock_client_is_understood(parameters: tuple[object, ...]) -> None:
    """Calls written by the stdlib's client are parsed into the same values."""
    body = dumps(parameters, "kvmLogSwitch").encode()  # type: ignore[arg-type]
    assert parse_call(body, DEPTH) == ("kvmLogSwitch", parameters)


def test_call_without_params_element() -> None:
    """The specification allows a call with no <params> at all."""
    body = b"<methodCall><methodName>getKvmLog</methodName></methodCall>"
    assert parse_call(body, DEPTH)[0] == "getKvmLog"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"<methodCall>",
        b"<methodCall>\xff\xfe</methodCall>",
        b"<methodCall><methodName>\0</methodName></methodCall>",
        b"<!DOCTYPE methodCall><methodCall/>",
        b'<!DOCTYPE m SYSTEM "file:///etc/passwd"><methodCall/>',
        b'<!DOCTYPE m [<!ENTITY a "b">]><methodCall>&a;</methodCall>',
    ],
)
def test_not_well_formed(body: bytes) -> None:
    """Broken XML, DTDs and entities have one code."""
    assert code_of(body) == faults.NOT_WELL_FORMED


@pytest.mark.parametrize(
    "body",
    [
        b"<html/>",
        b"<?xml version='1.0' encoding='no-such'?><methodCall/>",
        b"<methodCall/>",
        b"<methodResponse><params/></methodResponse>",
        b"<methodCall><params><param><value><int>x</int></value></param></params></methodCall>",
        b"<methodCall><methodName>a</methodName><params><param><value><int>"
        + b"9" * 10_000
        + b"</int></value></param></params></methodCall>",
        b"<methodCall><methodName>a</methodName><fault><value><struct>"
        b"<member><name>faultCode</name><value><int>1</int></value></member>"
        b"<member><name>faultString</name><value>x</value></member>"
        b"</struct></value></fault></methodCall>",
        b"<methodCall>"
        + b"<value><array><data>" * 40
        + b"</data></array></value>" * 40
        + b"</methodCall>",
    ],
)
def test_not_a_call(body: bytes) -> None:
    """XML that is no call, or nests too deep, has another."""
    assert code_of(body) == faults.INVALID_REQUEST


TAGS = ["methodCall", "methodName", "params", "param", "value", "array", "data", "struct"]
TAGS += ["member", "name", "int", "i8", "double", "base64", "dateTime.iso8601", "nil", "fault"]
TAGS += ["bigdecimal", "boolean", "x:y"]
TREES = st.recursive(
    st.text("0123456789abc-+.", max_size=6),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
        st.sampled_from(TAGS),
        st.lists(inner, max_size=4),
    ),
    max_leaves=25,
)


@given(TREES)
def test_any_tree_is_a_call_or_a_fault(tree: str) -> None:
    """No combination of XML-RPC's own elements raises anything but a fault."""
    code = 0
    try:
        parse_call(f"<methodCall>{tree}</methodCall>".encode(), DEPTH)
    except Fault as fault:
        code = fault.faultCode
    assert code in (0, faults.INVALID_REQUEST)


@settings(deadline=None)
@given(st.integers(min_value=0))
def test_a_damaged_call_is_a_call_or_a_fault(seed: int) -> None:
    """100 damages for each seed, 10,000 in all: nothing but a fault is raised."""
    for body in damaged_calls(seed, 100):
        code = 0
        try:
            parse_call(body, DEPTH)
        except Fault as fault:
            code = fault.faultCode
        assert code in (0, faults.INVALID_REQUEST, faults.NOT_WELL_FORMED)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_fault(body: bytes) -> None:
    """Noise is no call."""
    with pytest.raises(Fault):
        parse_call(body, DEPTH)
