# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog fleet COMMAND`: many hosts at once, through the `kvmlog rpc` of each."""

from __future__ import annotations

import argparse
from typing import Final

from kvmlog.cli.examples import add_examples
from kvmlog.cli.fleet import each, targets
from kvmlog.cli.fleet.chosen import Fleet, add_call
from kvmlog.cli.fleet.merged import MERGED
from kvmlog.cli.remote.command import COMMANDS

_EPILOG: Final = """\
exit status:
  0  every host answered
  1  none did
  2  invalid option or argument
  3  some did; each other one has a line on stderr"""
_SERVE: Final = "serve the merged paths of Nova, for OpenStack's clients (the daemon)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands, each with its options."""
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, words: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=words, description=words)
        found.set_defaults(typed=found.prog)
        return found

    made = command("targets", "write what Prometheus scrapes: file_sd, or http_sd on stdout")
    targets.add_arguments(made)
    made.set_defaults(act=targets.run)
    add_examples(made, "fleet targets")

    made = command("serve", _SERVE)
    from kvmlog.fleet import serve

    serve.add_arguments(made)
    made.set_defaults(act=serve.run)
    add_examples(made, "fleet serve")

    for name, (add, act, words) in MERGED.items():
        made = command(name, words)
        add(made)
        add_call(made)
        made.set_defaults(act=lambda args, act=act: act(Fleet(args), args))
        add_examples(made, f"fleet {name}")
    for name in each.EACH:
        made = command(name, f"on each host: {COMMANDS[name][2]}")
        each.add_arguments(made, name)
        add_call(made)
        made.set_defaults(act=lambda args, name=name: each.run(Fleet(args), args, name))
        add_examples(made, f"fleet {name}")


def run(args: argparse.Namespace) -> int:
    """Return the exit status of the command; KvmlogError for a list that cannot be used."""
    return int(args.act(args))
