# SPDX-License-Identifier: GPL-2.0-or-later
"""Decoded bits, for programs and people; names and phrases that VMX and SVM share."""

from __future__ import annotations

from typing import Final, NamedTuple

# The value of a fact, of a type that JSON has.
Fact = str | int | bool | list[str]

# As both vendors number them in instructions (Intel SDM volume 3, "Exit Qualification for
# Control-Register Accesses"; AMD APM volume 2, "MOV CRx/DRx Intercepts").
GENERAL_REGISTERS: Final = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
)


class Facts(NamedTuple):
    """Decoded bits by name, and a phrase with the most important of them."""

    facts: dict[str, Fact]
    words: str


NOTHING: Final = Facts({}, "")


def io_words(*, is_in: bool, bytes_each: int, string: bool, rep: bool) -> str:
    """Return "out, 1 byte", "in, 4 bytes, string, rep"."""
    words = ["in" if is_in else "out", f"{bytes_each} byte" + ("" if bytes_each == 1 else "s")]
    words += [word for word, is_set in (("string", string), ("rep", rep)) if is_set]
    return ", ".join(words)
