# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run inside a VM, shown as tests of their own on the host.

Every test in tests/vm/inside/ appears once for each kernel, as "test_name[6.1]"; those
in inside/once/ do not depend on it, and appear for the first; those in inside/debug/ for the
kernel "debug" only; those in inside/soak/ in `make soak` only. For each kernel one VM is booted,
in which pytest runs all of that kernel's items, and two others for those of once/, by source: a
VM keeps one CPU busy, so that none must have much more to do than the others. Here items only
read their outcome. The VMs begin before any test does, and run beside all others and each other,
as many as there are CPUs: most of those others wait more than they compute. Nothing in
tests/vm/inside is imported on the host.

    KVMLOG_KERNELS="6.1"         only these kernels (default: 6.1 6.12)
    KVMLOG_VM_TIMEOUT_S=4500     for one VM
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.vm import console
from scripts.vm.kernels import DEBUG, PROJECT, SERIES, KernelError
from scripts.vm.runner import RUNS, VmError, run_vm
from tests.support import scale
from tests.vm import reporting

INSIDE = Path(__file__).with_name("inside")
_ONCE = INSIDE / "once"
_SOAK = INSIDE / "soak"
_DEBUG = INSIDE / "debug"
_BPF = re.compile(r"\[bpf\b")
_IN_VM = "KVMLOG_IN_VM"
_NODEIDS = pytest.StashKey[list[str]]()
# Lines that a test inside printed past pytest's capture, for who reads the host's summary.
_MEASURED = re.compile(r"^measured: (.*)$", re.MULTILINE)
_SESSIONS = pytest.StashKey["VmSessions"]()


def in_vm() -> bool:
    """Return whether this very pytest is the one inside the VM."""
    return _IN_VM in os.environ


class InsideError(Exception):
    """A test inside the VM failed, or the VM did; the text is the report."""


class Boot(NamedTuple):
    """Which VM an item runs in."""

    kernel: str
    once: bool
    bpf: bool = False  # of once/: those with the source bpf have a VM of their own

    @property
    def name(self) -> str:
        return f"inside-{self.kernel}{'-once' if self.once else ''}{'-bpf' if self.bpf else ''}"


class VmSession:
    """One boot of one kernel, and what its pytest said."""

    def __init__(self, boot: Boot, nodeids: list[str]) -> None:
        results = RUNS / f"{boot.name}-{os.getpid()}.jsonl"
        results.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            _IN_VM: boot.kernel,
            reporting.RESULTS_ENVIRONMENT: str(results),
            "PYTHONDONTWRITEBYTECODE": "1",
            **scale.ENVIRONMENT,
        }
        words = [
            *("env", *(f"{name}={value}" for name, value in environment.items())),
            *(str(PROJECT / ".venv/bin/python"), "-m", "pytest", "-p", "no:cacheprovider"),
            *("-p", "tests.vm.reporting", f"--junitxml={RUNS / f'{boot.name}.xml'}"),
            *nodeids,
        ]
        self.trouble = ""
        self.measured: list[str] = []
        self._culprits: set[str] = set()
        try:
            done = run_vm(
                boot.kernel,
                shlex.join(words),
                name=boot.name,
                timeout_s=float(os.environ.get("KVMLOG_VM_TIMEOUT_S", "4500")),
            )
            self.measured = _MEASURED.findall(done.stdout)
            if done.exit_code not in (0, 1):
                self.trouble = (
                    f"pytest in the VM gave {done.exit_code}:\n{done.stdout}{done.stderr}"
                )
        except VmError as error:
            self.trouble = f"{error}\n--- output ---\n{error.result.stdout}{error.result.stderr}"
            text = error.result.console.read_text(errors="replace")
            self._culprits = console.culprits(text, reporting.MARKER)
        except KernelError as error:
            self.trouble = str(error)
        self._outcomes = reporting.read(results)
        results.unlink(missing_ok=True)
        self._told = False
        # The kernel's complaint fails the test in which it came. One that came outside of any,
        # or trouble that kept no test from ending, fails all.
        all_ended = self._outcomes.keys() >= set(nodeids)
        self._is_everybodys = bool(self.trouble) and (
            "" in self._culprits or (all_ended and not self._culprits)
        )

    def check(self, nodeid: str) -> None:
        """Returns if the test passed; raises InsideError, or skips, if it did not."""
        outcome = self._outcomes.get(nodeid)
        if outcome is None:
            raise InsideError(f"did not end: {self._trouble()}")
        if nodeid in self._culprits or self._is_everybodys:
            raise InsideError(f"{outcome.outcome}, but its VM failed: {self._trouble()}")
        if outcome.outcome == "skipped":
            pytest.skip(outcome.text)
        if outcome.outcome == "failed":
            raise InsideError(outcome.text)

    def _trouble(self) -> str:
        """Return the trouble, in full the first time only."""
        told, self._told = self._told, True
        return self.trouble.splitlines()[0] + " (shown above)" if told else self.trouble


