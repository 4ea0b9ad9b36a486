# SPDX-License-Identifier: GPL-2.0-or-later
"""Audit lines: who switched, and when, is in the log, whoever keeps it."""

from __future__ import annotations

import os
import re
import signal
from datetime import datetime, timedelta
from pathlib import Path

from kvmlog.control.client import SwitchClient
from tests.support.bridge_process import running_bridge

# East of UTC by something that is no whole hour.
ZONE, ZONE_S = "HERE-5:30", 19_800
LINE = re.compile(r"^kvmlog bridge: (.*)unix \S+ \(uid \d+, pid (\d+)\): off: ok off$", re.M)
REFUSED = re.compile(r"^kvmlog bridge: (.*)udp \S+ refused: plain commands are not taken", re.M)


def audited(folder: Path, stream: str) -> list[str]:
    """Return the words before a switch and before a refusal; stream: JOURNAL_STREAM, by a shell."""
    script = f'export TZ={ZONE} JOURNAL_STREAM="{stream}"; exec "$@"'
    prefix = ("sh", "-c", script, "sh")
    with running_bridge(folder, "--udp-plain", "off", prefix=prefix) as bridge:
        SwitchClient(str(bridge.switch)).switch(on=False)
        bridge.ask(b"off")
        _, log = bridge.stop(signal.SIGTERM)
    switched, refused = LINE.search(log), REFUSED.search(log)
    assert switched, log
    assert refused, log
    assert int(switched[2]) == os.getpid()
    return [switched[1], refused[1]]


def test_by_hand_the_line_says_when(tmp_path: Path) -> None:
    """Each line has the local time with its offset; also where only the shell was a service's."""
    for place, stream in (("none", ""), ("others", "1:2")):
        begin = datetime.now().astimezone().replace(microsecond=0)
        words = audited(tmp_path / place, stream)
        end = datetime.now().astimezone()
        for word in words:
            time = datetime.fromisoformat(word.removesuffix(" "))
            assert time.utcoffset() == timedelta(seconds=ZONE_S)
            assert begin <= time <= end


def test_the_journal_says_it_itself(tmp_path: Path) -> None:
    """Its lines are as they were."""
    stream = "$(stat --dereference --format=%d:%i /proc/self/fd/2)"
    assert audited(tmp_path / "journal", stream) == ["", ""]
