# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog vmstats`: collect the VMs' statistics into a file until a signal ends it."""

from __future__ import annotations

import argparse
import functools
import gc
import os
import pwd
import uuid
from typing import Final

from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.ring.reader import boot_id
from kvmlog.util import privileges
from kvmlog.util.errors import VmStatsError
from kvmlog.util.loop import Loop, signals
from kvmlog.util.sdnotify import Notifier
from kvmlog.util.version import version
from kvmlog.vmstats import events, log
from kvmlog.vmstats.aside import Aside
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.libvirt import uri
from kvmlog.vmstats.writer import SnapshotWriter

_GC_OBJECTS: Final = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog vmstats`: those of its keys in the configuration."""
    add_options(parser, "vmstats")


def run(args: argparse.Namespace) -> int:
    """Collect until SIGTERM or SIGINT; return 0. Raises KvmlogError when it cannot start."""
    config = Config.of(args)
    notifier = Notifier()
    keys = config.vmstats
    with config.checking("vmstats.uris"):
        uri.check(keys.uris)
    try:
        from kvmlog.vmstats.collector import Collector, Settings
    except ImportError as error:
        raise VmStatsError(
            f"libvirt's Python binding cannot be loaded ({error}); install python3-libvirt"
        ) from None
    privileges.make_folder_of(keys.file, keys.user)
    dropped = privileges.drop(keys.user, own_groups=True)
    if dropped is not None:
        _move_home()
    settings = Settings(
        uris=keys.uris,
        interval_s=keys.interval_s,
        history_s=keys.history_s,
        balloon_period_s=keys.balloon_period_s,
        budget_percent=keys.budget_percent,
        images=keys.images,
        version=version(),
        boot_id=str(uuid.UUID(bytes=boot_id())),
    )
    with (
        signals() as wake,
        SnapshotWriter(keys.file) as writer,
        EventLog(events.path_of(keys.file), settings.boot_id) as event_log,
        Collector(settings, writer, event_log) as collector,
    ):
        reload = Reload("vmstats", config, lambda: Config.of(args), log)

        def read_again() -> None:
            notifier.reloading()
            reload.now()
            notifier.ready(collector.state())

        def tick() -> None:
            collector.tick()
            notifier.status(collector.state())
            notifier.beat()

        loop = Loop(tick, read_again)
        loop.add(collector)
        loop.add(event_log)
        # A poll makes thousands of objects, and no circles of them: what looks for those took a
        # fifth of the CPU time.
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS)
        collector.start()
        log(f"collecting from {', '.join(keys.uris)} into {keys.file}")
        if dropped is not None:
            log(dropped)
        # Aside: a file system that hangs holds it for ever.
        Aside(functools.partial(_note_missing_images, keys.images)).begin()
        notifier.ready(collector.state())
        loop.run(wake)
        notifier.stopping()
    log("stopped")
    return 0


def _note_missing_images(path: str) -> None:
    """Log why the host's disk is not known, where it is not."""
    try:
        os.statvfs(path)
    except OSError as error:
        log(
            f"{path}: {error.strerror}: the host's disk is not known until the folder can be "
            "reached; make it, or name another (--images)"
        )


def _move_home() -> None:
    """Have ssh and TLS find the keys of the user that this process has become."""
    os.environ["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
