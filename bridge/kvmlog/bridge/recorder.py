# SPDX-License-Identifier: GPL-2.0-or-later
"""The standing order: the bridge's flight recorder, which keeps what surrounds certain exits.

A thread of its own reads the ring as any reader does. Its CPU time is charged to tracing: a thread
that answers nobody always is (kvmlog.engine.cpu_time).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from kvmlog.config.schema.tracing import RecorderKeys
from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestNames
from kvmlog.recording import flight, output
from kvmlog.recording.flight import Event, Lookout
from kvmlog.recording.header import isa_of_this_host, of_this_host
from kvmlog.recording.writer import FullError, RecordingWriter
from kvmlog.ring.reader import RingReader
from kvmlog.util import ownership, permissions
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import KvmlogError
from kvmlog.util.log import log
from kvmlog.util.units import NS_PER_S

# As the ring: its readers may read what was in it.
_MODE: Final = 0o640
_OWN: Final = re.compile(r"kvmlog-\d{8}T\d{6}\.\d{3}\.kvmlog")
_REMEDY: Final = "give another folder (recorder.folder)"
# After a failure it is tried again.
_AGAIN_S: Final = 10.0


class StandingOrder(Closeable):
    """The recorder of a ring, as the configuration has it; close() ends it.

    KvmlogError for an event that is none, or a folder that cannot be used.
    """

    def __init__(self, ring: str, keys: RecorderKeys, now: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._keys = keys
        self._now = now
        self._triggers = flight.parse_all(keys.freeze_on)
        self._folder = keys.folder
        permissions.make_parent(os.path.join(self._folder, "x"))
        ownership.check_folder(os.path.join(self._folder, "x"), remedy=_REMEDY)
        self._kept = 0
        self._last: str | None = None
        self._trouble: str | None = None
        self._began = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kvmlog-recorder", daemon=True)

    def start(self) -> None:
        """Begin to look out: what comes from now on may be an event."""
        self._thread.start()
        self._began.wait(_AGAIN_S)

    def close(self) -> None:
        """End; a recording under way is ended in order."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def describe(self) -> dict[str, Any]:
        """Return the members of the status answer."""
        return {
            "freeze_on": [trigger.text for trigger in self._triggers],
            "folder": self._folder,
            "kept": self._kept,
            "last": self._last,
            "trouble": self._trouble,
        }

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                with RingReader(self._ring) as ring:
                    self._look_out(ring)
            except (KvmlogError, OSError) as error:
                self._trouble = str(error)
                log(f"recorder: {error}")
                self._ending.wait(_AGAIN_S)

    def _look_out(self, ring: RingReader) -> None:
        view = GuestView(GuestNames(self._ring))
        lookout = Lookout(ring, self._triggers)
        self._began.set()
        while not self._ending.wait(flight.LOOK_S):
            event = lookout.look()
            if event is None:
                continue
            self._keep(ring, view, event)
            self._ending.wait(self._keys.pause_s)
            lookout.skip()

    def _keep(self, ring: RingReader, view: GuestView, event: Event) -> None:
        text = flight.describe(ring, view, event)
        self._make_room()
        path = os.path.join(self._folder, self._name())
        fd = output.create(path, mode=_MODE)
        try:
            permissions.hand_to_group(fd)
            records = self._record(ring, event, text, fd, path)
        finally:
            os.close(fd)
        self._kept += 1
        self._last, self._trouble = path, None
        log(f"recorder: {text}: {records} records kept in {path}")

    def _record(self, ring: RingReader, event: Event, text: str, fd: int, path: str) -> int:
        since_ns = max(0, event.record.exit_ns - round(self._keys.before_s * NS_PER_S))
        until_ns = event.written_ns + round(self._keys.after_s * NS_PER_S)
        missing_ns = flight.missing_before_ns(ring, since_ns)
        if missing_ns:
            log(f"recorder: {flight.missing_words(missing_ns, since_ns, event)}")
        feed = flight.feed_since(ring, Selection(), GuestNames(self._ring), (), since_ns)
        source = ring.info().source
        header = of_this_host(source, isa_of_this_host(), since_ns=since_ns, event=text)
        most_bytes = self._keys.file_mib << 20
        records = 0
        try:
            with RecordingWriter(fd, header, ring.clocks(), most_bytes) as writer:
                feed.describe(writer)
                reason = "the time after the event is over"
                try:
                    while True:
                        over = time.monotonic_ns() >= until_ns or self._ending.is_set()
                        feed.take_all(writer)
                        records = writer.records
                        if over:
                            break
                        self._ending.wait(flight.LOOK_S)
                    writer.flush()
                except FullError:
                    reason = "the file is as large as it may be (recorder.file_mib)"
                writer.end(reason)
                return writer.records
        except OSError as failure:
            raise output.write_failed(path, failure, records) from None

    def _name(self) -> str:
        seconds = self._now()
        at = time.strftime("%Y%m%dT%H%M%S", time.localtime(seconds))
        return f"kvmlog-{at}.{int(seconds * 1_000) % 1_000:03d}.kvmlog"

    def _make_room(self) -> None:
        """Remove the oldest recordings, so that there is room for one more."""
        own = sorted(one for one in os.listdir(self._folder) if _OWN.fullmatch(one))
        for name in own[: max(0, len(own) - self._keys.files + 1)]:
            os.unlink(os.path.join(self._folder, name))
