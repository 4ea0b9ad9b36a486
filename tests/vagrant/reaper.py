# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a daemon and be the parent of what it leaves behind: `python reaper.py libvirtd`.

libvirtd asks QEMU what it can do by starting one in the background, ends it and waits until its
process id is gone. Where process 1 is no init that collects the dead, each such question takes
half a minute.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Reap children until the daemon ends; pass SIGTERM on to it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    daemon = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: daemon.terminate())
    while True:
        pid, status = os.wait()
        if pid == daemon.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
