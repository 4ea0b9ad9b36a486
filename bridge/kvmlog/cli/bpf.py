# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog bpf build|list`: the compiled programs of the source bpf that this host keeps."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from kvmlog.cli import table
from kvmlog.cli.table import Column, Table
from kvmlog.config.load import Config, add_options
from kvmlog.sources.bpf.cache import Cache, Entry, RefusedError, key_of
from kvmlog.sources.bpf.loader import Loaded, compile_plan
from kvmlog.sources.bpf.plan import make_plan
from kvmlog.util.errors import SourceError

_COLUMNS: Final = (
    Column("FILE"),
    Column("MADE", width=20),
    Column("COMPILER"),
    Column("NOTES", spare=1),
)
_FITS: Final = "fits this host"
_CHECK_VCPUS: Final = 16  # the smallest tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog bpf`."""
    parser.add_argument(
        "action",
        choices=("build", "list"),
        help="build: compile the programs for the kernel that runs, have it check them, and keep "
        "them; list: show what is kept",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per file")
    add_options(parser, "bpf")


def run(args: argparse.Namespace) -> int:
    """Return 0; SourceError where nothing can be built, or the folder cannot be used."""
    keys = Config.of(args).bridge
    if not keys.bpf_cache:
        raise SourceError("no folder of compiled programs is configured; give --bpf-cache FOLDER")
    cache = Cache(keys.bpf_cache)
    try:
        if args.action == "build":
            shown = [_build(cache, keys.bpf_reason)]
            fits = shown[0].path
        else:
            shown = cache.entries()
            fits = _path_here(cache, keys.bpf_reason)
    except RefusedError as error:
        raise SourceError(str(error)) from None
    if args.json:
        table.write([json.dumps(_object(entry, fits)) for entry in shown], sys.stdout)
    elif shown:
        table.show(Table(_COLUMNS, [_row(entry, fits) for entry in shown]))
    else:
        table.show(f"{cache.folder}: nothing is kept; kvmlog bpf build makes an entry")
    return 0


def _build(cache: Cache, reason: str) -> Entry:
    if os.geteuid() != 0:
        raise SourceError("kvmlog bpf build makes maps in the kernel; run it as root")
    plan = make_plan(reason)
    compiled = compile_plan(plan)
    loaded = Loaded(plan, compiled, _CHECK_VCPUS)
    try:
        loaded.check()
    finally:
        loaded.close()
    path = cache.path_of(key_of(plan))
    cache.store(key_of(plan), compiled)
    return next(entry for entry in cache.entries() if entry.path == path)


def _path_here(cache: Cache, reason: str) -> str:
    """Return where the entry for this host would be; "" where it cannot be traced."""
    try:
        return cache.path_of(key_of(make_plan(reason)))
    except (SourceError, OSError):
        return ""


def _row(entry: Entry, fits: str) -> Sequence[str]:
    notes = entry.refused or (_FITS if entry.path == fits else "")
    return [entry.path, _local(entry.made_s), entry.compiler, notes]


def _local(made_s: float) -> str:
    return datetime.fromtimestamp(made_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _object(entry: Entry, fits: str) -> dict[str, Any]:
    return {
        "path": entry.path,
        "made_s": entry.made_s,
        "compiler": entry.compiler or None,
        "refused": entry.refused or None,
        "fits_this_host": entry.path == fits and not entry.refused,
    }
