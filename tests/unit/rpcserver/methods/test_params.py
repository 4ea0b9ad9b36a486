# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters as a hostile client may send them."""

from __future__ import annotations

from xmlrpc.client import Fault

import pytest

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.http.parse import parse_call
from kvmlog.rpcserver.methods import params

KNOWN = {"for_s": params.seconds(0.001, 60), "count": params.integer(1, 60)}


def body(name: str, value: str) -> bytes:
    """Return a call with one member; value: its XML."""
    member = f"<member><name>{name}</name><value>{value}</value></member>"
    struct = f"<param><value><struct>{member}</struct></value></param>"
    text = f"<methodCall><methodName>x</methodName><params>{struct}</params></methodCall>"
    return text.encode("ascii")


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize(
    "value",
    [
        f"<int>1{'0' * 400}</int>",
        f"<int>-1{'0' * 400}</int>",
        "<double>nan</double>",
        "<double>inf</double>",
        "<bigdecimal>NaN</bigdecimal>",
        "<boolean>1</boolean>",
        f"<string>{'9' * 400}</string>",
    ],
)
def test_no_number_causes_a_defect(name: str, value: str) -> None:
    """Every number out of range is a fault that names the member, and no other exception."""
    _, parameters = parse_call(body(name, value), 32)
    with pytest.raises(Fault) as caught:
        params.parse(parameters, "x", KNOWN)
    assert caught.value.faultCode == faults.INVALID_PARAMETERS
    assert f"x: {name} is " in caught.value.faultString
