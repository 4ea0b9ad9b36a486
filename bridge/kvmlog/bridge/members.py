# SPDX-License-Identifier: GPL-2.0-or-later
"""Which users of this machine may use kvmlog: root, the user it runs as, the group kvmlog."""

from __future__ import annotations

import grp
import os
import pwd
import threading
import time
from typing import Final

from kvmlog.bridge import access

# A membership that was taken away holds so long; asking LDAP for each datagram would not do.
_CACHE_S: Final = 10.0
_CACHED: Final = 256

_lock: Final = threading.Lock()  # covers _known
_known: Final[dict[int, tuple[float, str]]] = {}


def standing(uid: int) -> str:
    """What a user may use kvmlog by: "root", "owner", "group"; empty for those who may not."""
    if uid == 0:
        return "root"
    if uid == os.geteuid():
        return "owner"
    now = time.monotonic()
    with _lock:
        until, found = _known.get(uid, (0.0, ""))
    if now < until:
        return found
    found = "group" if _is_member(uid) else ""
    with _lock:
        if len(_known) >= _CACHED:
            _known.clear()
        _known[uid] = (now + _CACHE_S, found)
    return found


def user_name(uid: int) -> str:
    """The user's name in ASCII, "uid 4711" for one without."""
    try:
        return ascii(pwd.getpwuid(uid).pw_name)[1:-1]
    except (KeyError, OSError):
        return f"uid {uid}"


def refusal(uid: int) -> str:
    """The sentence for a user who may not."""
    return f"{user_name(uid)} is neither root nor in the group {access.GROUP}"


def _is_member(uid: int) -> bool:
    """By the user database alone: a group that only a process was given does not count."""
    try:
        user = pwd.getpwuid(uid)
        wanted = grp.getgrnam(access.GROUP).gr_gid
        return wanted in os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError):
        return False
