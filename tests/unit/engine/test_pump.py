# SPDX-License-Identifier: GPL-2.0-or-later
"""The pump: batches reach the ring whole and in place, gaps are written down, bad ones counted.

A datagram socket pair stands for the kernel's end: the pump's recvmsg, its slots and its thread
are the real ones. Who is not the kernel is shown with a real netlink socket.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import RECORD_BYTES, LossRecord, unpack_records
from kvmlog.ring.writer import RingWriter
from tests.native import lib as testing
from tests.support import records as make
from tests.support.batches import FAMILY, ack, batch, exits

SLOTS = 1024
HANG_S = 30


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A small ring."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        yield ring_writer


@pytest.fixture
def pump(writer: RingWriter) -> Iterator[Pump]:
    """A pump on it, without a socket."""
    ring_pump = Pump(writer)
    lib.kvmlog_pump_socket(ring_pump.native, -1, FAMILY)
    yield ring_pump
    ring_pump.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The sending and the receiving end."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        yield sender, receiver


def give(pump: Pump, *messages: bytes, port: int = 0) -> None:
    """Hands messages to the pump without a socket."""
    for message in messages:
        assert testing.kvmlog_test_message(pump.native, message, len(message), port) == 0


def stream(writer: RingWriter) -> list[object]:
    """The ring's records: an exit as its time, a loss as (cause, cpu, lost, total)."""
    with RingReader(writer.path) as reader:
        records = unpack_records(reader.snapshot().records)
    return [
        (record.cause, record.cpu, record.lost, record.total)
        if isinstance(record, LossRecord)
        else record.ns
        for record in records
    ]


def until(condition: Callable[[], bool]) -> None:
    """Waits for what has to come; fails only when it hangs."""
    limit = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


MOST = lib.KVMLOG_BATCH_RECORDS  # records in one message
MESSAGE, FULL = lib.KVMLOG_LOSS_MESSAGE, lib.KVMLOG_LOSS_BUFFER_FULL


def test_batches_of_several_cpus_come_in_order_of_arrival(pump: Pump, writer: RingWriter) -> None:
    """Each CPU has its own sequence."""
    give(
        pump,
        batch(exits(0, 3), cpu=0, sequence=0),
        batch(exits(10, 2), cpu=5, sequence=0),
        batch(exits(3, 1), cpu=0, sequence=1),
    )
    assert stream(writer) == [0, 1, 2, 10, 11, 3]
    assert (pump.received(0), pump.received(5), pump.received(1)) == (2, 1, 0)
    assert pump.statistics()["records"] == 6


def test_a_gap_in_the_sequence_stands_in_front_of_the_batch(pump: Pump, writer: RingWriter) -> None:
    """Messages 1 and 2 of CPU 3 did not come; then one more."""
    give(
        pump,
        batch(exits(0, 1), cpu=3, sequence=0),
        batch(exits(1, 2), cpu=3, sequence=3),
        batch(exits(3, 1), cpu=3, sequence=5),
    )
    assert stream(writer) == [0, (MESSAGE, 3, 2, 2), 1, 2, (MESSAGE, 3, 1, 3), 3]
    assert writer.header().lost_messages == 3
    assert pump.statistics()["lost_messages"] == 3


def test_a_first_message_that_is_not_number_0_shows_a_gap(pump: Pump, writer: RingWriter) -> None:
    """The start of the stream was lost."""
    give(pump, batch(exits(0, 1), sequence=2))
    assert stream(writer) == [(MESSAGE, 0, 2, 2), 0]


def test_growing_drops_are_written_down(pump: Pump, writer: RingWriter) -> None:
    """`dropped` counts since switched on: the difference is what is missing here."""
    give(
        pump,
        batch(exits(0, 1), sequence=0, dropped=4),
        batch(exits(1, 1), sequence=1, dropped=4),
        batch(exits(2, 1), sequence=2, dropped=10),
    )
    assert stream(writer) == [(FULL, 0, 4, 4), 0, 1, (FULL, 0, 6, 10), 2]
    assert writer.header().lost_records == 10


def test_losses_without_a_batch_are_written_down(pump: Pump, writer: RingWriter) -> None:
    """A CPU that has nothing to send reports them alone; its next batch reports them no more."""
    before = time.monotonic_ns()
    give(
        pump,
        batch(b"", cpu=4, sequence=0, dropped=7),
        batch(b"", cpu=4, sequence=1, dropped=7),
        batch(exits(1, 2), cpu=4, sequence=2, dropped=7),
    )
    assert stream(writer) == [(FULL, 4, 7, 7), 1, 2]
    assert writer.header().lost_records == 7
    assert pump.received(4) == 3
    assert pump.statistics()["bad_messages"] == 0
    with RingReader(writer.path) as reader:
        (loss, *_) = unpack_records(reader.snapshot().records)
    assert before <= loss.ns <= time.monotonic_ns()


