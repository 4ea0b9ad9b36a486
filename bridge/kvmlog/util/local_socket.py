# SPDX-License-Identifier: GPL-2.0-or-later
"""Unix datagram sockets with a file name: bound by a daemon, asked by a client.

Who may connect is decided by the file's permissions: 0660, group kvmlog.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kvmlog.util import ownership, permissions
from kvmlog.util.errors import KvmlogError

MODE: Final = 0o660
# Of the sender of a Unix datagram, as the kernel knows it: struct ucred, unix(7). No room for
# more: descriptors that somebody sends along are closed by the kernel.
_CREDENTIALS: Final = struct.Struct("=iII")
CREDENTIALS_BYTES: Final = socket.CMSG_LEN(_CREDENTIALS.size)


@dataclass(frozen=True)
class Words:
    """What errors call the two ends, and which of them they are."""

    daemon: str  # "bridge"
    command: str  # that starts it: "kvmlog bridge"
    option: str  # that has the socket's path: "--switch"
    error: type[KvmlogError]


@dataclass(frozen=True)
class Sender:
    """The process that sent a datagram."""

    pid: int
    uid: int
    gid: int


class BoundSocket:
    """The bound socket, not blocking; the daemon's error where it cannot be had."""

    def __init__(self, path: str, words: Words) -> None:
        self.path = path
        elsewhere = f"give another place ({words.option})"
        permissions.make_parent(path)
        ownership.check_folder(path, remedy=elsewhere)
        _remove_stale(path, words)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # Who sent a command stands in the log.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            # Closed to everybody until owner and mode are right.
            mask = os.umask(0o177)
            try:
                self.socket.bind(path)
            finally:
                os.umask(mask)
            permissions.hand_to_group(path)
            os.chmod(path, MODE)
        except OSError as error:
            self.socket.close()
            raise words.error(
                f"{path}: cannot be bound ({error.strerror or error}); "
                f"run the {words.daemon} as root or {elsewhere}"
            ) from None
        self.socket.setblocking(False)
        self._inode = os.stat(path).st_ino

    def is_named(self) -> bool:
        """Return whether clients find this socket by its path."""
        with contextlib.suppress(OSError):
            return os.lstat(self.path).st_ino == self._inode
        return False

    def close(self) -> None:
        """Close the socket and remove its file, unless another daemon has put its own there."""
        self.socket.close()
        if self.is_named():
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def is_answerable(address: object) -> bool:
    """Return whether an answer may go to this address of a sender.

    Autobound clients have an abstract address (bytes). A path is the client's choice and may lead
    anywhere by the time of the answer: a daemon sends nothing there.
    """
    return isinstance(address, bytes) and address.startswith(b"\0")


def sender(ancillary: Iterable[tuple[int, int, bytes]]) -> Sender | None:
    """Return who sent a datagram, from what recvmsg() gave beside it; None where it gave none."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return Sender(*_CREDENTIALS.unpack(data))
    return None


def ask(path: str, command: bytes, words: Words, *, timeout_s: float, most_bytes: int) -> bytes:
    """Send a command and return the answer; the daemon's error when none comes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.settimeout(timeout_s)
        try:
            # Connect first: then only the daemon can send to this socket. Anybody could send
            # to one that has an address before it is connected.
            link.connect(path)
            link.bind("")  # the kernel chooses an abstract address for the answer
            link.send(command)
            return link.recv(most_bytes)
        except TimeoutError:
            raise words.error(
                f"{path}: no answer within {timeout_s:g} s; "
                f"look at the {words.daemon}'s log or restart it"
            ) from None
        except OSError as error:
            raise words.error(_unreachable(path, error, words)) from None


def _unreachable(path: str, error: OSError, words: Words) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return f"{path}: no {words.daemon} is running; start it ({words.command})"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission; be root or in the group {permissions.GROUP}"
    return f"{path}: the {words.daemon} cannot be reached ({error.strerror or error})"


def _remove_stale(path: str, words: Words) -> None:
    """Remove the socket file of a daemon that is gone; its error for anything else."""
    elsewhere = f"give another place ({words.option})"
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise words.error(f"{path}: {error.strerror}; {elsewhere}") from None
    if not stat.S_ISSOCK(mode):
        raise words.error(f"{path}: is no socket; remove it or {elsewhere}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _unlink(path, words)
            return
        except OSError as error:
            raise words.error(f"{path}: {error.strerror}; {elsewhere}") from None
    raise words.error(f"{path}: another {words.daemon} answers there; stop it or {elsewhere}")


def _unlink(path: str, words: Words) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        # Somebody else's, in a sticky folder.
        raise words.error(
            f"{path}: cannot be removed ({error.strerror}); remove it or give another place "
            f"({words.option})"
        ) from None
