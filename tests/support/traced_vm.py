# SPDX-License-Identifier: GPL-2.0-or-later
"""web1, whose exits real statistics count, and the document that engines get of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema

from kvmlog.guests.model import encode
from kvmlog.ring.reader import boot_id
from kvmlog.rpcserver.methods import table
from kvmlog.vmstats.views.schemas import schema
from tests.support import vmstats_samples as samples
from tests.support.metrics_host import guest
from tests.support.rpc_calls import call_of
from tests.support.statistics_feed import Counting, exits, note

IO: Final = 0x7B
MSR: Final = 0x7C
HLT: Final = 0x78
PID: Final = 4_000_001


@contextlib.contextmanager
def traced_vm(folder: Path) -> Iterator[Counting]:
    """The statistics of a host with web1, of 3 exits by port I/O, one of an MSR and 2 halts."""
    with Counting(folder) as made:
        made.feed(note(1, PID))
        feed(made, IO, 3, total_ns=1_000, user_ns=400)
        feed(made, MSR, 1, total_ns=500)
        feed(made, HLT, 2, total_ns=9_000)
        known = guest(PID, "instance-00000001", samples.WEB1)
        (folder / "ring.guests").write_bytes(encode(boot_id(), [known]))
        yield made


def feed(counting: Counting, reason: int, count: int, **fields: int) -> None:
    """Count exits of web1."""
    counting.feed(exits(count, guest=1, reason=reason, exit_ns=10**9, **fields))
    counting.writer.flush()


def ask(folder: Path) -> Any:
    """Return the document, which its schema allows, as JSON has it."""
    call = call_of(str(folder / "ring"), vmstats=str(folder / "vms"))
    found = json.loads(json.dumps(table.run("vmExits", table.find("vmExits"), call)))
    jsonschema.Draft202012Validator(schema("exits")).validate(found)
    return found


def named(listed: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """Return the figures of a list by their names."""
    return {one["name"]: one[figure] for one in listed}