def test_a_loss_has_the_time_of_the_batch_behind_it(pump: Pump, writer: RingWriter) -> None:
    """So that sorting by time leaves it in place."""
    give(pump, batch(exits(777, 1), sequence=1))
    with RingReader(writer.path) as reader:
        assert [record.ns for record in unpack_records(reader.snapshot().records)] == [777, 777]


def test_a_new_switching_on_starts_the_numbers_again(pump: Pump, writer: RingWriter) -> None:
    """Sequence and drops from 0 are no gap; a first message lost then is one."""
    give(
        pump,
        batch(exits(0, 1), sequence=0, dropped=3),
        batch(exits(1, 1), sequence=1, dropped=3),
        batch(exits(2, 1), sequence=0, dropped=0, epoch=2),
        batch(exits(3, 1), sequence=1, dropped=1, epoch=2),
        batch(exits(4, 1), sequence=1, dropped=0, epoch=3),
    )
    assert stream(writer) == [
        (FULL, 0, 3, 3), 0, 1, 2, (FULL, 0, 1, 1), 3, (MESSAGE, 0, 1, 1), 4
    ]  # fmt: skip
    assert writer.header().config_epoch == 3


def test_what_is_missing_at_the_end_is_written_at_settling(pump: Pump, writer: RingWriter) -> None:
    """The source delivered 3 messages and dropped 5 records; one message came."""
    give(pump, batch(exits(0, 1), sequence=0))
    pump.settle(0, messages=3, dropped=5)
    assert stream(writer) == [0, (MESSAGE, 0, 2, 2), (FULL, 0, 5, 5)]
    pump.settle(0, messages=0, dropped=0)
    give(pump, batch(exits(1, 1), sequence=0))
    assert stream(writer)[-1] == 1


def test_bad_messages_are_counted_and_leave_no_record(pump: Pump, writer: RingWriter) -> None:
    """They are in the statistics by kind, and in the ring's header."""
    give(pump, batch(exits(0, 1), sequence=0))
    give(pump, batch(exits(1, 1), sequence=1), port=99)
    give(pump, batch(exits(1, 3), count=2), b"", b"\0" * 10)
    assert stream(writer) == [0]
    statistics = pump.statistics()
    assert statistics["bad_messages"] == 4
    assert statistics["bad_by_kind"] == {"sender": 1, "layout": 1, "length": 2}
    assert writer.header().bad_messages == 4


def test_an_acknowledgement_is_no_bad_message(pump: Pump, writer: RingWriter) -> None:
    """The data socket gets those too; an error's number is kept."""
    give(pump, ack(), ack(-errno.EBUSY))
    statistics = pump.statistics()
    assert (statistics["control_messages"], statistics["bad_messages"]) == (2, 0)
    assert statistics["last_control_error"] == -errno.EBUSY
    assert stream(writer) == []


def test_a_message_that_cannot_be_one_is_not_copied(pump: Pump) -> None:
    """Longer than any batch."""
    long = bytes(lib.KVMLOG_MESSAGE_BYTES + 1)
    assert testing.kvmlog_test_message(pump.native, long, len(long), 0) == -errno.EMSGSIZE


def test_batches_through_a_socket_wrap_around_the_ring(
    pump: Pump, writer: RingWriter, ends: tuple[socket.socket, socket.socket]
) -> None:
    """recvmsg splits a batch over the ring's end: 40 batches of odd sizes, every record whole."""
    sender, receiver = ends
    lib.kvmlog_pump_socket(pump.native, receiver.fileno(), FAMILY)
    pump.start()
    total = 0
    for number in range(40):
        count = 1 + (number * 37) % MOST
        sender.send(batch(exits(total, count), sequence=number))
        total += count
    until(lambda: pump.statistics()["records"] == total)
    assert total > 2 * SLOTS
    assert stream(writer)[-600:] == list(range(total - 600, total))
    with RingReader(writer.path) as reader:
        assert len(reader.snapshot().records) // RECORD_BYTES >= SLOTS - MOST


def test_exits_are_told_from_other_records(pump: Pump, writer: RingWriter) -> None:
    """Also in a batch that stands at both ends of the ring; a LOSS of the pump's own is none."""
    writer.append(exits(0, SLOTS - 3))
    switch = make.switch_bytes(on=1, cause=lib.KVMLOG_SWITCH_COMMAND)
    give(pump, batch(switch + exits(1, 3) + switch + exits(4, 2), sequence=2))
    give(pump, batch(switch, sequence=3))
    statistics = pump.statistics()
    assert (statistics["records"], statistics["exits"]) == (8, 5)


