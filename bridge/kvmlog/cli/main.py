# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `kvmlog`: finds the sub-command and turns errors into one sentence."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from kvmlog.bridge.errors import KvmlogError

# Name, module with add_arguments(parser) and run(args) -> int, one line of help. Modules are
# imported only when asked for: `kvmlog dump` needs no netlink, `kvmlog bridge` no XML.
COMMANDS: Final = (
    ("bridge", "kvmlog.bridge.daemon", "receive records and write the ring (the daemon)"),
    ("rpc", "kvmlog.rpcserver.main", "serve the ring and the switch over XML-RPC"),
    ("status", "kvmlog.cli.status", "show what the bridge and the ring are doing"),
    ("switch", "kvmlog.cli.switch", "switch tracing on or off"),
    ("dump", "kvmlog.cli.dump", "print the newest records"),
    ("tail", "kvmlog.cli.tail", "print records as they come"),
    ("pending", "kvmlog.cli.pending", "print the vCPUs that are in an exit now"),
    ("explain", "kvmlog.cli.explain", "say what an exit reason is and what to do about it"),
)
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE_CLOSED: Final = 141  # as a shell reports death by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one sub-command; its exit status, 1 with a sentence on stderr when it failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = _parser(given[0] if given else "").parse_args(given)
        status = int(args.run(args))
        sys.stdout.flush()
    except KvmlogError as error:
        print(f"kvmlog: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    return status


def _parser(chosen: str) -> argparse.ArgumentParser:
    """All sub-commands by name; the options of the chosen one."""
    parser = argparse.ArgumentParser(
        prog="kvmlog", description="Why and for how long KVM guests leave the CPU."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module_name, text in COMMANDS:
        command = commands.add_parser(name, help=text, description=text)
        if name == chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
