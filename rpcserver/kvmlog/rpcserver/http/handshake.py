# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS handshakes: each step of one takes a turn to compute, as calls do.

Signing takes a millisecond of CPU time, which a client can request with every connection.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Hashable

from kvmlog.rpcserver.http.turns import OverShareError, Turns


def shake_hands(stream: ssl.SSLSocket, turns: Turns, key: Hashable, within_s: float) -> None:
    """Complete a handshake; TimeoutError when it takes longer than that, OSError when it fails.

    key: the peer, on whose account the turns are; while the client is awaited there is none.
    """
    stream.settimeout(0)
    poll = select.poll()
    end_s = time.monotonic() + within_s
    while True:
        events = _step(stream, turns, key, end_s - time.monotonic())
        if not events:
            return
        poll.register(stream, events)
        if not poll.poll(max(0.0, end_s - time.monotonic()) * 1000):
            raise TimeoutError("the TLS handshake took too long")


def _step(stream: ssl.SSLSocket, turns: Turns, key: Hashable, left_s: float) -> int:
    """Go on with the handshake; return the event to wait for, 0 when it is complete."""
    try:
        since_s = turns.take(key, max(0.0, left_s))
    except OverShareError:
        raise TimeoutError("other TLS handshakes of this peer took too long") from None
    try:
        stream.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    finally:
        turns.give_back(key, since_s)
    return 0
