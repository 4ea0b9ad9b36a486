# SPDX-License-Identifier: GPL-2.0-or-later
"""A typed client of `kvmlog rpc`: `from kvmlog.client import Client`.

Its replies are the classes of kvmlog.client.replies. It imports nothing of the server.
"""

from kvmlog.client.client import Client, tls_context
from kvmlog.client.connection import RpcError, RpcFaultError, RpcUnreachableError

__all__ = ["Client", "RpcError", "RpcFaultError", "RpcUnreachableError", "tls_context"]
