# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file as bytes: JSON, a snapshot's fields under their names.

Written anew for each poll and put in place by a rename, so that readers get one poll or the next,
never wait, and never make libvirt work. The file may be foreign: reading checks each type.
"""

from __future__ import annotations

import functools
import json
import math
import operator
from dataclasses import replace
from typing import Any, Final

import cattrs

from kvmlog.guests.sanitize import clean
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Snapshot

# The option that has the file's path.
OPTION: Final = "--vmstats-file"
FORMAT: Final = "kvmlog-vmstats"
VERSION: Final = 1
# More than 8,192 domains with eight devices each take.
FILE_BYTES: Final = 128 << 20
_NUMBERS: Final = (int, float)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(snapshot: Snapshot) -> bytes:
    """Return the content of the file."""
    plain = _converter().unstructure
    document = {"format": FORMAT, "version": VERSION, **plain(replace(snapshot, vms=()))}
    del document["vms"]
    # One by one: of many at once, encoding would keep all other threads from running.
    vms = b",".join(_json(plain(vm)) for vm in snapshot.vms)
    return b'%s,"vms":[%s]}' % (_json(document)[:-1], vms)


def _json(value: Any) -> bytes:
    # What has come of a damaged file is written as JSON has it: half a pair of surrogates.
    return _ENCODER.encode(value).encode("utf-8", "backslashreplace")


def decode(path: str, raw: bytes, named_by: str = OPTION) -> Snapshot:
    """Parse the content of the file at a path; VmStatsError for anything else than a snapshot.

    named_by: the option or key that has the path, for the error.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise foreign(path, "no JSON", named_by) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise foreign(path, f"its format is not {FORMAT}", named_by)
    version = document.get("version")
    if version != VERSION:
        raise VmStatsError(
            f"{path}: version {clean(str(version))}, this kvmlog knows {VERSION}; restart the "
            "collector (kvmlog vmstats) or use the kvmlog that wrote it"
        )
    try:
        return _converter().structure(document, Snapshot)
    except (
        cattrs.BaseValidationError,
        OverflowError,
        ValueError,
        TypeError,
        KeyError,
    ) as error:
        raise foreign(path, clean(str(error)), named_by) from None


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    # Of themselves they would convert: a number from a text, a text from anything.
    # By type, not by a function: such hooks come after cattrs' own.
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _exactly)
        # Most fields are these: cattrs' own way would look up each one's hook at each value.
        converter.register_structure_hook_func(
            functools.partial(operator.eq, kind | None), functools.partial(_exactly_or_none, kind)
        )
    converter.register_structure_hook(State, lambda value, _: State(_exactly(value, int)))
    return converter


def _exactly(value: Any, kind: type) -> Any:
    if kind is float and type(value) in _NUMBERS:
        # json.loads() takes NaN and Infinity, and makes an infinity of 1e999.
        if not math.isfinite(value):
            raise ValueError(f"{value} is no figure")
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _exactly_or_none(kind: type, value: Any, _: Any) -> Any:
    if value is None or (type(value) is kind and kind is not float):
        return value
    return _exactly(value, kind)


def foreign(path: str, what: str, named_by: str) -> VmStatsError:
    """Return the error for a file that is not the collector's, or is damaged."""
    return VmStatsError(
        f"{path}: no file of VM statistics, or a damaged one ({what}); check {named_by}, and "
        "restart the collector (kvmlog vmstats) if the file is its own"
    )
