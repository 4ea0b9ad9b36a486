# SPDX-License-Identifier: GPL-2.0-or-later
"""Times of the past as people give them: a date, a time of day, or how long ago."""

from __future__ import annotations

import argparse
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"(\d{1,7})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(value: str) -> str:
    """Return a time as ISO 8601 with its zone, for argparse; without a zone it is local."""
    ago = _AGO.fullmatch(value)
    try:
        if ago is not None:
            seconds = int(ago[1]) * _SECONDS[ago[2]]
            when = datetime.fromtimestamp(time.time(), UTC) - timedelta(seconds=seconds)
        else:
            when = datetime.fromisoformat(value).astimezone()
    except (OSError, OverflowError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{value!r} is no time; give how long ago, as in 30m, 2h or 7d, or a date as in "
            "2026-11-30 or 2026-11-30T17:00"
        ) from None
    return when.isoformat()