def test_a_gap_at_the_rings_end_moves_the_batch_behind_the_loss(
    pump: Pump, writer: RingWriter, ends: tuple[socket.socket, socket.socket]
) -> None:
    """The slow path, with the batch in two pieces."""
    sender, receiver = ends
    writer.append(exits(0, SLOTS - 50))
    lib.kvmlog_pump_socket(pump.native, receiver.fileno(), FAMILY)
    pump.start()
    sender.send(batch(exits(5000, MOST), sequence=4, dropped=2))
    until(lambda: pump.statistics()["records"] == MOST)
    tail = stream(writer)[-(MOST + 2) :]
    assert tail == [(MESSAGE, 0, 4, 4), (FULL, 0, 2, 2), *range(5000, 5000 + MOST)]


def test_a_message_longer_than_a_batch_is_refused(
    pump: Pump, writer: RingWriter, ends: tuple[socket.socket, socket.socket]
) -> None:
    """MSG_TRUNC, and the stream goes on behind it."""
    sender, receiver = ends
    lib.kvmlog_pump_socket(pump.native, receiver.fileno(), FAMILY)
    pump.start()
    sender.send(batch(exits(0, MOST + 1)))
    sender.send(batch(exits(0, 1)))
    until(lambda: pump.statistics()["records"] == 1)
    assert pump.statistics()["bad_by_kind"] == {"truncated": 1}
    assert stream(writer) == [0]


def test_a_stop_takes_what_waits_in_the_socket(
    pump: Pump, writer: RingWriter, ends: tuple[socket.socket, socket.socket]
) -> None:
    """Nothing that was delivered is left behind."""
    sender, receiver = ends
    lib.kvmlog_pump_socket(pump.native, receiver.fileno(), FAMILY)
    for number in range(5):
        sender.send(batch(exits(number, 1), sequence=number))
    lib.kvmlog_pump_stop(pump.native)
    assert lib.kvmlog_pump_run(pump.native) == 0
    assert stream(writer) == [0, 1, 2, 3, 4]


def test_a_broken_socket_ends_the_run_with_its_error(pump: Pump) -> None:
    """A descriptor that is no socket."""
    with open("/dev/null", "rb") as file:
        lib.kvmlog_pump_socket(pump.native, file.fileno(), FAMILY)
        pump.start()
        until(lambda: pump.failure() is not None)
    assert pump.failure() == "Socket operation on non-socket"


def test_a_pump_that_failed_runs_again(
    pump: Pump, writer: RingWriter, ends: tuple[socket.socket, socket.socket]
) -> None:
    """As at a reconnect: left, then on another socket; no old stop ends that run."""
    sender, receiver = ends
    with open("/dev/null", "rb") as file:
        lib.kvmlog_pump_socket(pump.native, file.fileno(), FAMILY)
        pump.start()
        until(lambda: pump.failure() is not None)
    pump.detach()
    assert pump.failure() is None
    pump.stop()
    lib.kvmlog_pump_socket(pump.native, receiver.fileno(), FAMILY)
    pump.start()
    sender.send(batch(exits(0, 2)))
    until(lambda: pump.statistics()["records"] == 2)
    assert pump.alive()
    assert stream(writer) == [0, 1]


def test_another_process_cannot_pass_for_the_kernel(pump: Pump, writer: RingWriter) -> None:
    """A real netlink datagram from user space has its sender's port id: counted, not taken."""
    usersock = 2
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, usersock) as receiver,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, usersock) as sender,
    ):
        receiver.bind((0, 0))
        sender.bind((0, 0))
        lib.kvmlog_pump_socket(pump.native, receiver.fileno(), FAMILY)
        pump.start()
        for number in range(3):
            sender.sendto(batch(exits(0, 2), sequence=number), receiver.getsockname())
        until(lambda: pump.statistics()["bad_messages"] == 3)
        pump.detach()
    assert pump.statistics()["bad_by_kind"] == {"sender": 3}
    assert stream(writer) == []
    assert writer.header().bad_messages == 3


def test_the_heartbeat_goes_on_without_a_source(pump: Pump, writer: RingWriter) -> None:
    """The header's clocks move, together, and the local zone's offset is there."""
    before = writer.header().monotonic_ns
    pump.start()
    until(lambda: writer.header().monotonic_ns > before)
    header = writer.header()
    drift_ns = (time.time_ns() - time.monotonic_ns()) - (header.realtime_ns - header.monotonic_ns)
    assert abs(drift_ns) < 10**9
    assert header.utc_offset_s == time.localtime().tm_gmtoff


def test_a_ring_of_other_records_gets_no_pump(tmp_path: Path) -> None:
    """record_bytes must be this build's."""
    path = tmp_path / "other"
    path.write_bytes(bytes(4096 + SLOTS * 32))
    with path.open("r+b") as file:
        native = lib.kvmlog_writer_new(file.fileno(), SLOTS, 32)
        assert native != ffi.NULL
        assert lib.kvmlog_pump_new(native) == ffi.NULL
        assert ffi.errno == errno.EINVAL
        lib.kvmlog_writer_free(native)
