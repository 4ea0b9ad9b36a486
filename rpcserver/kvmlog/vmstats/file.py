# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file as bytes: JSON, a snapshot's fields under their names.

Written anew for each poll and put in place by a rename, so that readers get one poll or the next,
never wait, and never make libvirt work. The file may be foreign: reading checks each type.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any, Final

import cattrs
from cattrs import gen

from kvmlog.guests.sanitize import clean
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.definition import Definition
from kvmlog.vmstats.snapshot import Snapshot

FORMAT: Final = "kvmlog-vmstats"
VERSION: Final = 1
# More than 8,192 domains with eight devices each take.
FILE_BYTES: Final = 128 << 20
_NUMBERS: Final = (int, float)


def encode(snapshot: Snapshot) -> bytes:
    """Return the content of the file. For one thread."""
    document = {"format": FORMAT, "version": VERSION, **_converter().unstructure(snapshot)}
    _definitions.finish()
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def decode(path: str, raw: bytes) -> Snapshot:
    """Parse the content of the file at a path; VmStatsError for anything else than a snapshot."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise _foreign(path, "no JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _foreign(path, f"its format is not {FORMAT}")
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
        raise _foreign(path, clean(str(error))) from None


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_unstructure_hook(Definition, _definitions.convert)
    # Of themselves they would convert: a number from a text, a text from anything.
    converter.register_structure_hook_func(lambda kind: kind in (int, float, str, bool), _exactly)
    return converter


class _Definitions:
    """Definitions as plain data, made once for all snapshots in a row: the larger part of them.

    Which definition it is is told by identity, since comparing takes as long as converting.
    """

    def __init__(self) -> None:
        self._convert: Callable[[Definition], dict[str, Any]] | None = None
        self._before: dict[int, tuple[Definition, dict[str, Any]]] = {}
        self._made: dict[int, tuple[Definition, dict[str, Any]]] = {}

    def convert(self, definition: Definition) -> dict[str, Any]:
        """Return its plain data. It is kept here, so that no other gets its id."""
        key = id(definition)
        found = self._made.get(key) or self._before.get(key)
        if found is None:
            if self._convert is None:
                self._convert = gen.make_dict_unstructure_fn(Definition, _converter())
            found = definition, self._convert(definition)
        self._made[key] = found
        return found[1]

    def finish(self) -> None:
        """Forget those that this snapshot no longer had."""
        self._before, self._made = self._made, {}


_definitions: Final = _Definitions()


def _exactly(value: Any, kind: type) -> Any:
    if kind is float and type(value) in _NUMBERS:
        # json.loads() takes NaN and Infinity, and makes an infinity of 1e999.
        if not math.isfinite(value):
            raise ValueError(f"{value} is no figure")
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _foreign(path: str, what: str) -> VmStatsError:
    return VmStatsError(
        f"{path}: no file of VM statistics, or a damaged one ({what}); "
        "remove it and restart the collector (kvmlog vmstats)"
    )
