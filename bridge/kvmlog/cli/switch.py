# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog switch on|off`: asks the bridge and says what it answered."""

from __future__ import annotations

import argparse

from kvmlog.bridge.control import DEFAULT_SOCKET, SwitchClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog switch`."""
    parser.add_argument("state", choices=("on", "off"))
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="the bridge's local socket (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """0 when the bridge acknowledged; SwitchError otherwise."""
    print(SwitchClient(args.switch).switch(args.state == "on"))
    return 0
