# SPDX-License-Identifier: GPL-2.0-or-later
"""Dropping root, for daemons that need no more than the group kvmlog, or the groups of a user."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
from collections.abc import Iterator

from kvmlog.util import permissions
from kvmlog.util.errors import KvmlogError

STAY_ROOT = "root"
# The users that the services' sysusers.d make, and the groups that each is in.
_OF_SERVICES = {
    "kvmlog-rpc": "-g kvmlog",
    "kvmlog-vmstats": "-g kvmlog -G libvirt",
    "kvmlog-history": "-g kvmlog",
    "kvmlog-notify": "-g kvmlog",
    "kvmlog-metrics": "-g kvmlog",
}
# <linux/prctl.h>
_PR_SET_NO_NEW_PRIVS = 38


class PrivilegesError(KvmlogError):
    """The process cannot become the user it should run as."""


def find(name: str) -> pwd.struct_passwd:
    """Return the user of a name; PrivilegesError when there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        groups = _OF_SERVICES.get(name)
        make = f"useradd --system {groups or f'-g {permissions.GROUP}'} {name}"
        if groups is not None:
            make = f"systemd-sysusers, or {make}"
        raise PrivilegesError(
            f"there is no user {name} to become instead of root; make it ({make}), "
            f"name another with --user, or --user {STAY_ROOT} to stay"
        ) from None


@contextlib.contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Have root open files as that user does; for processes with a single thread only.

    It has the groups that a service of that user has: the user's own, and kvmlog. PrivilegesError.
    """
    user = find(name)
    if os.geteuid() != 0 or user.pw_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(_own_groups(user))
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
    except OSError as error:
        raise PrivilegesError(
            f"cannot become user {name} ({error.strerror}); do it as that user"
        ) from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def make_folder_of(path: str, user: str) -> None:
    """Create the missing folder of a file, for the user that this process becomes; KvmlogError."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(folder):
        return
    permissions.make_parent(path)
    if can_drop(user):
        with contextlib.suppress(OSError):
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)


def can_drop(name: str) -> bool:
    """Return whether drop() would change the user; PrivilegesError for a user there is not."""
    return os.geteuid() == 0 and find(name).pw_uid != 0


def drop(name: str, *, own_groups: bool = False) -> str | None:
    """Become the user `name` for good, with the group kvmlog; return a sentence for the log.

    own_groups: keep the groups that the user is in, too.
    Only root is dropped: for any other user, None. With a `name` of uid 0 the process stays root,
    which the sentence says. No process started afterwards can gain privileges (no_new_privs,
    prctl(2)). PrivilegesError when there is no such user, or the kernel refuses.
    """
    if os.geteuid() != 0:
        return None
    user = find(name)
    if user.pw_uid == 0:
        return f"runs as {name}, as requested"
    group = permissions.group_id()
    kept = _own_groups(user) if own_groups else [one for one in (group,) if one is not None]
    try:
        os.setgroups(kept)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        # A change from root to another uid clears all capabilities (capabilities(7)).
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as error:
        raise PrivilegesError(
            f"cannot become user {name} ({error.strerror}); start it as that user"
        ) from None
    _no_new_privileges()
    if os.geteuid() == 0 or 0 in os.getresuid():
        raise PrivilegesError(f"is still root after becoming {name}; start it as that user")
    groups = (
        f"group {permissions.GROUP}"
        if group is not None
        else f"no group {permissions.GROUP} exists"
    )
    return f"root dropped: user {name}, {groups}, no new privileges"


def _own_groups(user: pwd.struct_passwd) -> list[int]:
    """Return the groups of a service of that user: the user's own, and kvmlog."""
    group = permissions.group_id()
    own = set(os.getgrouplist(user.pw_name, user.pw_gid))
    return sorted(own if group is None else own | {group})


def _no_new_privileges() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(number) for number in (1, 0, 0, 0)]
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *arguments) != 0:
        raise PrivilegesError(
            f"cannot refuse new privileges ({os.strerror(ctypes.get_errno())}); "
            "this kernel is too old (Linux 3.5 has it)"
        )
