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
# Options that no other program spells like this, with one dash: two of them are QEMU's, whatever
# its file is called.
_QEMU_ONLY: Final = frozenset(
    b"""
    accel blockdev chardev cpu device drive enable-kvm global machine name netdev no-user-config
    nodefaults object overcommit qmp smbios smp uuid
    """.split()
)
# Options of the dynamic loader that take the next word (elf/rtld.c of glibc, dynlink.c of musl).
_LOADER_OPTIONS: Final = frozenset(
    (
        *(b"--library-path", b"--inhibit-rpath", b"--audit", b"--preload", b"--argv0"),
        *(b"--glibc-hwcaps-prepend", b"--glibc-hwcaps-mask"),
    )
)
# Their values are the guest owner's text, never options, whatever they look like.
_FREE_TEXT: Final = frozenset({b"--append", b"--cmdline", b"--params", b"-p"})


def qemu_options(words: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Yield each option that has an argument, without its dashes, and the argument, in order."""
    for word, argument in _qemu_words(words):
        if argument is not None:
            yield _option(word), argument


def looks_like_qemu(words: Sequence[bytes]) -> bool:
    """Return whether these are arguments of QEMU, by at least two options that only QEMU has."""
    # With two dashes, as QEMU takes them too, they may be another monitor's.
    options = {word.removeprefix(b"-") for word, _ in _qemu_words(words)}
    return len(options & _QEMU_ONLY) > 1


def loaded_program(words: Sequence[bytes]) -> Sequence[bytes]:
    """Return program and arguments from the arguments of the dynamic loader (ld.so(8))."""
    at = 0
    while at < len(words) and words[at].startswith(b"-"):
        at += 2 if words[at] in _LOADER_OPTIONS else 1
    return words[at:]


def _qemu_words(words: Sequence[bytes]) -> Iterable[tuple[bytes, bytes | None]]:
    """Yield each option as it is written, and its argument; None for those that take none."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith(b"-"):
            continue
        if _option(word) in _QEMU_FLAGS:
            yield word, None
            continue
        yield word, words[at] if at < len(words) else None
        at += 1


def _option(word: bytes) -> bytes:
    return word.removeprefix(b"-").removeprefix(b"-")


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
