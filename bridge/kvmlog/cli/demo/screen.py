# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog top` as a part of a demo, on the demo's own terminal."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kvmlog.cli.demo.guest import DemoError

_STEP_S: Final = 0.2
_END_S: Final = 10.0


def show_screen(seconds: float, check: Callable[[], object]) -> None:
    """Show the screen until it is left, or for so long; DemoError where it fails.

    check: called again and again; what it raises ends the screen.
    """
    # The program that runs now, wherever it is installed.
    command = [sys.executable, str(Path(sys.argv[0]).resolve()), "top"]
    limit = time.monotonic() + seconds
    process = subprocess.Popen(command)
    try:
        while process.poll() is None and time.monotonic() < limit:
            check()
            time.sleep(_STEP_S)
    finally:
        # It leaves the terminal as it was.
        if process.poll() is None:
            process.terminate()
        try:
            status = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    if status and time.monotonic() < limit:
        raise DemoError(f"kvmlog top ended with status {status}, as it says above")
