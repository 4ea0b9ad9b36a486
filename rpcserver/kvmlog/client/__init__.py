# SPDX-License-Identifier: GPL-2.0-or-later
"""A typed client of `kvmlog rpc`."""

from kvmlog.client.client import Client
from kvmlog.client.connection import RpcError, RpcFaultError, RpcUnreachableError

__all__ = ["Client", "RpcError", "RpcFaultError", "RpcUnreachableError"]
