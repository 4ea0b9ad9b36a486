# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog notify` and a real receiver, both killed and started again: nothing is lost."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.history.protocol import Update
from tests.support.history_process import History, history
from tests.support.notify_process import notify, receiver, stop, until

# Never seen, a service is not in the list: this one beats by itself.
BINARY = "kvmlog-history"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[History]:
    """A history whose own service is in its list."""
    with history(tmp_path) as running:
        running.until(lambda reader: reader.services(binary=BINARY))
        yield running


@pytest.fixture
def port() -> int:
    """A port of loopback where nobody listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def happens(host: History, reason: str) -> None:
    """Something that is notified, with this reason."""
    host.client.update_service(BINARY, Update(enabled=False, disabled_reason=reason))


def got(file: Path, status: int = 204) -> list[dict[str, Any]]:
    """The events that a receiver answered with that status, in their order."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in map(json.loads, lines) if line["status"] == status]


def reasons(file: Path) -> list[str]:
    """Reasons of the updates of services, each once, in the order in which they came first."""
    found = [
        line["body"]["payload"]["nova_object.data"]["disabled_reason"]
        for line in got(file)
        if line["body"]["event_type"] == "service.update"
    ]
    return list(dict.fromkeys(one for one in found if one))


def test_what_happens_while_either_is_away_comes_in_order(
    host: History, tmp_path: Path, port: int
) -> None:
    """The notifier is killed, the receiver is killed, both are away at the same time."""
    file, url = tmp_path / "got", f"http://127.0.0.1:{port}/events"
    expected: list[str] = []

    def happen(count: int) -> None:
        for _ in range(count):
            expected.append(f"reason {len(expected)}")
            happens(host, expected[-1])

    with notify(tmp_path, "--webhook", url) as first:
        until(lambda: host.reader.cursor("notify-webhook") is not None, "a place to begin")
        happen(5)
        until(lambda: "cannot be reached" in (tmp_path / "notify.log").read_text(), "the failure")
        with receiver(port, file):
            until(lambda: reasons(file) == expected, "what waited")
        happen(5)
        first.send_signal(signal.SIGKILL)
    happen(5)
    with receiver(port, file), notify(tmp_path, "--webhook", url) as second:
        happen(5)
        until(lambda: reasons(file) == expected, "what happened meanwhile")
        until(
            lambda: host.reader.cursor("notify-webhook") == host.reader.status().newest_sequence,
            "the place where the next begins",
        )
        assert stop(second) == 0
    ids = {line["body"]["message_id"] for line in got(file)}
    with receiver(port, file), notify(tmp_path, "--webhook", url):
        happen(1)
        until(lambda: reasons(file) == expected, "one more")
    # What was done is not sent again; what is sent twice has the same id.
    assert len({line["body"]["message_id"] for line in got(file)} - ids) == 1


def test_it_is_a_cloud_event_of_novas(host: History, tmp_path: Path, port: int) -> None:
    """Attributes stand in headers, in ASCII; the notification is the body; the secret is sent."""
    file, header = tmp_path / "got", tmp_path / "header"
    header.write_text("Authorization: Bearer s3cret\n")
    header.chmod(0o600)
    options = ("--webhook", f"http://127.0.0.1:{port}/", "--webhook-header-file", str(header))
    with receiver(port, file), notify(tmp_path, *options):
        until(lambda: host.reader.cursor("notify-webhook") is not None, "a place to begin")
        happens(host, "größer als erlaubt")
        until(lambda: reasons(file) == ["größer als erlaubt"], "the notification")
    (event,) = (one for one in got(file) if one["body"]["event_type"] == "service.update")
    headers = {name.lower(): value for name, value in event["headers"].items()}
    body = event["body"]
    status = host.reader.status()
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-id"] == body["message_id"]
    assert headers["ce-source"] == body["publisher_id"] == f"kvmlog:{status.host}"
    assert headers["ce-type"] == body["event_type"]
    assert headers["authorization"] == "Bearer s3cret"
    payload = body["payload"]
    assert payload["nova_object.name"] == "ServiceStatusPayload"
    data = payload["nova_object.data"]
    assert (data["binary"], data["disabled"], data["host"]) == (BINARY, True, status.host)


def test_what_the_receiver_refuses_is_dropped_and_told(
    host: History, tmp_path: Path, port: int
) -> None:
    """It does not hold up what comes after it; a status that may pass is tried again."""
    file = tmp_path / "got"
    with receiver(port, file), notify(tmp_path, "--webhook", f"http://127.0.0.1:{port}/"):
        until(lambda: host.reader.cursor("notify-webhook") is not None, "a place to begin")
        happens(host, "answer 422")
        happens(host, "next")
        until(lambda: reasons(file) == ["next"], "the next one")
        assert len(got(file, 422)) == 1
        assert "is dropped: it answers 422" in (tmp_path / "notify.log").read_text()
        happens(host, "answer 503")
        until(lambda: len(got(file, 503)) > 1, "another attempt")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "there is nobody to notify; set notify.webhook or notify.amqp"),
        (("--webhook", "ftp://host/"), "notify.webhook 'ftp://host/' is no URL"),
        (("--webhook", "https://u:p@host/"), "put it into notify.webhook_header_file"),
        (("--amqp", "amqp://u:p@host/"), "put it into notify.amqp_password_file"),
        (("--webhook", "https://host/", "--tls-ca", "/nonexistent"), "notify.tls_ca"),
    ],
)
def test_what_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """A sentence with the value and what to give instead; it needs no history for that."""
    with notify(tmp_path, *options) as process:
        assert process.wait(60) == 2
    assert words in (tmp_path / "notify.log").read_text()
