# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters of kvmWhy, and its reply as a verdict (kvmlog.why.verdict)."""

from __future__ import annotations

from typing import Any

from kvmlog.client.connection import RpcError
from kvmlog.why.serialize import parse_verdict
from kvmlog.why.verdict import Verdict


def parameters(vm: str, for_s: float, *, trace: bool) -> dict[str, Any]:
    """Return the parameter of kvmWhy."""
    return {"vm": vm, "for_s": for_s, **({"trace": True} if trace else {})}


def parse_why(reply: Any) -> Verdict:
    """Parse a reply to kvmWhy; RpcError for anything else."""
    try:
        return parse_verdict(reply)
    except (KeyError, TypeError, ValueError) as error:
        raise RpcError(
            f"the verdict lacks something ({type(error).__name__}: {ascii(str(error))[:80]}); use "
            "client and server of one version"
        ) from None
