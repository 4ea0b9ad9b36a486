# SPDX-License-Identifier: GPL-2.0-or-later
"""Which users of this machine may use kvmlog: root, the user it runs as, the group kvmlog."""

from __future__ import annotations

import grp
import os
import pwd
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kvmlog.util import permissions

# A membership that was taken away holds so long, and a name; asking LDAP for each datagram would
# not do.
_CACHE_S: Final = 10.0
_CACHED: Final = 256

_Fact = TypeVar("_Fact")


class _Known(Generic[_Fact]):
    """What `ask` says of users, asked for once in _CACHE_S. Usable from any thread."""

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
    """What a user may use kvmlog by: "root", "owner", "group"; empty for those who may not."""
    if uid == 0:
        return "root"
    if uid == os.geteuid():
        return "owner"
    return "group" if _is_member(uid) else ""


def user_name(uid: int) -> str:
    """The user's name in ASCII, "uid 4711" for one without."""
    return _name_of(uid)


def refusal(uid: int) -> str:
    """The sentence for a user who may not."""
    return f"{user_name(uid)} is neither root nor in the group {permissions.GROUP}"


@_Known
def _name_of(uid: int) -> str:
    try:
        return ascii(pwd.getpwuid(uid).pw_name)[1:-1]
    except (KeyError, OSError):
        return f"uid {uid}"


@_Known
def _is_member(uid: int) -> bool:
    """By the user database alone: a group that only a process was given does not count."""
    try:
        user = pwd.getpwuid(uid)
        wanted = grp.getgrnam(permissions.GROUP).gr_gid
        return wanted in os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError):
        return False
