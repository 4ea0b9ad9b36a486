# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog history`: keep what happens on this host until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import socket
import uuid
from typing import Final

from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.guests.sanitize import clean
from kvmlog.history import log
from kvmlog.history.moment import Stamp
from kvmlog.history.recorder import Recorder, Settings
from kvmlog.history.retention import Limits
from kvmlog.history.server import HistoryServer
from kvmlog.history.store import Identity, Store
from kvmlog.ring.reader import boot_id
from kvmlog.util import privileges
from kvmlog.util.loop import Loop, signals
from kvmlog.util.sdnotify import Notifier
from kvmlog.util.version import version

_MACHINE: Final = "/etc/machine-id"
# Of kvmlog's ids of hosts, which are made of the machine's: machine-id(5) asks for that.
_NAMESPACE: Final = uuid.UUID("6f1d6a53-54b4-4d24-8a2c-5c2b6f0d6d0f")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog history`: those of its keys in the configuration."""
    add_options(parser, "history")


def run(args: argparse.Namespace) -> int:
    """Keep until SIGTERM or SIGINT; return 0. Raises KvmlogError when it cannot start."""
    config = Config.of(args)
    notifier = Notifier()
    keys = config.history
    for path in (keys.file, keys.socket):
        privileges.make_folder_of(path, keys.user)
    dropped = privileges.drop(keys.user)
    boot = str(uuid.UUID(bytes=boot_id()))
    host = clean(socket.gethostname())
    settings = Settings(
        ring=config.bridge.ring,
        switch=config.bridge.switch,
        vmstats=config.vmstats.file,
        zone=keys.zone,
        host_uuid=_host_uuid(host),
        boot_id=boot,
    )
    identity = Identity(host, settings.host_uuid, version())
    with (
        signals() as wake,
        Store(keys.file, identity, Stamp.now(boot)) as store,
        Recorder(settings, store, _limits(config)) as recorder,
        HistoryServer(keys.socket, recorder.carry_out) as server,
    ):
        reload = Reload("history", config, lambda: Config.of(args), log)

        def limit(changed: Config) -> None:
            recorder.limits = _limits(changed)

        reload.on("history.keep_days", "history.max_mib", apply=limit)

        def read_again() -> None:
            notifier.reloading()
            reload.now()
            notifier.ready(recorder.state)

        def tick() -> None:
            recorder.tick()
            notifier.status(recorder.state)
            notifier.beat()

        loop = Loop(tick, read_again)
        loop.add(server)
        log(f"keeping what happens in {keys.file}, commands on {keys.socket}")
        if dropped is not None:
            log(dropped)
        notifier.ready(recorder.state)
        recorder.tick()
        loop.run(wake)
        notifier.stopping()
        recorder.tick()
    log("stopped")
    return 0


def _limits(config: Config) -> Limits:
    return Limits(days=config.history.keep_days, bytes=config.history.max_mib << 20)


def _host_uuid(host: str) -> str:
    """Return the id of this host, the same for as long as its system is."""
    made_of = host
    with contextlib.suppress(OSError, UnicodeDecodeError), open(_MACHINE, encoding="ascii") as file:
        made_of = file.read(64).strip() or host
    return str(uuid.uuid5(_NAMESPACE, made_of))
