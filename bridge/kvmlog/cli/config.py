# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog config check|show|default`: check, show or print the configuration."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Final

from kvmlog.bridge import preflight as bridge_start
from kvmlog.cli import table
from kvmlog.cli.table import Column, Table
from kvmlog.config.load import DEFAULT_CONFIG, Config, ConfigError
from kvmlog.config.reference import default_file, toml_value
from kvmlog.config.schema.sections import KEYS
from kvmlog.fleet import preflight as fleet_start
from kvmlog.metrics import preflight as metrics_start
from kvmlog.rpcserver import preflight as rpc_start
from kvmlog.util.printable import printable
from kvmlog.util.secrets import UnreadableError
from kvmlog.vmstats import preflight as vmstats_start

_COLUMNS: Final = (Column("KEY"), Column("VALUE"), Column("FROM", spare=1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog config`."""
    parser.add_argument(
        "action",
        choices=("check", "show", "default"),
        help="check: report what keeps the services from starting; show: each key's value and "
        "origin; default: print a file with all keys and their meanings",
    )
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help=f"the file (default: {DEFAULT_CONFIG})"
    )
    parser.add_argument("--json", action="store_true", help="with show: one JSON object")
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """Return 0; for check 1, with a message per problem, when a service cannot use the file."""
    if args.json and args.action != "show":
        args.refuse("--json goes with show")
    if args.action == "default":
        sys.stdout.write(default_file())
        return 0
    if args.action == "check":
        return _check(args.path)
    config = Config.load(args.path)
    if args.json:
        table.write([json.dumps(_object(config))], sys.stdout)
    else:
        rows = [[name, toml_value(config.get(name)), config.origins[name]] for name in KEYS]
        table.show(Table(_COLUMNS, rows))
    return 0


def _check(path: str | None) -> int:
    try:
        config = Config.load(path)
    except ConfigError as error:
        for problem in error.problems:
            print(f"kvmlog: {printable(problem)}", file=sys.stderr)
        return 1
    where = config.path or "the defaults"
    wrong, unseen = _at_the_start(config)
    for sentence in wrong:
        print(f"kvmlog: {where}: {printable(sentence)}", file=sys.stderr)
    for path in unseen:
        print(
            f"kvmlog: {printable(path)}: not looked at, which takes the right to read it; "
            "run this as root",
            file=sys.stderr,
        )
    if wrong:
        return 1
    if config.path is None:
        table.show(f"{DEFAULT_CONFIG} does not exist: the defaults hold")
    else:
        table.show(f"{config.path}: good{', but for what was not looked at' if unseen else ''}")
    return 0


def _at_the_start(config: Config) -> tuple[list[str], list[str]]:
    """Return what would keep services from starting, and files this user may not read."""
    wrong, unseen = [], []
    for service, problems, sees in (
        ("bridge", bridge_start.problems(config), os.geteuid() == 0),
        ("rpc", rpc_start.problems(config), rpc_start.is_reader(config.rpc)),
        ("vmstats", vmstats_start.problems(config), True),
        ("metrics", metrics_start.problems(config), rpc_start.is_reader(config.metrics)),
        ("fleet serve", fleet_start.problems(config), rpc_start.is_reader(config.fleet)),
    ):
        for error in problems:
            if isinstance(error, UnreadableError) and not sees:
                unseen.append(error.path)
            else:
                wrong.append(f"kvmlog {service} does not start: {error}")
    return wrong, unseen


def _object(config: Config) -> dict[str, object]:
    keys = {
        name: {"value": config.get(name), "from": config.origins[name], "default": one.default}
        for name, one in KEYS.items()
    }
    return {"path": config.path, "keys": keys}