class VmSessions:
    """All VMs, begun at once: as many run as there are CPUs, those of once/ last."""

    def __init__(self, wanted: Mapping[Boot, list[str]]) -> None:
        """Takes each VM's node ids."""
        self._free = threading.Semaphore(len(os.sched_getaffinity(0)))
        self._begun = {boot: Future[VmSession]() for boot in wanted}
        for boot in sorted(wanted, key=lambda boot: boot.once):
            # QEMU dies with the thread that began it: what ends pytest ends the VMs.
            threading.Thread(target=self._boot, args=(boot, wanted[boot]), daemon=True).start()

    def wait(self, boot: Boot) -> VmSession:
        """That VM's, once it has ended."""
        return self._begun[boot].result()

    def ended(self) -> list[VmSession]:
        """Those that have ended, none of them by a defect of the runner."""
        return [one.result() for one in self._begun.values() if one.done() and not one.exception()]

    def _boot(self, boot: Boot, nodeids: list[str]) -> None:
        with self._free:
            try:
                self._begun[boot].set_result(VmSession(boot, nodeids))
            except BaseException as error:  # noqa: BLE001 - raised by wait()
                self._begun[boot].set_exception(error)


class InsideModule(pytest.File):
    """One file of tests/vm/inside."""

    def collect(self) -> Iterable[pytest.Item]:
        """Each of its tests, for each kernel."""
        path = self.path.relative_to(PROJECT).as_posix()
        for nodeid in _inside_nodeids(self.config):
            file, _, test = nodeid.partition("::")
            if file != path:
                continue
            for boot in boots_of(self.path, test):
                item = InsideItem.from_parent(self, name=f"{test}[{boot.kernel}]")
                item.nodeid_inside, item.boot = nodeid, boot
                item.add_marker(pytest.mark.vm)
                yield item


class InsideItem(pytest.Item):
    """One test on one kernel."""

    nodeid_inside: str
    boot: Boot

    def runtest(self) -> None:
        """Wait for the VM, then tell this test's outcome."""
        self.config.stash[_SESSIONS].wait(self.boot).check(self.nodeid_inside)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        """The report from inside, without the traceback of this file."""
        if isinstance(excinfo.value, InsideError):
            return f"on kernel {self.boot.kernel}: {excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the test's place."""
        return self.path, None, self.name


def begin(session: pytest.Session) -> None:
    """Boot the VMs of all items inside that are to run."""
    wanted = defaultdict[Boot, list[str]](list)
    for item in session.items:
        if isinstance(item, InsideItem):
            wanted[item.boot].append(item.nodeid_inside)
    if wanted:
        session.config.stash[_SESSIONS] = VmSessions(wanted)


def boots_of(path: Path, test: str) -> list[Boot]:
    """Return the VMs in which a test of a file inside runs, each on a kernel of its own."""
    kernels = os.environ.get("KVMLOG_KERNELS", " ".join(SERIES)).split()
    once = _ONCE in path.parents
    if _DEBUG in path.parents:
        kernels = [kernel for kernel in kernels if kernel == DEBUG]
    elif _SOAK in path.parents and not scale.EVERY_KERNEL:
        kernels = []
    elif once and not scale.EVERY_KERNEL:
        kernels = kernels[:1]
    bpf = once and (_BPF.search(test) is not None or path.name.startswith("test_bpf"))
    return [Boot(kernel, once, bpf) for kernel in kernels]


def measured(config: pytest.Config) -> list[str]:
    """Return the measurements of the tests inside: for information."""
    sessions = config.stash.get(_SESSIONS, None)
    return [line for session in sessions.ended() for line in session.measured] if sessions else []


def _inside_nodeids(config: pytest.Config) -> list[str]:
    """Node ids of all tests inside, as a pytest of the VM's kind collects them."""
    if _NODEIDS not in config.stash:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", str(INSIDE)],
            cwd=PROJECT,
            # It leaves the tests as pytest rewrites them, for the VMs to find.
            env={**os.environ, _IN_VM: "collecting", "PYTHONDONTWRITEBYTECODE": ""},
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 5):
            raise pytest.Collector.CollectError(done.stdout + done.stderr)
        config.stash[_NODEIDS] = [line for line in done.stdout.splitlines() if "::" in line]
    return config.stash[_NODEIDS]
