# SPDX-License-Identifier: GPL-2.0-or-later
"""Users' names and memberships: looked up once in a while, however often they are needed."""

from __future__ import annotations

import pwd

import pytest

from kvmlog.util.users import _CACHED, _Cached, refusal, standing, user_name


def test_the_user_database_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both names and memberships are cached; either may come from a directory server."""
    asked: list[int] = []
    ask = pwd.getpwuid

    def counted(uid: int) -> pwd.struct_passwd:
        asked.append(uid)
        return ask(uid)

    monkeypatch.setattr(pwd, "getpwuid", counted)
    # Of nobody, so that no test before has asked for it.
    uid = 4_000_000_001
    for _ in range(3):
        assert user_name(uid) == f"uid {uid}"
        assert standing(uid) == ""
        assert refusal(uid).startswith(f"uid {uid} is neither root nor in the group")
    assert asked == [uid, uid]
    nobody = pwd.getpwnam("nobody").pw_uid
    assert refusal(nobody).startswith("user 'nobody' is neither root nor in the group")


def test_many_users_do_not_fill_memory() -> None:
    """Made-up uids only make the others be looked up again."""
    asked: list[int] = []

    @_Cached
    def even(uid: int) -> bool:
        asked.append(uid)
        return uid % 2 == 0

    users = range(10 * _CACHED)
    assert [even(uid) for uid in users] == [uid % 2 == 0 for uid in users]
    assert asked == list(users)
    assert len(even._found) <= _CACHED
