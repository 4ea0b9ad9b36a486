# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes of a test that begin where it stands: cheap, and free to crash."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable


class Child:
    """A child that does `work` and ends with 0, or with 1 and a traceback; killed at the end."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._status: int | None = None
        self._pid = os.fork()
        if self._pid:
            return
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing of the test may go on in the child
            traceback.print_exc()
        finally:
            os._exit(1)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Nothing, when it has ended and was waited for: the pid may be another's."""
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Its exit status; negative: the signal that ended it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self._status is None and os.waitid(os.P_PID, self._pid, flags) is None


def run(work: Callable[[], None]) -> int:
    """Does it in a child; the exit status."""
    with Child(work) as child:
        return child.wait()
