# SPDX-License-Identifier: GPL-2.0-or-later
"""Event loops where descriptors may be few."""

from __future__ import annotations

import asyncio
import select
import socket


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop; OSError where there are too few descriptors for one."""
    # One that is made half complains when it is collected: what it takes is tried before.
    with select.epoll():
        for end in socket.socketpair():
            end.close()
    return asyncio.new_event_loop()
