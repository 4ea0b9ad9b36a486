# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines of QEMU and other virtual machine monitors, parsed as they parse them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

# QEMU's options without an argument (qemu-options.hx), also of old versions. Every other one takes
# the next word, whatever it looks like: a guest's kernel command line may be "-name".
_QEMU_FLAGS: Final = frozenset(
    b"""
    S alt-grab async-teardown audio-help ctrl-grab curses daemonize enable-fips enable-hax
    enable-kvm enable-sync-profile full-screen h help jitdump localtime mem-prealloc no-acpi
    no-fd-bootchk no-frame no-hax no-hpet no-kvm no-kvm-irqchip no-kvm-pit no-kvm-pit-reinjection
    no-quit no-reboot no-shutdown no-user-config nodefaults nodefconfig nographic nohpet
    old-param one-insn-per-tb only-migratable perfmap portrait preconfig s sdl semihosting
    show-cursor singlestep snapshot std-vga tdf usb version win2k-hack xen-attach
    xen-domid-restrict
    """.split()
)
# Their values are the guest owner's text, never options, whatever they look like.
_FREE_TEXT: Final = frozenset({b"--append", b"--cmdline", b"--params", b"-p"})


def qemu_options(words: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Yield each option that has an argument, without its dashes, and the argument, in order."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        option = word.removeprefix(b"-").removeprefix(b"-")
        if not word.startswith(b"-") or option in _QEMU_FLAGS:
            continue
        if at < len(words):
            yield option, words[at]
        at += 1


def qemu_values(argument: bytes, implied: bytes) -> dict[bytes, bytes]:
    """Return the key=value pairs of an argument; a first part without a key belongs to `implied`.

    A doubled comma is a comma in the value (QEMU's QemuOpts).
    """
    parts = [b""]
    at = 0
    while at < len(argument):
        comma = argument.find(b",", at)
        if comma < 0:
            parts[-1] += argument[at:]
            break
        parts[-1] += argument[at:comma]
        if argument[comma + 1 : comma + 2] == b",":
            parts[-1] += b","
            at = comma + 2
        else:
            parts.append(b"")
            at = comma + 1
    values: dict[bytes, bytes] = {}
    for index, part in enumerate(parts):
        key, equals, value = part.partition(b"=")
        if equals:
            values[key] = value
        elif index == 0:
            values[implied] = part
    return values


def long_option(words: Sequence[bytes], option: bytes) -> bytes | None:
    """Return the last value of `--option value` or `--option=value`; None without.

    "--" ends the options.
    """
    found: bytes | None = None
    at = 0
    while at < len(words) and words[at] != b"--":
        word = words[at]
        at += 1
        if word in _FREE_TEXT:
            at += 1
        elif word == option and at < len(words):
            found = words[at]
            at += 1
        elif word.startswith(option + b"="):
            found = word[len(option) + 1 :]
    return found
