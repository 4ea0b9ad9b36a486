# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch's local socket: a Unix datagram socket.

Who may connect is decided by the socket file's permissions: 0660, group kvmlog.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import Any, Final

from kvmlog.bridge.datagram_server import CREDENTIALS_BYTES, DatagramServer
from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.util import ownership, permissions
from kvmlog.util.errors import SwitchError

SOCKET_MODE: Final = 0o660


class UnixServer(DatagramServer):
    """The bound socket; handle() answers one datagram. SwitchError when it cannot be had."""

    channel = "unix"
    ancillary_bytes = CREDENTIALS_BYTES

    def __init__(self, path: str, switch: Dispatcher) -> None:
        self.path = path
        self._switch = switch
        permissions.make_parent(path)
        ownership.check_folder(path, remedy="give another place (--switch)")
        _remove_stale(path)
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
            os.chmod(path, SOCKET_MODE)
        except OSError as error:
            self.socket.close()
            raise SwitchError(
                f"{path}: cannot be bound ({error.strerror or error}); "
                "run the bridge as root or give another place (--switch)"
            ) from None
        self.socket.setblocking(False)
        self._inode = os.stat(path).st_ino

    def _answerable(self, sender: Any) -> bool:
        # Autobound clients have an abstract address (bytes). A path is the client's choice and
        # may lead anywhere by the time of the answer: root sends nothing there.
        return isinstance(sender, bytes) and sender.startswith(b"\0")

    def is_named(self) -> bool:
        """Return whether clients find this socket by its path."""
        with contextlib.suppress(OSError):
            return os.lstat(self.path).st_ino == self._inode
        return False

    def close(self) -> None:
        """Close the socket and remove its file, unless another bridge has put its own there."""
        self.socket.close()
        if self.is_named():
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def _remove_stale(path: str) -> None:
    """Remove the socket file of a bridge that is gone; SwitchError for anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SwitchError(f"{path}: {error.strerror}; give another place (--switch)") from None
    if not stat.S_ISSOCK(mode):
        raise SwitchError(f"{path}: is no socket; remove it or give another place (--switch)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _unlink(path)
            return
        except OSError as error:
            raise SwitchError(f"{path}: {error.strerror}; give another place (--switch)") from None
    raise SwitchError(
        f"{path}: another bridge answers there; stop it or give another place (--switch)"
    )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        # Somebody else's, in a sticky folder.
        raise SwitchError(
            f"{path}: cannot be removed ({error.strerror}); remove it or give another place "
            "(--switch)"
        ) from None
