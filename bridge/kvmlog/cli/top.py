# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog top`: the exits of all guests, live, on a terminal."""

from __future__ import annotations

import argparse
import locale
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from kvmlog.cli import interval, records, selection
from kvmlog.util.errors import KvmlogError

if TYPE_CHECKING:
    from kvmlog.top.source.base import Source

_DEFAULT_INTERVAL_S: Final = 1.0
_DUMB: Final = ("", "dumb", "unknown")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog top`."""
    # What another host takes is loaded here for its options; what it needs, only where it is named.
    from kvmlog.cli.remote.link import add_link

    parser.add_argument(
        "-i",
        dest="interval",
        metavar="S",
        type=interval.interval_s,
        default=_DEFAULT_INTERVAL_S,
        help="seconds between two pictures (default %(default)g; + and - change it)",
    )
    selection.add_vm(parser, "show only this guest; repeatable (default: all guests)")
    parser.add_argument(
        "--host", metavar="HOST", help="another host, through its kvmlog rpc (see kvmlog remote)"
    )
    add_link(parser)
    records.add_ring(parser)
    records.add_switch(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Show the screen until it is left; return 0. KvmlogError where it cannot be shown."""
    require_terminal()
    source = _source(args)
    from kvmlog.top.model.pictures import ASCII, BLOCKS
    from kvmlog.top.ui.app import TopApp

    utf8 = "utf" in (sys.stdout.encoding or locale.getencoding()).lower()
    app = TopApp(source, args.interval, BLOCKS if utf8 else ASCII)
    app.run()
    return app.return_code or 0


def require_terminal() -> None:
    """Raise KvmlogError where the screen cannot be shown, with what to do instead."""
    instead = "kvmlog stat -i 1 prints the same as text"
    # textual draws on stderr.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise KvmlogError(
            f"kvmlog top needs a terminal as stdin, stdout and stderr, and here is none; {instead}"
        )
    if os.environ.get("TERM", "") in _DUMB:
        raise KvmlogError(
            f"kvmlog top needs a terminal that can move its cursor, and TERM is "
            f"{os.environ.get('TERM', '')!r}; {instead}"
        )
    if find_spec("textual") is None:
        raise KvmlogError(
            "kvmlog top needs textual, 2.1 or newer, which is not installed; "
            f"pip install 'kvmlog[top]' (Debian 13: apt install python3-textual), or: {instead}"
        )


def _source(args: argparse.Namespace) -> Source:
    if args.host is None:
        for option in ("token_file", "tls_ca", "tls_cert", "tls_key"):
            if getattr(args, option) is not None:
                args.usage_error(f"--{option.replace('_', '-')} is for another host; give --host")
        from kvmlog.top.source.local import LocalSource

        local = LocalSource(args.ring, args.switch, args.vm)
        local.require(args.interval)
        return local
    from kvmlog.cli.remote import command
    from kvmlog.cli.remote.link import connect
    from kvmlog.top.source.remote import LEAST_INTERVAL_S, MOST_INTERVAL_S, RemoteSource

    if not LEAST_INTERVAL_S <= args.interval <= MOST_INTERVAL_S:
        args.usage_error(
            f"-i {args.interval:g}: another host counts for {LEAST_INTERVAL_S:g} to "
            f"{MOST_INTERVAL_S:g} s"
        )
    words = command.words_about(args.host)
    return RemoteSource(lambda: connect(args, args.host), args.host, args.vm, words)
