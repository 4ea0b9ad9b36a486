# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams of the switch and bodies of XML-RPC calls, right and damaged; the same for one seed.

What is changed is a value, for another type or size, or the bytes (corruption.py), or both.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xmlrpc.client import dumps, loads

from kvmlog.control import udp_auth
from kvmlog.rpcserver import faults
from tests.support.corruption import damage

KEY: Final = bytes(range(32))
# Of these in 20 the bytes are left alone.
_WHOLE: Final = 3

_COMMANDS: Final = (
    *("on", "off", "status", "pending", "guests", "flush", "reset", "on {}", "", "ok on"),
    'pending {"guests": [1, 2]}',
)
_ARGUMENTS: Final[dict[str, Any]] = {
    "vm": ["web1", "4242"],
    "for_s": 60,
    "one_in": 10,
    "on_ms": 5,
    "off_ms": 50,
    "max_per_s": 1000,
}
_JUNK: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 2**31 - 1, 0.5, 1e308, float("inf"), float("nan"), "", "web1", "4242"),
    *("9" * 400, str(2**64), "-1", "\u00e9\u2603", "\x7f", "x" * 5_000),
    *([], {}, [[]], [{}], {"": ""}, ["web1"] * 65, [[[[1]]]], {"vm": {"vm": []}}),
)
_DATAGRAM_PIECES: Final = (
    *(b"\0", b"\r\n", b"ok ", b"error: ", b"kvmlog1 ", b"\xff\xfe", b"{", b"}", b'"vm": [' * 30),
    *(b"[" * 600, b"NaN", b"1e999", b"9" * 400, b"\\ud800", b"x" * 2_000, b'"for_s": 1, '),
)
# Parameters of each method that there is; where there are more, another way to call it.
_CALLS: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("kvmLogSwitch", ("on",)),
    ("kvmLogSwitchSC", (False,)),
    ("getKvmLog", ()),
    ("getKvmLogSC", ()),
    ("kvmLogStatus", ()),
    ("kvmSwitch", ({"on": True, **_ARGUMENTS},)),
    ("kvmStatus", ()),
    ("kvmRecords", ({"count": 3, "form": "structs", "reason": ["hlt"], "slower_than_ns": "9"},)),
    ("kvmRecords", ({"count": 64, "since": "0", "ring_id": "ab" * 16},)),
    ("kvmStatistics", ({"by": ["guest", "reason"], "sort": "total", "top": 5, "halts": True},)),
    ("kvmPending", ({"vm": ["web1"], "form": "binary"},)),
    ("kvmGuests", ({"all": True},)),
    ("kvmExplain", ("hlt", "svm")),
    ("vmList", ()),
    ("vmStats", ({"vm": ["web1", "4242"], "groups": ["cpu", "disk"]},)),
    ("vmStats", ({"vm": ["web1"], "form": "binary"},)),
    ("vmDiagnostics", ("web1", "nova-2.48")),
    ("vmVdsm", ("web1",)),
    ("vmCloudStack", ("engine",)),
    ("vmSamples", ("engine",)),
    ("vmExits", ()),
    ("hostStats", ()),
    ("hypervisorDetail", ("nova-2.53",)),
    ("hypervisorList", ({"pattern": "kvm1", "servers": True},)),
    ("hypervisorStatistics", ()),
    ("hostList", ()),
    ("projectLimits", ("c1a2b3d4e5f60718293a4b5c6d7e8f90",)),
    ("serviceList", ({"host": "host1", "binary": "kvmlog-rpc"},)),
    ("serviceUpdate", ("x", {"status": "disabled", "disabled_reason": "disks"})),
    ("vmActions", ({"vm": "web1", "limit": 3, "since": "2026-11-20", "before": "2026-11-21"},)),
    ("vmAction", ("web1", "req-1")),
    ("vmFaults", ({"vm": "web1", "limit": 3, "since": "2026-11-20T19:46:02"},)),
    ("kvmWhy", ({"vm": "web1", "for_s": 1.0, "trace": False},)),
    ("projectUsage", ({"start": "2026-11-20", "end": "2026-11-21", "detailed": True},)),
    ("system.listMethods", ()),
    ("system.multicall", ([{"methodName": "kvmRecords", "params": [{"count": 3}]}] * 2,)),
    ("system.methodHelp", ("kvmRecords",)),
    ("system.methodSignature", ("kvmRecords",)),
    ("system.shutdown", ()),
)
METHODS: Final = frozenset(name for name, _ in _CALLS)
_BODY_PIECES: Final = (
    *(b"\0", b"\xc3\x28", b"&#0;", b"&lol;", b"<!DOCTYPE m>", b"<value>", b"</value>", b"<nil/>"),
    *(b"<int>" + b"9" * 400 + b"</int>", b"<double>nan</double>", b"<base64>=</base64>"),
    *(b"<dateTime.iso8601>0</dateTime.iso8601>", b"<array><data>" * 40, b"<![CDATA[<a>]]>"),
)
_FAULTS: Final = frozenset(
    value for name, value in vars(faults).items() if name.isupper() and isinstance(value, int)
) - {faults.INTERNAL}


