# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal has, as notifications. Names and fields: Nova's notification samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.history.model import Life
from kvmlog.notify import payloads
from kvmlog.notify.amqp import TOPIC
from kvmlog.notify.message import Message, Origin, Priority, document
from kvmlog.notify.payloads import Facts
from kvmlog.notify.periods import Period
from kvmlog.notify.webhook import event_headers
from kvmlog.vmstats.events import Kind
from tests.support.history_book import NAME, UUID, Book

ORIGIN = Origin("host1", "5b3dbe9c-95f1-4d21-9f52-2a0a4f9e6c11")
# Nova's samples of instance.power_off.end and of instance.update have these, beside others.
SHARED = {
    *("action_initiator_project", "action_initiator_user", "auto_disk_config"),
    *("availability_zone", "block_devices", "created_at", "deleted_at", "display_description"),
    *("display_name", "flavor", "host", "host_name", "image_uuid", "ip_addresses", "kernel_id"),
    *("key_name", "launched_at", "locked", "locked_reason", "metadata", "node", "os_type"),
    *("power_state", "progress", "ramdisk_id", "reservation_id", "state", "task_state"),
    *("tenant_id", "terminated_at", "updated_at", "user_id", "uuid", "architecture"),
}


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """A history in which one VM was started."""
    with Book(tmp_path) as made:
        made.started()
        yield made


def told(book: Book) -> list[Message]:
    """All of the journal, as notifications."""

    def life(uuid: str) -> Life | None:
        return book.reader.last_life(uuid)

    facts = Facts(ORIGIN, life, lambda _: None, book.stamp(100))
    made = (payloads.message(one, facts) for one in book.reader.changes(0))
    return [one for one in made if one is not None]


def data(message: Message) -> dict[str, Any]:
    """The fields of its object."""
    found: dict[str, Any] = message.payload["nova_object.data"]
    return found


def test_actions_have_novas_names(book: Book) -> None:
    """A start is a power_on, a pause a pause; each is followed by the new state."""
    book.tell(10, Kind.SUSPENDED, "paused")
    book.tell(12, Kind.RESUMED, "unpaused")
    events = [one.event_type for one in told(book)]
    for name in ("power_on", "pause", "unpause"):
        assert f"instance.{name}.end" in events
    pause = next(one for one in told(book) if one.event_type == "instance.pause.end")
    assert pause.payload["nova_object.name"] == "InstanceActionPayload"
    assert data(pause).keys() == SHARED | {"fault", "request_id"}
    assert (data(pause)["uuid"], data(pause)["display_name"]) == (UUID, NAME)
    assert (data(pause)["fault"], pause.priority, pause.lane) == (None, Priority.INFO, UUID)
    update = [one for one in told(book) if one.event_type == "instance.update"][-2]
    state = data(update)["state_update"]["nova_object.data"]
    assert (state["old_state"], state["state"]) == ("active", "paused")
    assert data(update)["power_state"] == "paused"


def test_a_fault_says_what_went_wrong(book: Book) -> None:
    """It is no notification of Nova's, in the shape of one."""
    book.tell(10, Kind.WATCHDOG, "reset")
    fault = next(one for one in told(book) if one.event_type == "instance.fault.error")
    assert fault.priority == Priority.ERROR
    assert data(fault)["fault"]["nova_object.data"]["exception"] == "watchdog"
    assert data(fault)["fault"]["nova_object.data"]["exception_message"]


def test_ids_are_the_same_whenever_they_are_made_and_different_from_each_other(book: Book) -> None:
    """So a receiver can tell what it has already."""
    book.tell(10, Kind.SUSPENDED, "paused")
    ids = [one.id for one in told(book)]
    assert ids == [one.id for one in told(book)]
    assert len(set(ids)) == len(ids) > 3


def test_exists_has_its_period(book: Book) -> None:
    """Both ends, and an id that is the period's."""
    book.poll(5, book.sample(5))
    life = book.life()
    hour = Period(0, 3_600 * 10**9)
    message = payloads.exists(life, hour, ORIGIN)
    flavor = data(message)["flavor"]["nova_object.data"]
    assert (flavor["vcpus"], flavor["memory_mb"]) == (life.size.vcpus, life.size.memory_bytes >> 20)
    period = data(message)["audit_period"]["nova_object.data"]
    assert period == {
        "audit_period_beginning": "1970-01-01T00:00:00Z",
        "audit_period_ending": "1970-01-01T01:00:00Z",
    }
    assert message.event_type == "instance.exists"
    assert message.id != payloads.exists(life, Period(1, 2), ORIGIN).id


def test_envelopes_are_ascii_and_json(book: Book) -> None:
    """A name of any kind is in the body only."""
    for message in told(book):
        headers = event_headers(message, ORIGIN)
        assert all(value.isascii() and value.isprintable() for value in headers.values())
        assert headers["ce-subject"] == UUID
        body = document(message, ORIGIN)
        assert json.loads(json.dumps(body)) == body
        assert body["publisher_id"] == "kvmlog:host1"
    assert TOPIC == "versioned_notifications"
