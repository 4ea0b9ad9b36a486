# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog notify`: tell what happens on this host, until a signal ends it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import uuid
from typing import Final

from kvmlog.config.load import Config, add_options
from kvmlog.history.client import HistoryClient
from kvmlog.history.reader import HistoryReader
from kvmlog.notify import feed, log, settings
from kvmlog.notify.delivery import Delivery
from kvmlog.notify.feed import Feed
from kvmlog.notify.message import Origin
from kvmlog.notify.state import AuditState
from kvmlog.ring.reader import boot_id
from kvmlog.util import privileges
from kvmlog.util.errors import HistoryError
from kvmlog.util.sdnotify import Notifier

TICK_S: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog notify`: those of its keys in the configuration."""
    add_options(parser, "notify")


def run(args: argparse.Namespace) -> int:
    """Notify until SIGTERM or SIGINT; return 0. Raises KvmlogError when it cannot start."""
    config = Config.of(args)
    keys = config.notify
    # What is wrong with it is told now, not when there is a history.
    settings.targets(keys, Origin("", ""))
    privileges.make_folder_of(keys.audit_file, keys.user)
    dropped = privileges.drop(keys.user)
    if dropped is not None:
        log(dropped)
    asyncio.run(_notify(config))
    log("stopped")
    return 0


async def _notify(config: Config) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    notifier = Notifier()
    reader = HistoryReader(config.history.file)
    notifier.ready("waiting for the history")
    feeds: list[Feed] = []
    missing: str | None = None
    try:
        while not ended.is_set():
            try:
                if not feeds:
                    feeds = await _feeds(config, reader)
                for one in feeds:
                    await one.tick()
                missing = None
            except HistoryError as error:
                if missing is None:
                    log(f"{error}; waiting for it")
                missing = str(error)
            notifier.status(missing or feed.status_of(feeds))
            notifier.beat()
            try:
                await asyncio.wait_for(ended.wait(), TICK_S)
            except TimeoutError:
                continue
        notifier.stopping()
    finally:
        for one in feeds:
            await one.delivery.close()


async def _feeds(config: Config, reader: HistoryReader) -> list[Feed]:
    """Return a feed for each target, once there is a history to tell of."""
    keys = config.notify
    origin = feed.origin_of(await asyncio.to_thread(reader.status))
    audit = AuditState(keys.audit_file)
    boot = str(uuid.UUID(bytes=boot_id()))
    client = HistoryClient(config.history.socket)
    found = [
        Feed(
            reader,
            client,
            origin,
            Delivery(target),
            audit,
            period=None if keys.exists == "never" else keys.exists,
            boot_id=boot,
        )
        for target in settings.targets(keys, origin)
    ]
    log(f"notifying {', '.join(one.delivery.target.where for one in found)}")
    return found