def commands(dice: random.Random) -> Iterator[bytes]:
    """Commands without end, as the local socket takes them: `on` with arguments among them."""
    while True:
        command = dice.choice(_COMMANDS)
        if dice.random() < 0.3:
            command = "on " + json.dumps(_some(dice, _ARGUMENTS))
        yield _damaged(dice, command.encode(), _DATAGRAM_PIECES)


def datagrams(dice: random.Random, receiver: str) -> Iterator[bytes]:
    """Datagrams without end, plain and signed by KEY for RECEIVER ("127.0.0.1:50000")."""
    for command in commands(dice):
        if dice.random() < 0.5:
            yield command
            continue
        ahead_ns = dice.choice((0, 0, 0, 10**9, -(10**12), 10**15))
        whole, _ = udp_auth.format_request(
            KEY, dice.choice(_COMMANDS), receiver, time.time_ns() + ahead_ns
        )
        yield _damaged(dice, whole, _DATAGRAM_PIECES)


def bodies(dice: random.Random) -> Iterator[bytes]:
    """Bodies of requests without end."""
    while True:
        method, parameters = dice.choice(_CALLS)
        if dice.random() < 0.5:
            parameters = tuple(_changed(dice, one) for one in parameters)
        if dice.random() < 0.05:
            parameters = (*parameters, dice.choice(_JUNK))
        yield _damaged(dice, dumps(parameters, method, allow_none=True).encode(), _BODY_PIECES)


def check_answer(answer: bytes) -> None:
    """It is one of those that the switch gives, to datagrams of any kind."""
    if answer.startswith(udp_auth.MAGIC):
        nonce = answer.split(b" ", 3)[2]
        text = udp_auth.parse_answer(KEY, nonce, answer)
        assert text is not None, answer
        answer = text
    if answer.startswith(b"error: "):
        assert answer.removeprefix(b"error: ").decode().strip(), answer
        return
    ok, word, rest = (*answer.split(b" ", 2), b"")[:3]
    assert ok == b"ok", answer
    assert word in (b"on", b"off", b"status", b"pending", b"guests", b"flush", b"reset"), answer
    if rest:
        assert isinstance(json.loads(rest), dict), answer


def check_reply(reply: bytes) -> None:
    """It is one result, or a fault that docs/rpc.md has and that is no defect of the server's."""
    if b"<fault>" not in reply:
        (_,), method = loads(reply, use_builtin_types=True)
        assert method is None
        return
    fault = _fault(reply)
    assert fault["faultCode"] in _FAULTS, fault
    assert fault["faultString"].isascii(), fault


def descriptors(pid: int | str = "self") -> list[str]:
    """Return the open descriptors of a process."""
    return sorted(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    """Memory of its own that a process has in RAM: statm's resident less shared, proc(5)."""
    _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _fault(reply: bytes) -> dict[str, Any]:
    # As a value, which loads() does not raise.
    plain = reply.replace(b"<fault>", b"<params><param>").replace(b"</fault>", b"</param></params>")
    (found,), _ = loads(plain, use_builtin_types=True)
    assert isinstance(found, dict)
    return found


def _some(dice: random.Random, members: dict[str, Any]) -> dict[str, Any]:
    """Some of the members, one perhaps of another value or name."""
    chosen = {name: value for name, value in members.items() if dice.random() < 0.6}
    if dice.random() < 0.5:
        chosen[dice.choice((*members, "no_such"))] = dice.choice(_JUNK)
    return chosen


def _changed(dice: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and dice.random() < 0.9:
        return _some(dice, value)
    return dice.choice(_JUNK)


def _damaged(dice: random.Random, whole: bytes, pieces: tuple[bytes, ...]) -> bytes:
    if dice.randrange(20) < _WHOLE:
        return whole
    for _ in range(dice.choice((1, 1, 2, 5))):
        whole = damage(dice, whole, pieces)
    return whole
