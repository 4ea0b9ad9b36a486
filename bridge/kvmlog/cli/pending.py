# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog pending`: the vCPUs that are in an exit now, longest first."""

from __future__ import annotations

import argparse
import json
import sys
import time

from kvmlog.bridge import wire
from kvmlog.bridge.control import DEFAULT_SOCKET, SwitchClient
from kvmlog.exits import objects, text
from kvmlog.exits.notes import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog pending`."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line, names and numbers"
    )
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="the bridge's local socket (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints them and returns 0; SwitchError when no bridge answers.

    TIME is when the vCPU left its guest, TOTAL how long ago that is, VMM how long ago KVM
    returned to the guest's process.
    """
    raw, count = SwitchClient(args.switch).pending()
    found = [record for record in wire.unpack(raw) if isinstance(record, wire.Record)]
    to_wall_ns = time.time_ns() - time.monotonic_ns()
    offset_s = time.localtime().tm_gmtoff
    if not args.json:
        print(text.HEADER if found else "no vCPU is in an exit")
    for record in found:
        wall_ns = record.exit_ns + to_wall_ns
        if args.json:
            print(json.dumps(objects.record_object(record, wall_ns, offset_s)))
        else:
            print(text.format_record(record, wall_ns, offset_s))
    if count > len(found):
        print(f"and {counted(count - len(found), 'vCPU')} more, for less long", file=sys.stderr)
    return 0
