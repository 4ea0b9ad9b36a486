# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog report`: a recording, or what changed between two, as one page to look at and forward."""

from __future__ import annotations

import argparse
import errno
import sys
import time
from typing import BinaryIO, Final

from kvmlog.analysis.extra import require
from kvmlog.util import units
from kvmlog.util.errors import KvmlogError

_DEFAULT: Final = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog report`."""
    parser.add_argument("recording", metavar="FILE", help="a recording (kvmlog record -o FILE)")
    parser.add_argument(
        "second",
        nargs="?",
        metavar="FILE2",
        help="a later recording: the page is of this one, and says what changed since the first",
    )
    parser.add_argument(
        "-o",
        dest="output",
        default=_DEFAULT,
        metavar="PAGE",
        help=f"write the page to PAGE, - for stdout (default: {_DEFAULT})",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace PAGE where there is one already"
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and return 0; KvmlogError for what is no recording, or cannot be written."""
    require("kvmlog report", "numpy", "jinja2")
    # Only now: they import what was asked for above.
    from kvmlog.analysis.export.output import written
    from kvmlog.analysis.report import assets
    from kvmlog.analysis.report.document import document
    from kvmlog.analysis.report.gather import Model, gather
    from kvmlog.recording.reader import Recording

    def model_of(path: str) -> Model:
        with Recording(path) as recording:
            return gather(recording)

    begun = time.monotonic_ns()
    with written(args.output, force=args.force) as stream:
        before = None if args.second is None else model_of(args.recording)
        model = model_of(args.second or args.recording)
        content = document(model, before).encode("utf-8", "replace")
        _write(args.output, stream, content)
    for problem in (*(before.problems if before else ()), *model.problems):
        _say(problem)
    if assets.echarts() is None:
        _say(
            "Apache ECharts is not installed, so the page has tables only; "
            "install kvmlog from its packages, or run scripts/fetch-npm echarts in its sources"
        )
    if args.output != "-":
        took = units.duration(time.monotonic_ns() - begun)
        size = units.short(len(content), units.KIB)
        print(f"{args.output}: {model.scan.exits:,} exits, {size}B, made in {took}")
    return 0


def _write(path: str, stream: BinaryIO, content: bytes) -> None:
    try:
        stream.write(content)
        stream.flush()
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise KvmlogError(
            f"{path}: no space is left for {len(content):,} bytes, no page was written; "
            "free some, or name another place (-o)"
        ) from None


def _say(sentence: str) -> None:
    print(f"kvmlog: {sentence}", file=sys.stderr)
