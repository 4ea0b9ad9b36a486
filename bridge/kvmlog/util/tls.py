# SPDX-License-Identifier: GPL-2.0-or-later
"""What TLS connections of kvmlog agree on, the server's and the client's alike."""

from __future__ import annotations

import ssl
from typing import Final

# Of TLS 1.2. Those of 1.3 are all of this kind.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


def restrict(context: ssl.SSLContext) -> None:
    """Allow TLS 1.2 and 1.3 only, with forward secrecy and authenticated encryption (AEAD).

    Whoever gets the key later can read nothing that was recorded before. That includes the key of
    session tickets, which would last as long as the context: sessions are resumed without.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
