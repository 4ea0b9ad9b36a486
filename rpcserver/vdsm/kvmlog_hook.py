#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""A hook of oVirt's VDSM: adds the exits that kvmlog counts to the statistics that VDSM reports.

To be linked into VDSM's folders after_get_all_vm_stats, after_get_vm_stats and after_get_stats
(docs/engines.md). VDSM names a file of JSON in _hook_json, waits until the hook has ended, and
reads the file again. Whatever goes wrong here, that file stays as it was, stderr gets a line for
VDSM's log, and the status is 0: statistics without exits are better than none.

It takes Python 3.9 and nothing beyond its standard library, not even kvmlog's.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import xmlrpc.client
from typing import Any

# Of a kvmlog rpc on this host: HOST:PORT in place of the default.
_ADDRESS = os.environ.get("KVMLOG_RPC", "127.0.0.1:50080")
# The variable that has the path, as VDSM spells it.
_FILE = "_hook_json"
_FILE_BYTES = 64 << 20
_REPLY_BYTES = 32 << 20
_KEY = "kvmlog"


class HookError(Exception):
    """Why nothing was added, in a sentence."""


def main() -> int:
    """Return 0, always."""
    try:
        signal.signal(signal.SIGALRM, _late)
        try:
            signal.setitimer(signal.ITIMER_REAL, _deadline_s())
            path = os.environ.get(_FILE)
            if not path:
                raise HookError(f"{_FILE} is not set; VDSM runs this, in after_get_*stats")
            statistics = _read(path)
            if _add(statistics, _ask()):
                _write(path, statistics)
        finally:
            # At its end Python gives signals back their own action: this one's is to kill.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    except Exception as error:  # noqa: BLE001  # VDSM would report no statistics at all
        said = str(error) or type(error).__name__
        print("kvmlog: no exits were added:", " ".join(said.split())[:500], file=sys.stderr)
    return 0


def _deadline_s() -> float:
    """Return how long all of it may take: VDSM waits, each time it is asked for statistics."""
    given = float(os.environ.get("KVMLOG_TIMEOUT_S", "2"))
    return given if 0 < given <= 60 else 2.0


def _late(_number: int, _frame: object) -> None:
    raise HookError(f"kvmlog rpc at {_ADDRESS} has not answered within {_deadline_s():g} s")


def _read(path: str) -> Any:
    with open(path, "rb") as file:
        content = file.read(_FILE_BYTES + 1)
    if len(content) > _FILE_BYTES:
        raise HookError(f"{path} has more than {_FILE_BYTES >> 20} MiB")
    return json.loads(content)


def _write(path: str, statistics: Any) -> None:
    """Put the statistics in the file's place: VDSM finds the old ones or the new, and no half."""
    new = f"{path}.kvmlog"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(statistics, file)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def _ask() -> Any:
    """Return the reply to vmExits, whose integers are strings."""
    host, _, port = _ADDRESS.rpartition(":")
    link = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_deadline_s())
    try:
        body = xmlrpc.client.dumps((), "vmExits")
        link.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
        reply = link.getresponse()
        content = reply.read(_REPLY_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise HookError(f"kvmlog rpc at {_ADDRESS} cannot be asked ({error!r})") from error
    finally:
        link.close()
    if reply.status != 200 or len(content) > _REPLY_BYTES:
        told = content[:200].decode(errors="replace")
        raise HookError(f"kvmlog rpc at {_ADDRESS} answers {reply.status} {reply.reason}: {told}")
    try:
        (found,), _ = xmlrpc.client.loads(content.decode())
    except xmlrpc.client.Fault as fault:
        raise HookError(f"kvmlog rpc: {fault.faultString}") from None
    return found


def _add(statistics: Any, found: Any) -> bool:
    """Add what was found to the VMs of a list, or to those of the host; return whether it did."""
    if isinstance(statistics, dict):
        (host,) = found["hosts"]
        statistics[_KEY] = {
            "tracing": found["tracing"],
            "exits": host["exits"],
            "lost": {one["name"]: one["count"] for one in host["losses"]},
        }
        return True
    exits = {vm["uuid"]: _figures(vm) for vm in found["vms"] if vm.get("uuid")}
    added = False
    for vm in statistics:
        figures = exits.get(vm.get("vmId"))
        if figures is not None:
            vm[_KEY] = figures
            added = True
    return added


def _figures(vm: Any) -> dict[str, Any]:
    """Return a VM's figures as VDSM has its own: mostly strings, camelCase."""
    figures = {
        "exits": vm["exits"],
        "halts": vm["halts"],
        "exitTimeNs": {one["name"]: one["ns"] for one in vm["time"]},
    }
    rate = vm.get("rate")
    if rate:
        figures["exitsRate"] = f"{rate['exits_per_s']:.2f}"
        figures["exitTimePercent"] = {one["name"]: f"{one['percent']:.2f}" for one in rate["time"]}
        if rate.get("largest_reason"):
            figures["largestReason"] = rate["largest_reason"]
            figures["largestReasonPercent"] = f"{100 * rate['largest_share']:.2f}"
    return figures


if __name__ == "__main__":
    sys.exit(main())
