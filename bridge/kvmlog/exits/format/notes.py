# SPDX-License-Identifier: GPL-2.0-or-later
"""Sentences for records other than exits: losses, guests, switching, clocks, CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.guests.names import Guest
from kvmlog.native import lib
from kvmlog.ring.records import (
    NO_CPU,
    AnyRecord,
    ClockRecord,
    CpuRecord,
    GuestRecord,
    LossRecord,
    SwitchRecord,
    enum_names,
)
from kvmlog.util import units

_LOSS: Final[Mapping[int, str]] = {
    lib.KVMLOG_LOSS_BUFFER_FULL: "the source's buffers were full",
    lib.KVMLOG_LOSS_MESSAGE: "messages of the source did not arrive",
    lib.KVMLOG_LOSS_RESTART: "the bridge ended without stopping",
}

_SWITCH: Final[Mapping[int, str]] = {
    lib.KVMLOG_SWITCH_COMMAND: "by command",
    lib.KVMLOG_SWITCH_RECEIVER_GONE: "the receiver closed its socket",
    lib.KVMLOG_SWITCH_UNLOAD: "the source was unloaded",
    lib.KVMLOG_SWITCH_ATTACHED: "KVM was loaded",
    lib.KVMLOG_SWITCH_DETACHED: "KVM was unloaded",
    lib.KVMLOG_SWITCH_LEASE: "its lease is over",
    lib.KVMLOG_SWITCH_BUDGET: "it took more CPU time than its budget",
}


_LOSS_NAMES: Final = enum_names("kvmlog_loss", "KVMLOG_LOSS_")
_SWITCH_NAMES: Final = enum_names("kvmlog_switch_cause", "KVMLOG_SWITCH_")
_CLOCK_NAMES: Final = enum_names("kvmlog_clock_event", "KVMLOG_CLOCK_")


def note_words(note: AnyRecord, guest: Guest | None = None) -> str:
    """Return a sentence, without time, for a record of any type but EXIT.

    guest: who it is that a GUEST record announces, where that is known.
    """
    if isinstance(note, LossRecord):
        return loss_words(note)
    if isinstance(note, GuestRecord):
        started = units.duration(note.start_boottime_ns)
        named = ""
        if guest is not None and guest.named:
            named = f"{guest.name} (uuid {guest.uuid}), " if guest.uuid else f"{guest.name}, "
        process = f"process {note.tgid} ({comm(note)})"
        return f"guest {note.guest} is {named}{process}, started {started} after boot"
    if isinstance(note, SwitchRecord):
        return _switch_words(note)
    if isinstance(note, ClockRecord):
        return _clock_words(note)
    if isinstance(note, CpuRecord):
        return f"host CPU {note.cpu} went {'online' if note.online else 'offline'}"
    return f"a record of type {note.type}, which this version of kvmlog does not know"


def loss_words(loss: LossRecord) -> str:
    """Return how many records or messages are missing, where and why."""
    one = "message" if loss.cause == lib.KVMLOG_LOSS_MESSAGE else "record"
    amount = counted(loss.lost, one) if loss.lost else f"an unknown number of {one}s"
    where = "" if loss.cpu == NO_CPU else f" on CPU {loss.cpu}"
    why = _LOSS.get(loss.cause, f"cause {loss.cause}")
    total = f"; {loss.total:,} since switched on" if loss.total else ""
    return f"LOST {amount}{where}: {why}{total}"


def counted(number: int, one: str) -> str:
    """Return a number with its noun: "1 record", "65,536 records"."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def comm(guest: GuestRecord) -> str:
    """Return the process name up to its NUL; what is not printable ASCII escaped."""
    raw = bytes(guest.comm).split(b"\0", 1)[0]
    text = raw.decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def cause_name(note: LossRecord | SwitchRecord) -> str:
    """Return the cause as one word: "buffer_full", "receiver_gone"."""
    names = _LOSS_NAMES if isinstance(note, LossRecord) else _SWITCH_NAMES
    return names.get(note.cause, str(note.cause))


def event_name(note: ClockRecord) -> str:
    """Return the event of a clock record as one word: "step"."""
    return _CLOCK_NAMES.get(note.event, str(note.event))


def _switch_words(switch: SwitchRecord) -> str:
    why = _SWITCH.get(switch.cause, f"cause {switch.cause}")
    if not switch.on:
        return f"tracing is off: {why}"
    words = [f"tracing is on: {why}"]
    if switch.one_in > 1:
        words.append(f"one exit in {switch.one_in:,} on average")
    if switch.on_ms or switch.off_ms:
        words.append(f"sampling window {switch.on_ms} ms on, {switch.off_ms} ms off")
    if switch.filter_tgids:
        words.append(f"only {switch.filter_tgids} chosen process(es)")
    return ", ".join(words) + f" (configuration {switch.config_epoch})"


def _clock_words(clock: ClockRecord) -> str:
    amount = units.duration(abs(clock.delta_ns))
    if clock.event == lib.KVMLOG_CLOCK_ANCHOR:
        return "clocks noted"
    if clock.event == lib.KVMLOG_CLOCK_STEP:
        return f"wall time was set {'back' if clock.delta_ns < 0 else 'forward'} by {amount}"
    if clock.event == lib.KVMLOG_CLOCK_ZONE:
        return f"local time was moved {'back' if clock.delta_ns < 0 else 'forward'} by {amount}"
    if clock.event == lib.KVMLOG_CLOCK_SUSPEND:
        return f"the host slept for {amount}"
    return f"clock event {clock.event}, {clock.delta_ns} ns"
