# SPDX-License-Identifier: GPL-2.0-or-later
"""Callers and their roles."""

from __future__ import annotations

import pytest

from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.caller import ALL_ROLES, NO_ROLES, Caller, Role


@pytest.mark.parametrize(
    ("roles", "asked", "expected"),
    [
        (Role.READ, Role.READ, True),
        (Role.READ, Role.SWITCH, False),
        (Role.SWITCH, Role.READ, False),
        (ALL_ROLES, Role.SWITCH, True),
        (Role.READ, ALL_ROLES, False),
        (NO_ROLES, Role.READ, False),
    ],
)
def test_a_role_allows_itself_and_nothing_else(roles: Role, asked: Role, expected: bool) -> None:
    """Neither role includes the other."""
    assert Caller("engine", roles, "token", "127.0.0.1:1").may(asked) is expected


def test_the_audit_names_who_how_and_where() -> None:
    """str() gives all three; root is named once."""
    token = Caller("engine", Role.READ, "token", "192.0.2.1:7")
    assert str(token) == "192.0.2.1:7 (engine by token)"
    assert str(Caller("root", ALL_ROLES, "root", "[::1]:7")) == "[::1]:7 (root)"


@pytest.mark.parametrize(("now_s", "expected"), [(0, False), (1_000, False), (1_001, True)])
def test_a_certificate_ends_with_its_last_second(now_s: int, expected: bool) -> None:
    """Expiry is checked against the date that ssl reports of a verified certificate."""
    assert tls.expired({"notAfter": "Jan  1 00:16:40 1970 GMT"}, now_s) is expected
