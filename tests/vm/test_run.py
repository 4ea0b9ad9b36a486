# SPDX-License-Identifier: GPL-2.0-or-later
"""`make run` in its virtual machine: own services, and a guest that boots Linux."""

from __future__ import annotations

import os
import re
import subprocess

from scripts.vm.kernels import PROJECT

# What any boot leaves the CPU for, before it has a console.
BOOT = {"cpuid", "io", "npf", "interrupt"}
_EXIT = re.compile(r"^\d\d:\d\d:\d\d\.\d{6}  kvmlog-demo +(?:\d+ +)?(\w+) ", re.MULTILINE)
_GROUP = re.compile(r"^kvmlog-demo +(\w+) +(\d+) ", re.MULTILINE)
_COUNTED = re.compile(r"^[-0-9]+ [:0-9]+ to .*: ([\d,]+) exits?$", re.MULTILINE)


def test_the_boot_of_linux_is_seen_from_its_first_exit_on() -> None:
    """Exits decoded, a table for each round that adds up, nothing wider than asked, and no rest."""
    done = subprocess.run(
        ["scripts/run"],
        cwd=PROJECT,
        env={**os.environ, "KVMLOG_RUN": "vm", "RUN_SECONDS": "40", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "run: to trace this very kernel instead: KVMLOG_RUN=here make run\n" in done.stdout
    exits = _EXIT.findall(done.stdout)
    groups = _GROUP.findall(done.stdout)
    assert {reason for reason, _ in groups} >= BOOT, done.stdout
    assert {"io", "interrupt"} <= set(exits)
    counted = [int(number.replace(",", "")) for number in _COUNTED.findall(done.stdout)]
    assert sum(counted) == sum(int(number) for _, number in groups), done.stdout
    live = done.stdout.partition("\ndemo: every 3 s")[2].partition("\ndemo: ")[0].splitlines()
    assert max(map(len, live[1:])) <= 100
    assert f"shown, {sum(counted)} counted; the guest has ended" in done.stdout
