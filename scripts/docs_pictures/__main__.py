# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the pictures of docs/pictures, all of them or those that are named.

python -m scripts.docs_pictures [NAME...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scripts.docs_pictures import page, screen

PICTURES: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
# File -> function that returns its content. Each is the same whenever it is made.
MAKERS: Final[Mapping[str, Callable[[], str | bytes]]] = {
    "top.svg": screen.guests,
    "top-reasons.svg": screen.reasons,
    "report.png": page.beginning,
    "report-timeline.png": page.time_line,
}


def main() -> int:
    """Make the pictures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.docs_pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MAKERS))
    chosen = parser.parse_args().names or list(MAKERS)
    unknown = [name for name in chosen if name not in MAKERS]
    if unknown:
        parser.error(f"{unknown[0]}: no such picture; there are {', '.join(MAKERS)}")
    PICTURES.mkdir(exist_ok=True)
    for name in chosen:
        made = MAKERS[name]()
        (PICTURES / name).write_bytes(made.encode() if isinstance(made, str) else made)
        print(f"docs-pictures: docs/pictures/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
