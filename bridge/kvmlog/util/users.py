# SPDX-License-Identifier: GPL-2.0-or-later
"""The users of this machine that may use kvmlog: root, its own user, the group kvmlog."""

from __future__ import annotations

import grp
import os
import pwd
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kvmlog.util import permissions

# How long a lookup is reused, and a membership that was taken away still holds: asking LDAP for
# each datagram would be too slow.
_CACHE_S: Final = 10.0
_CACHED: Final = 256

_Fact = TypeVar("_Fact")


class _Cached(Generic[_Fact]):
    """A lookup by uid whose results are reused for _CACHE_S; thread-safe."""

    def __init__(self, ask: Callable[[int], _Fact]) -> None:
        self._ask = ask
        self._lock = threading.Lock()  # covers _found
        self._found: dict[int, tuple[float, _Fact]] = {}

    def __call__(self, uid: int) -> _Fact:
        now = time.monotonic()
        with self._lock:
            known = self._found.get(uid)
        if known is not None and now < known[0]:
            return known[1]
        found = self._ask(uid)
        with self._lock:
            if len(self._found) >= _CACHED:
                self._found.clear()
            self._found[uid] = (now + _CACHE_S, found)
        return found


def standing(uid: int) -> str:
    """Return why a user may use kvmlog: "root", "owner" or "group"; "" for one who may not."""
    if uid == 0:
        return "root"
    if uid == os.geteuid():
        return "owner"
    return "group" if _is_member(uid) else ""


def user_name(uid: int) -> str:
    """Return the user's name in ASCII; "uid 4711" for one without."""
    return _name_of(uid)


def refusal(uid: int) -> str:
    """Return the sentence for a user who may not use kvmlog."""
    name = user_name(uid)
    who = name if name == _nameless(uid) else f"user '{name}'"
    return f"{who} is neither root nor in the group {permissions.GROUP}"


def _nameless(uid: int) -> str:
    return f"uid {uid}"


@_Cached
def _name_of(uid: int) -> str:
    try:
        return ascii(pwd.getpwuid(uid).pw_name)[1:-1]
    except (KeyError, OSError):
        return _nameless(uid)


@_Cached
def _is_member(uid: int) -> bool:
    """Return whether the user database has the user in the group; a process's do not count."""
    try:
        user = pwd.getpwuid(uid)
        gid = grp.getgrnam(permissions.GROUP).gr_gid
        return gid in os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError):
        return False
