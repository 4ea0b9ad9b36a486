# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `kvmlog`: run a sub-command, and print its errors as one sentence."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Collection, Sequence
from typing import Final

from kvmlog.cli.examples import add_examples
from kvmlog.cli.parser import Parser
from kvmlog.util.errors import KvmlogError, UsageError
from kvmlog.util.shortage import shortage

# Name, module with add_arguments(parser) and run(args) -> int, one line of help. Modules are
# imported only when asked for: `kvmlog dump` needs no netlink, `kvmlog bridge` no XML.
COMMANDS: Final = (
    ("bridge", "kvmlog.bridge.main", "receive records and write the ring (the daemon)"),
    ("rpc", "kvmlog.rpcserver.main", "serve the ring and the switch over XML-RPC"),
    ("vmstats", "kvmlog.vmstats.main", "collect what VMs use, through libvirt (the daemon)"),
    ("history", "kvmlog.history.main", "keep what happens to services and VMs (the daemon)"),
    ("notify", "kvmlog.notify.main", "tell others what happens to VMs (the daemon)"),
    ("metrics", "kvmlog.metrics.main", "serve metrics to Prometheus, or push them (the daemon)"),
    ("status", "kvmlog.cli.status", "show what the bridge and the ring are doing"),
    ("switch", "kvmlog.cli.switch", "switch tracing on or off"),
    ("dump", "kvmlog.cli.dump", "print the newest records"),
    ("tail", "kvmlog.cli.tail", "print records as they come"),
    (
        "stat",
        "kvmlog.cli.stat.command",
        "count exits by guest and reason, and show who spent the time",
    ),
    (
        "record",
        "kvmlog.cli.record.command",
        "record exits into a file, or what surrounds an event",
    ),
    ("top", "kvmlog.cli.top", "show the exits of all guests live, on a terminal"),
    ("guests", "kvmlog.cli.guests", "list the guests of this host by name and UUID"),
    (
        "vms",
        "kvmlog.cli.vms.command",
        "show what the VMs of this host use, and their exits, a line each",
    ),
    (
        "check",
        "kvmlog.cli.check.command",
        "compare a figure with thresholds, as a plugin of Nagios or Icinga",
    ),
    (
        "events",
        "kvmlog.cli.events",
        "show what was done to the VMs of this host, and what went wrong with them",
    ),
    ("services", "kvmlog.cli.services", "show kvmlog's services on this host, and their state"),
    ("usage", "kvmlog.cli.usage", "show what owners used of this host over a period"),
    ("why", "kvmlog.cli.why", "watch a VM for some seconds, and say what slows it down"),
    ("pending", "kvmlog.cli.pending", "print the vCPUs that are in an exit now"),
    ("report", "kvmlog.cli.report", "make a page of a recording, or of what changed between two"),
    ("explain", "kvmlog.cli.explain", "explain an exit reason: meaning, causes, remedies"),
    ("export", "kvmlog.cli.export", "write a recording for other programs: Parquet, Perfetto, CSV"),
    ("query", "kvmlog.cli.query", "ask a recording or a data set questions in SQL"),
    (
        "remote",
        "kvmlog.cli.remote.command",
        "run these commands for another host, through its kvmlog rpc",
    ),
    (
        "fleet",
        "kvmlog.cli.fleet.command",
        "run these commands for many hosts at once, and merge what they answer",
    ),
    (
        "demo",
        "kvmlog.cli.demo.command",
        "show a tracing session on this host, with a guest of its own",
    ),
    ("bpf", "kvmlog.cli.bpf", "make and show the compiled programs of the source bpf"),
    ("config", "kvmlog.cli.config", "check or show the configuration"),
)
# The name by which the command is `kvmlog check`: a symbolic link in a folder of plugins.
PLUGIN: Final = "check_kvmlog"
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2  # argparse's own
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE_CLOSED: Final = 141  # as a shell reports death by SIGPIPE

EXIT_STATUS: Final = """\
exit status:
  0         success
  1         failure, with a message on stderr that says what to do
  2         invalid option or argument
  3         kvmlog fleet: some hosts answered, others did not
  0 to 3    kvmlog check: OK, WARNING, CRITICAL, UNKNOWN (invalid options, too)
  74        kvmlog bridge: its ring or statistics were cut short by somebody else
  126, 127  kvmlog stat, record: their command cannot be run; is not found
  128 + n   kvmlog stat, record: signal n ended their command (otherwise the command's own exit
            status); kvmlog demo: signal n ended it, after everything was restored
  130       interrupted by Ctrl-C; 0 for stat -i, vms -i, tail and record, which are ended so
  141       standard output was closed early (SIGPIPE)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; return its exit status, 1 with a message on stderr if it failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None and os.path.basename(sys.argv[0]) == PLUGIN:
        given.insert(0, "check")
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(given)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return EXIT_PIPE_CLOSED


def _run(given: list[str]) -> int:
    try:
        parser = _parser(given[:1])
        args, unknown = parser.parse_known_args(given)
        if unknown:
            near = parser.near_options(unknown)
            meant = f"did you mean {', '.join(near)}? " if near else ""
            known = f"{meant}{args.typed} --help lists those there are"
            parser.error(f"unrecognized arguments: {' '.join(unknown)}; {known}")
        return int(args.run(args))
    except BrokenPipeError:
        raise
    except Exception as error:
        # A limit that was hit may have become an error about something else.
        sentence = shortage(error)
        if sentence is None and not isinstance(error, KvmlogError):
            raise
        print(f"kvmlog: {sentence or error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


def _drop_output() -> None:
    """Redirect output that nobody reads: the interpreter flushes both streams at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def full_parser() -> argparse.ArgumentParser:
    """Return the parser with the options of all commands, for shell completion and tests."""
    return _parser([name for name, _, _ in COMMANDS])


def _parser(chosen: Collection[str]) -> Parser:
    """Return a parser that knows all commands by name, and the options of the chosen ones."""
    parser = Parser(
        prog="kvmlog",
        description="Why and for how long KVM guests leave the CPU.",
        epilog=EXIT_STATUS,
    )
    add_examples(parser, "")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module_name, text in COMMANDS:
        command = commands.add_parser(name, help=text, description=text)
        if name in chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(command)
            command.set_defaults(run=module.run, typed=command.prog)
            # argparse's status 2 means something else to whoever runs a plugin.
            command.on_error = getattr(module, "usage_error", None)
            if len(chosen) == 1:
                parser.on_error = command.on_error
            add_examples(command, name)
    return parser


if __name__ == "__main__":
    sys.exit(main())
