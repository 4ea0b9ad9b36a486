# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog dump` and `kvmlog tail` as real processes over real rings."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.guests.registry import TICK_NS, GuestRegistry
from kvmlog.native import lib
from kvmlog.ring.records import GuestRecord, decode_record
from kvmlog.ring.writer import RingWriter
from tests.support import records as make
from tests.support.proc_tree import FakeProc
from tests.support.rpc_process import KVMLOG

WAIT_S = 60


def dump(ring: Path, *arguments: str) -> list[str]:
    """The lines that a successful dump prints."""
    command = [*KVMLOG, "dump", "--ring", str(ring), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@contextlib.contextmanager
def tail(ring: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running tail whose header has been read; killed if it does not end."""
    command = [*KVMLOG, "tail", "--ring", str(ring), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("TIME")
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def exits(first: int, count: int) -> bytes:
    """Exits of guests first, first + 1, ...: the guest's number tells them apart."""
    now = time.monotonic_ns()
    return b"".join(
        make.exit_bytes(reason=0x78, guest=n, exit_ns=now + n) for n in range(first, first + count)
    )


def guests(lines: list[str]) -> list[int]:
    """The guest column of exit lines, where guests are not known by name."""
    return [int(line.split()[2]) for line in lines]


def named(lines: list[str]) -> list[str]:
    """The guest column of exit lines, or what stands for it in others."""
    return [line.split()[2] for line in lines]


class Named:
    """A ring whose guests stand in a file: 1 and 3 are web1's, 2 is web2's."""

    def __init__(self, folder: Path) -> None:
        self.proc = FakeProc(folder / "proc")
        self.ring = folder / "ring"
        self.registry = GuestRegistry(f"{self.ring}.guests", root=self.proc.root)
        self.now = time.monotonic_ns()
        for number, pid, name in ((1, 100, "web1"), (2, 200, "web2"), (3, 100, "web1")):
            self.begin(number, pid, name)

    def begin(self, number: int, pid: int, name: str) -> None:
        """Announces a VM to the bridge's registry, which is saved."""
        self.proc.begin(pid, 5_000, [b"qemu-system-x86_64", b"-name", name.encode()])
        raw = make.guest_bytes(
            b"q", guest=number, tgid=pid, ns=self.now, start_boottime_ns=5_000 * TICK_NS
        )
        record = decode_record(raw)
        assert isinstance(record, GuestRecord)
        self.registry.announce(record)
        self.registry.save()

    def exits(self, *numbers: int) -> bytes:
        """Exits of these guests, one after the other."""
        self.now += 1_000
        return b"".join(
            make.exit_bytes(reason=0x78, guest=number, exit_ns=self.now + at)
            for at, number in enumerate(numbers)
        )


def test_dump_sorts_by_time(tmp_path: Path) -> None:
    """Records of different CPUs arrive in any order."""
    now = time.monotonic_ns()
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        for guest in (3, 1, 2):
            writer.append(make.exit_bytes(reason=0x78, guest=guest, exit_ns=now + guest))
        header, *lines = dump(tmp_path / "ring")
    assert header.split()[:5] == ["TIME", "GUEST", "VCPU", "CPU", "REASON"]
    assert guests(lines) == [1, 2, 3]


def test_dump_takes_the_newest(tmp_path: Path) -> None:
    """-n counts records from the end; asking for more than there are gives all."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(exits(1, 50))
    assert guests(dump(tmp_path / "ring", "-n", "2")[1:]) == [49, 50]
    assert guests(dump(tmp_path / "ring", "-n", "99999999999")[1:]) == list(range(1, 51))


def test_dump_json_is_one_object_per_line(tmp_path: Path) -> None:
    """All types, each with numbers and names, and no header."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        now = time.monotonic_ns()
        writer.append(make.switch_bytes(on=1, cause=lib.KVMLOG_SWITCH_COMMAND, ns=now))
        writer.append(make.guest_bytes(b"qemu", tgid=7, ns=now + 1))
        writer.append(make.exit_bytes(reason=0x7B, exit_ns=now + 2, total_ns=5))
    found = [json.loads(line) for line in dump(tmp_path / "ring", "--json")]
    assert [record["type_name"] for record in found] == ["switch", "guest", "exit"]
    assert (found[2]["reason_name"], found[2]["reason"], found[2]["total_ns"]) == ("io", 0x7B, 5)


def mixed(first: int, count: int) -> bytes:
    """Exits of SVM: hlt, io, hlt, io, ... which take 1 ms more each; the guest's number tells."""
    now = time.monotonic_ns()
    return b"".join(
        make.exit_bytes(
            isa=lib.KVMLOG_ISA_SVM,
            reason=0x78 if n % 2 else 0x7B,
            flags=lib.KVMLOG_F_USER_REASON,
            user_reason=5 if n % 2 else 2,
            guest=n,
            exit_ns=now + n,
            total_ns=n * 1_000_000,
        )
        for n in range(first, first + count)
    )


def test_dump_shows_what_is_asked_for(tmp_path: Path) -> None:
    """The newest of a reason, by name, number or KVM_EXIT_*, of a length, or of both."""
    ring = tmp_path / "ring"
    with RingWriter(str(ring), 1_024) as writer:
        writer.append(mixed(1, 600))
    assert guests(dump(ring, "-n", "3", "--reason", "hlt")[1:]) == [595, 597, 599]
    assert guests(dump(ring, "-n", "2", "--reason", "0x7b")[1:]) == [598, 600]
    assert guests(dump(ring, "-n", "2", "--reason", "KVM_EXIT_IO")[1:]) == [598, 600]
    assert guests(dump(ring, "-n", "2", "--reason", "hlt", "--reason", "io")[1:]) == [599, 600]
    assert guests(dump(ring, "--slower-than", "0.598s")[1:]) == [598, 599, 600]
    assert guests(dump(ring, "--slower-than", "598500us", "--reason", "hlt")[1:]) == [599]
    assert dump(ring, "--reason", "npf")[1:] == []
    assert guests(dump(ring, "-n", "1000", "--reason", "hlt")[1:]) == list(range(1, 600, 2))


def test_dump_names_guests(tmp_path: Path) -> None:
    """Names come from the bridge's file.

    Two VMs of one process are told apart; a guest that is not in the file is shown by number.
    """
    host = Named(tmp_path)
    with RingWriter(str(host.ring), 1_024) as writer:
        writer.append(host.exits(1, 2, 9, 3))
    assert named(dump(host.ring)[1:]) == ["web1", "web2", "9", "web1"]
    with RingWriter(str(host.ring), 1_024) as writer:
        host.now += 1_000
        host.begin(4, 100, "web1")
        writer.append(host.exits(4, 3))
    assert named(dump(host.ring)[1:]) == ["web1#1", "web2", "9", "web1#3", "web1#4", "web1#3"]
    found = [json.loads(line) for line in dump(host.ring, "--json")]
    told = [(one["guest"], one.get("guest_name"), one.get("guest_pid")) for one in found[:3]]
    assert told == [(1, "web1", 100), (2, "web2", 200), (9, None, None)]


def test_dump_shows_chosen_guests(tmp_path: Path) -> None:
    """Guests are chosen by name or pid, several, with other filters.

    The newest of their records are shown, and all losses.
    """
    host = Named(tmp_path)
    with RingWriter(str(host.ring), 1_024) as writer:
        writer.append(host.exits(*(1, 2) * 300))
        lib.kvmlog_writer_loss(writer.native, lib.KVMLOG_LOSS_BUFFER_FULL, 7, 7, 0)
    host.proc.end(200)
    host.registry.refresh()
    host.registry.save()
    found = dump(host.ring, "-n", "3", "--vm", "web2")[1:]
    assert named(found[:2]) == ["web2", "web2"]
    assert "LOST 7 records" in found[2]
    assert len(dump(host.ring, "-n", "999", "--vm", "web1", "--reason", "hlt")) == 302
    assert len(dump(host.ring, "-n", "999", "--vm", "100", "--vm", "web2")) == 602


@pytest.mark.parametrize("command", ["dump", "tail"])
def test_an_unknown_guest_is_a_sentence(tmp_path: Path, command: str) -> None:
    """Status 1, and who is known."""
    host = Named(tmp_path)
    RingWriter(str(host.ring), 1_024).close()
    done = subprocess.run(
        [*KVMLOG, command, "--ring", str(host.ring), "--vm", "web1", "--vm", "web3"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no known guest has the name, UUID or pid 'web3'" in done.stderr
    assert "web1 (pid 100), web2 (pid 200)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_of_guests_that_cannot_be_used(tmp_path: Path) -> None:
    """It is said once, on stderr; guests are numbers."""
    ring = tmp_path / "ring"
    with RingWriter(str(ring), 1_024) as writer:
        writer.append(exits(1, 2))
    (tmp_path / "ring.guests").write_text("Dear reader,\n")
    command = [*KVMLOG, "dump", "--ring", str(ring)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0
    assert f"{ring}.guests" in done.stderr
    assert done.stderr.count("\n") == 1
    assert guests(done.stdout.splitlines()[1:]) == [1, 2]


def test_losses_are_shown_whatever_is_asked_for(tmp_path: Path) -> None:
    """A gap may have held what is looked for."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(mixed(1, 4))
        lib.kvmlog_writer_loss(writer.native, lib.KVMLOG_LOSS_BUFFER_FULL, 7, 7, 0)
    (lost,) = dump(tmp_path / "ring", "--reason", "npf")[1:]
    assert "LOST 7 records" in lost


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reason", "hltt"), "'hltt' is not an exit reason; similar: "),
        (
            ("--slower-than", "1 parsec"),
            "'1 parsec' is not a time; give a number with ns, us, ms or s",
        ),
        (("--slower-than", "-1ms"), "expected one argument"),
    ],
)
@pytest.mark.parametrize("command", ["dump", "tail"])
def test_a_choice_that_cannot_be_is_refused(
    command: str, arguments: tuple[str, ...], words: str
) -> None:
    """Status 2 and a sentence, as for every wrong argument."""
    done = subprocess.run(
        [*KVMLOG, command, *arguments], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr


def test_tail_shows_what_is_asked_for(tmp_path: Path) -> None:
    """The newest N of those that are asked for, however far back, and then new ones."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(mixed(1, 10))
        with tail(tmp_path / "ring", "-n", "4", "--reason", "io") as process:
            assert guests([read(process) for _ in range(4)]) == [4, 6, 8, 10]
            writer.append(mixed(11, 4))
            assert guests([read(process), read(process)]) == [12, 14]


def test_tail_shows_chosen_guests_and_those_that_come(tmp_path: Path) -> None:
    """A later guest of the name is one of them; a gap stays one line, whoever was in it."""
    host = Named(tmp_path)
    with RingWriter(str(host.ring), 1_024) as writer:
        writer.append(host.exits(2, 1))
        with tail(host.ring, "--vm", "web2") as process:
            assert named([read(process)]) == ["web2"]
            host.begin(7, 300, "web2")
            writer.append(host.exits(1, 7, 1))
            assert named([read(process)]) == ["web2"]
            process.send_signal(signal.SIGSTOP)
            writer.append(host.exits(*[1] * 1_030, 7))
            process.send_signal(signal.SIGCONT)
            assert "LOST 7 records: overwritten" in read(process)
            assert named([read(process)]) == ["web2"]


def test_tail_begins_with_the_newest_of_a_guest(tmp_path: Path) -> None:
    """Exits of others after them do not count."""
    host = Named(tmp_path)
    with RingWriter(str(host.ring), 1_024) as writer:
        writer.append(host.exits(2, 2, 2) + host.exits(*[1] * 500))
        with tail(host.ring, "-n", "2", "--vm", "web2") as process:
            assert named([read(process), read(process)]) == ["web2", "web2"]
            writer.append(host.exits(2, 1))
            assert named([read(process)]) == ["web2"]


def test_dump_of_an_empty_ring_is_its_header(tmp_path: Path) -> None:
    """No records is no error."""
    with RingWriter(str(tmp_path / "ring"), 1_024):
        assert len(dump(tmp_path / "ring")) == 1
        assert dump(tmp_path / "ring", "--json") == []


@pytest.mark.parametrize("command", ["dump", "tail"])
def test_no_ring_is_a_sentence(tmp_path: Path, command: str) -> None:
    """Status 1 and what to do, no traceback."""
    done = subprocess.run(
        [*KVMLOG, command, "--ring", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "start the bridge" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("count", ["-1", "x", "1.5", ""])
@pytest.mark.parametrize("command", ["dump", "tail"])
def test_bad_count_is_refused(command: str, count: str) -> None:
    """argparse's own status, and the value in the sentence."""
    done = subprocess.run(
        [*KVMLOG, command, f"-n{count}", "--ring", "none"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2


def test_dump_into_a_closed_pipe(tmp_path: Path) -> None:
    """`kvmlog dump | head -1` ends without a word of its own."""
    with RingWriter(str(tmp_path / "ring"), 65_536) as writer:
        writer.append(exits(1, 20_000))
    with subprocess.Popen(
        [*KVMLOG, "dump", "-n", "20000", "--ring", str(tmp_path / "ring")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_tail_begins_with_the_newest_and_follows(tmp_path: Path) -> None:
    """-n records from before, then each as it comes."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(exits(1, 20))
        with tail(tmp_path / "ring", "-n", "2") as process:
            assert guests([read(process), read(process)]) == [19, 20]
            for n in (21, 22, 23):
                writer.append(exits(n, 1))
                assert guests([read(process)]) == [n]


def test_tail_of_nothing_before(tmp_path: Path) -> None:
    """-n 0 shows only what comes."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(exits(1, 20))
        with tail(tmp_path / "ring", "-n", "0") as process:
            writer.append(exits(21, 1))
            assert guests([read(process)]) == [21]


def test_tail_tells_a_gap(tmp_path: Path) -> None:
    """Records overwritten before they were read are one line with their number."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(exits(1, 1))
        with tail(tmp_path / "ring", "-n", "1") as process:
            assert guests([read(process)]) == [1]
            process.send_signal(signal.SIGSTOP)
            writer.append(exits(2, 5_000))
            process.send_signal(signal.SIGCONT)
            lost = read(process)
            lines = [read(process) for _ in range(1_024)]
    assert lost.split("-- ")[1] == "LOST 3,976 records: overwritten before they were read"
    assert guests(lines) == list(range(3_978, 5_002))


def test_tail_survives_a_restart_and_a_replaced_ring(tmp_path: Path) -> None:
    """The same ring taken over by a new writer just goes on; a new ring is told."""
    ring = tmp_path / "ring"
    first = RingWriter(str(ring), 1_024)
    first.append(exits(1, 1))
    with tail(ring, "-n", "1") as process:
        assert guests([read(process)]) == [1]
        first.close()
        with RingWriter(str(ring), 1_024) as writer:
            writer.append(exits(2, 1))
            assert guests([read(process)]) == [2]
        with RingWriter(str(ring), 2_048) as writer:
            writer.append(exits(3, 2))
            assert "the ring was replaced" in read(process)
            assert guests([read(process), read(process)]) == [3, 4]


def test_tail_finds_a_ring_made_anew(tmp_path: Path) -> None:
    """A ring that somebody removed is followed by the next one of that name."""
    ring = tmp_path / "ring"
    with RingWriter(str(ring), 1_024) as writer, tail(ring, "-n", "0") as process:
        ring.unlink()
        writer.append(exits(1, 1))
        assert guests([read(process)]) == [1]
        writer.close()
        with RingWriter(str(ring), 1_024) as second:
            second.append(exits(2, 1))
            assert "the ring was replaced" in read(process)
            assert guests([read(process)]) == [2]


def test_tail_ends_on_ctrl_c(tmp_path: Path) -> None:
    """Status 0 and nothing on stderr."""
    with RingWriter(str(tmp_path / "ring"), 1_024), tail(tmp_path / "ring") as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, errors) == (0, "")


def test_tail_ends_with_its_reader(tmp_path: Path) -> None:
    """The reader of the pipe goes: so does tail, at the next record."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer, tail(tmp_path / "ring") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        writer.append(exits(1, 1))
        assert process.wait(timeout=WAIT_S) == 141
        assert process.stderr.read() == ""
