# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations of the module that fail: each time a sentence, all undone, and it works afterwards.

All that it allocates is allocated by a command, when it is loaded, or by the flush worker;
the probes allocate nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm.inside import host
from tests.vm.inside.debug import faults
from tests.vm.inside.netlink import Control, Receiver, RefusedError
from tests.vm.inside.processes import load, probes, until
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)

SMALL = ("max_vcpus=16", "buffers_per_cpu=2")
SYS_FINIT_MODULE, SYS_DELETE_MODULE = 313, 176
# Allocations in a row outside of the module, after which its own are behind.
OUTSIDE = 20
# The kernel's own allocations in between differ from run to run: one walk may step over one.
WALKS = 5


@pytest.fixture
def walk() -> Iterator[faults.Walk]:
    """Failures of this thread's allocations."""
    with faults.Walk() as one:
        yield one


def attempt(command: Callable[[Control], None], control: Control) -> RefusedError | OSError | None:
    """How a command to the module went: None if well; OSError when the socket itself failed."""
    try:
        command(control)
    except (RefusedError, OSError) as error:
        return error
    return None


def fail_in(walk: faults.Walk, number: int, command: Callable[[Control], None]) -> set[str]:
    """Have this allocation of a command fail; return the sentence of its refusal, if it has one.

    None of the module's own failures may be without, and a refusal changes nothing. Afterwards
    tracing is off, without a trace.
    """
    sentences = set()
    control = Control()
    was_on = control.status().on
    step = faults.Step(number)
    with walk.armed(step):
        error = attempt(command, control)
    control.close()
    # Another link: an answer may still be under way on that one.
    control = Control()
    if isinstance(error, RefusedError):
        assert step.failed, error
        assert error.code == errno.ENOMEM, step
        assert error.text or not step.calls, step
        sentences.add(error.text)
        control.wait_until_stopped()
        assert control.status().on == was_on, step
    if control.status().on:
        control.switch_off()
    assert not any(probes().values()), step
    control.status().check_sum()
    control.close()
    return sentences - {""}


def count_allocations(walk: faults.Walk, control: Control, command: Callable[[], None]) -> int:
    """Return how many there are in a command that goes well; tracing is off afterwards."""
    with walk.counted() as counted:
        command()
    if control.status().on:
        control.switch_off()
    return counted.number


def check_sentences(total: int, expected: set[str], step: Callable[[int], set[str]]) -> None:
    """Have each of `total` allocations fail: these are the sentences, and there are no others.

    step: has one fail, and returns its sentences.
    """
    seen: set[str] = set()
    for _ in range(WALKS):
        for number in range(1, total + 2):
            seen |= step(number)
        if seen >= expected:
            break
    assert seen == expected


def check_traces(control: Control, receiver: Receiver) -> None:
    """A guest is traced to its last exit."""
    receiver.drain()
    receiver.records.clear()
    histogram = host.Histogram()
    control.switch_on()
    host.guest("--turns", "101", "--vcpus", "2", "--kinds", "cpuid,pio")
    control.switch_off()
    receiver.drain()
    assert receiver.reasons() == histogram.counts()
    histogram.close()
    control.status().check_sum()


@pytest.mark.parametrize("parameters", [SMALL, ()], ids=["small tables", "big tables"])
def test_switching_on(
    module: Callable[..., None], walk: faults.Walk, parameters: tuple[str, ...]
) -> None:
    """Tables, buffers, configuration, probes: off again, or on as if nothing had been.

    For big tables there is another place (kvcalloc()) where one allocation fails.
    """
    module(*parameters)
    control = Control()
    receiver = Receiver(control.family).subscribe()
    tgids = [1, 2, 3]
    total = count_allocations(walk, control, lambda: control.switch_on(tgids))
    expected = {
        "No memory for the configuration",
        "No memory for the buffers",
        "A probe could not be attached; see the kernel log",
    }
    if parameters:
        expected.add("No memory for the pending table")
    check_sentences(
        total, expected, lambda number: fail_in(walk, number, lambda c: c.switch_on(tgids))
    )
    check_traces(control, receiver)
    receiver.close()
    control.close()


@pytest.mark.parametrize("what", ["another configuration", "off", "status", "pending"])
def test_other_commands(control: Control, receiver: Receiver, walk: faults.Walk, what: str) -> None:
    """While tracing is on."""

    def command(link: Control) -> None:
        if what == "another configuration":
            link.switch_on([1, 2, 3])
        elif what == "off":
            link.configure(False)
        elif what == "status":
            link.status()
        else:
            link.pending()

    control.switch_on()
    total = count_allocations(walk, control, lambda: command(control))
    assert not any(probes().values())

    def step(number: int) -> set[str]:
        control.wait_until_stopped()
        control.switch_on()
        return fail_in(walk, number, command)

    expected = {
        "another configuration": {"No memory for the configuration"},
        "status": {"No memory for the status"},
    }
    check_sentences(total, expected.get(what, set()), step)
    check_traces(control, receiver)


