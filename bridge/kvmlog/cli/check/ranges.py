# SPDX-License-Identifier: GPL-2.0-or-later
"""Ranges of thresholds, and numbers as performance data has them.

The ranges are nagiosplugin's, which is loaded here alone. What it would take for a range and is
none, or answer with a traceback, is refused before.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from kvmlog.util.errors import KvmlogError, UsageError

_NUMBER: Final = r"-?(?:[0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
_RANGE: Final = re.compile(rf"@?(?:(?:~|{_NUMBER})?:(?:{_NUMBER})?|{_NUMBER})", re.ASCII)
_LABEL_CHARACTERS: Final = 128


class NoPluginLibraryError(KvmlogError):
    """nagiosplugin is not installed."""


class Threshold:
    """A range; text: as it was typed. A value outside it (inside, with @) is an alert."""

    def __init__(self, text: str, option: str) -> None:
        """UsageError for what is no range, which names the option."""
        self.text = text.strip()
        if _RANGE.fullmatch(self.text) is None:
            raise UsageError(
                f"{option} {text[:40]!a}: is no range; give MAX, MIN:, MIN:MAX, ~:MAX or @MIN:MAX"
            )
        try:
            # A point at either end is for nagiosplugin what tells a float from an int.
            self._range = _library().Range(self.text)
        except ValueError:
            raise UsageError(f"{option} {self.text}: its end is below its start") from None

    def alerts(self, value: float) -> bool:
        """Return whether a value is an alert; it must be a number."""
        assert math.isfinite(value)
        return not self._range.match(value)


def perfdata(
    label: str,
    value: float,
    unit: str = "",
    warn: Threshold | None = None,
    critical: Threshold | None = None,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Return one item of performance data; unit: "", "s", "ms", "%", "B" or "c"."""
    name = label.replace("'", "_").replace("=", "_")[:_LABEL_CHARACTERS] or "_"
    made = _library().Performance(
        name,
        number(value),
        unit,
        warn.text if warn else "",
        critical.text if critical else "",
        "" if low is None else number(low),
        "" if high is None else number(high),
    )
    _, _, rest = str(made).rpartition("=")
    # Always quoted: it takes letters of all alphabets for those that need no quotes.
    return f"'{name}'={rest}"


def number(value: float) -> str:
    """Return a number with a point, without an exponent, whatever the locale."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _library() -> Any:
    try:
        import nagiosplugin
    except ImportError as error:
        raise NoPluginLibraryError(
            f"thresholds cannot be read ({error}); install python3-nagiosplugin, or kvmlog[check] "
            "with pip"
        ) from None
    return nagiosplugin
