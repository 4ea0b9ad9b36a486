# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of a domain on this host, by the pid file that libvirt keeps of it."""

from __future__ import annotations

import os

from kvmlog.guests.proc import read_process

_PID_CHARACTERS = 16


def of_domain(folder: str | None, name: str, uuid: str) -> int | None:
    """Return a domain's pid; None where there is no such file, or it names another process.

    folder: of libvirt's pid files (uri.state_folder).
    """
    if folder is None or "/" in name:
        return None
    try:
        with open(os.path.join(folder, f"{name}.pid"), "rb") as file:
            pid = int(file.read(_PID_CHARACTERS))
    except (OSError, ValueError):
        return None
    process = read_process(pid)
    if process is None or uuid.encode() not in process.command_line:
        return None
    return pid