def system_call(*arguments: object) -> int:
    """Return 0 or the errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.syscall(*arguments) == 0 else ctypes.get_errno()


def test_loading(module: Callable[..., None], walk: faults.Walk) -> None:
    """Every allocation within the module's init: not loaded, and why is in the kernel log."""
    assert not host.loaded("kvmlog")
    arguments = ctypes.c_char_p(" ".join(SMALL).encode())
    with host.MODULE.open("rb") as file:
        loading = (SYS_FINIT_MODULE, file.fileno(), arguments, 0)
        unloading = (SYS_DELETE_MODULE, ctypes.c_char_p(b"kvmlog"), 0)
        with walk.counted() as counted:
            assert system_call(*loading) == 0
        assert system_call(*unloading) == 0
        seen: set[str] = set()
        # Backwards: init is the last of much that the kernel does to load a module.
        number, outside = counted.number + 5, 0
        while number and not (seen and outside > OUTSIDE):
            step = faults.Step(number)
            with walk.armed(step):
                refused = system_call(*loading)
            number -= 1
            outside = 0 if step.calls else outside + 1
            seen.update(step.calls)
            told = "kvmlog: not loaded: " in step.log
            if refused:
                assert step.failed
                assert refused == errno.ENOMEM, step
                assert told or not step.calls, step
                assert not host.loaded("kvmlog")
                continue
            assert not told
            # What could not be found then is found when it is needed.
            control = Control()
            receiver = Receiver(control.family).subscribe()
            control.switch_on()
            assert control.status().attached, step
            receiver.close()
            control.close()
            host.run("rmmod", "kvmlog")
    assert {"kvmlog_flush_init", "kvmlog_netlink_init"} & seen, seen
    module()
    control = Control()
    receiver = Receiver(control.family).subscribe()
    check_traces(control, receiver)
    receiver.close()
    control.close()


def check_late_delivery(
    control: Control, receiver: Receiver, failing: contextlib.AbstractContextManager[None]
) -> None:
    """Batches that cannot be made wait, what finds no room is told, and delivery goes on."""
    log, said = faults.KernelLog(), ""

    def buffers_are_full() -> bool:
        nonlocal said
        said += log.take()
        told = "kvmlog: no memory to deliver records: they wait" in said
        return told and control.status().counters["dropped"] > 0

    control.switch_on()
    with load("--vcpus", "2", "--kinds", "cpuid"):
        with failing:
            until(buffers_are_full, "full buffers")
        emitted = control.status().counters["emitted"]
        receiver.take_for(0.5)
        until(lambda: control.status().counters["emitted"] > emitted, "delivery again")
    control.switch_off()
    receiver.drain()
    counters = control.status().check_sum()
    assert counters["emitted"] == len(receiver.exits)
    assert counters["dropped"] == sum(receiver.dropped.values()) > 0
    log.close()


def test_no_pages_to_go_on_with(control: Control, receiver: Receiver) -> None:
    """Full sub-buffers go out only when others can take their place."""
    check_late_delivery(control, receiver, faults.failing_pages(order=3))


def test_no_memory_for_messages(control: Control, receiver: Receiver) -> None:
    """Of the worker's messages none can be made."""
    check_late_delivery(control, receiver, faults.failing_slabs(100, workers))


def workers() -> Iterator[int]:
    """Yield the threads that flush, any of which may be next."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().startswith("kworker/u"):
                yield int(path.parent.name)


def test_guests_that_lack_memory(
    control: Control, receiver: Receiver, histogram: host.Histogram, tmp_path: Path
) -> None:
    """Wherever KVM gives up on a guest, its exits are told to the last one.

    Guests see a file system in memory only: the client of this VM's (9p) does not survive failures.
    """
    shutil.copy(host.GUEST, tmp_path / "guest")
    (tmp_path / "dev").mkdir()
    os.mknod(tmp_path / "dev/kvm", stat.S_IFCHR | 0o600, Path("/dev/kvm").stat().st_rdev)

    def fail_from_here() -> None:
        mark = os.open("/proc/self/make-it-fail", os.O_WRONLY)
        os.chroot(tmp_path)
        os.write(mark, b"1")

    command = ("/guest", "--turns", "101", "--kinds", "pio")
    control.switch_on()
    ended = []
    with faults.failing_slabs(5):
        for _ in range(host.repeats(10)):
            try:
                done = subprocess.run(command, capture_output=True, preexec_fn=fail_from_here)
                ended.append(done.returncode)
            except OSError as error:  # not even its program could be run
                ended.append(error.errno or 0)
            receiver.drain(0.05)
    host.guest(*command[1:])
    control.switch_off()
    receiver.drain()
    assert any(ended), "no guest was hit"
    assert receiver.reasons() == histogram.counts()
    assert control.status().check_sum()["dropped"] == 0
