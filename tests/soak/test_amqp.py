# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog notify` and a real broker, RabbitMQ, killed and started again: nothing is lost.

Takes rabbitmq-server and python3-aio-pika (scripts/packages/soak.txt).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika

from kvmlog.history.protocol import Update
from tests.support.history_process import history
from tests.support.notify_process import notify, until
from tests.support.ports import free_port

BINARY = "kvmlog-history"
QUEUE = "versioned_notifications.info"
_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Broker:
    """A broker whose files are in a folder; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"kvmlog{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve within the block; killed at its end."""
        with (self._folder / "broker.log").open("ab") as log:
            process = subprocess.Popen(
                [_SERVER], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            until(self._answers, "a broker")
            yield
        finally:
            os.killpg(process.pid, 9)
            process.wait()

    def _answers(self) -> bool:
        async def connect() -> None:
            await (await aio_pika.connect(self.url)).close()

        try:
            asyncio.run(connect())
        except Exception:  # noqa: BLE001  # whatever it is, it does not answer yet
            return False
        return True

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def taken(self) -> list[dict[str, Any]]:
        """Take all notifications that wait."""

        async def take() -> list[dict[str, Any]]:
            connection = await aio_pika.connect(self.url)
            async with connection:
                channel = await connection.channel()
                try:
                    queue = await channel.get_queue(QUEUE)
                except aio_pika.exceptions.ChannelClosed:
                    return []  # nothing was sent yet
                found = []
                while (message := await queue.get(fail=False)) is not None:
                    envelope = json.loads(message.body)
                    assert envelope["oslo.version"] == "2.0"
                    found.append(json.loads(envelope["oslo.message"]))
                    await message.ack()
                return found

        return asyncio.run(take())


def test_nothing_is_lost_while_the_broker_is_away(tmp_path: Path) -> None:
    """They come in order, in oslo's envelope; those under way at a kill come again."""
    broker, expected = Broker(tmp_path), [f"reason {number}" for number in range(30)]
    password = tmp_path / "password"
    password.write_text("guest\n")
    password.chmod(0o600)
    options = ("--amqp", f"amqp://guest@127.0.0.1:{broker.port}/", "--amqp-password-file")
    seen: list[str] = []

    def take() -> bool:
        for one in broker.taken():
            if one["event_type"] == "service.update":
                seen.append(one["payload"]["nova_object.data"]["disabled_reason"])
        return [one for one in dict.fromkeys(seen) if one] == expected[: len(happened)]

    happened: list[str] = []
    with history(tmp_path) as host, notify(tmp_path, *options, str(password)):
        host.until(lambda reader: reader.services(binary=BINARY))
        until(lambda: host.reader.cursor("notify-amqp") is not None, "a place to begin")
        for part in (expected[:10], expected[10:20], expected[20:]):
            for reason in part:
                host.client.update_service(BINARY, Update(enabled=False, disabled_reason=reason))
                happened.append(reason)
            with broker.running():
                until(take, "all that happened")
    assert "takes notifications again" in (tmp_path / "notify.log").read_text()
