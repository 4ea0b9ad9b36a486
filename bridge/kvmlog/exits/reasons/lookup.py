# SPDX-License-Identifier: GPL-2.0-or-later
"""Look exit reasons up by name, number or beginning of a name."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from typing import Final, NamedTuple

from kvmlog.exits.reasons import arm64, svm, userspace, vmx
from kvmlog.exits.reasons.names import reason_flags
from kvmlog.native import lib

# The table of KVM_EXIT_*, which belong to no ISA.
KVM: Final = "kvm"
ISAS: Final = ("vmx", "svm", "arm64")

NEAR_COUNT: Final = 5
_NEAR_ENOUGH: Final = 0.6


TABLES: Final[Mapping[str, Mapping[int, str]]] = {
    "vmx": vmx.NAMES,
    "svm": svm.NAMES,
    "arm64": arm64.NAMES,
    KVM: userspace.NAMES,
}

# Prefixes that headers and manuals give the names -> the table of these reasons.
_PREFIXES: Final[Mapping[str, str]] = {
    "kvm-exit-": KVM,
    "exit-reason-": "vmx",
    "svm-exit-": "svm",
    "svm-": "svm",
    "vmexit-": "svm",
    "esr-elx-ec-": "arm64",
}

# Synonym -> names in the tables, normalised.
_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "io": ("io-instruction",),
    "ioio": ("io",),
    "msr": ("msr-read", "msr-write"),
    "pause": ("pause-instruction",),
    "mwait": ("mwait-instruction",),
    "monitor": ("monitor-instruction",),
    "hypercall": ("vmcall",),
    "vmcall": ("hypercall",),
    "vmmcall": ("hypercall", "vmcall"),
    "interrupt": ("external-interrupt",),
    "intr": ("interrupt", "external-interrupt", "kvm-exit-intr"),
    "shutdown": ("triple-fault",),
    "buslock": ("bus-lock", "kvm-exit-x86-bus-lock"),
    "bus-lock": ("buslock", "kvm-exit-x86-bus-lock"),
    "rdmsr": ("msr", "msr-read", "kvm-exit-x86-rdmsr"),
    "wrmsr": ("msr", "msr-write", "kvm-exit-x86-wrmsr"),
    "wfi": ("wfx",),
    "wfe": ("wfx",),
    "ept": ("ept-violation", "ept-misconfig"),
    "mmio": ("kvm-exit-mmio", "ept-misconfig", "npf", "dabt-low"),
    "halt": ("hlt", "idle-halt", "wfx", "kvm-exit-hlt"),
    "ple": ("pause", "pause-instruction"),
    "triple-fault": ("shutdown",),
    "avic": ("avic-incomplete-ipi", "avic-unaccelerated-access"),
    "irq-window": ("vintr", "interrupt-window", "kvm-exit-irq-window-open"),
    "page-fault": ("ept-violation", "npf", "pf-excp"),
}


class Reason(NamedTuple):
    """One reason of one table.

    isa: one of ISAS, or KVM. flags: those in a whole VMX exit reason that was looked up.
    """

    isa: str
    number: int
    name: str
    flags: tuple[str, ...] = ()


def all_reasons(isa: str | None = None) -> list[Reason]:
    """Return the reasons of one of ISAS, or of all and KVM_EXIT_*, each sorted by number."""
    chosen = TABLES if isa is None else (isa,)
    return [
        Reason(table, number, name)
        for table in chosen
        for number, name in sorted(TABLES[table].items())
    ]


def find(query: str, isa: str | None = None) -> list[Reason]:
    """Return the reasons that `query` matches, none if it is unknown.

    query: a number (decimal, 0x...), a name in any case, with or without its header's prefix
    (KVM_EXIT_, EXIT_REASON_, SVM_EXIT_), a common synonym, or, where no name is equal, the
    beginning of names.
    """
    number = _number(query)
    if number is not None:
        return _by_number(number, isa)
    word, owner = _without_prefix(_normalised(query))
    if not word or (isa and owner and isa != owner):
        return []
    candidates = all_reasons(isa or owner)
    synonyms = _SYNONYMS.get(word, ())
    exact = [
        one for one in candidates if word in _words_of(one) or _normalised(one.name) in synonyms
    ]
    if exact:
        return exact
    return [one for one in candidates if any(w.startswith(word) for w in _words_of(one))]


def near(query: str, isa: str | None = None) -> list[str]:
    """Return names (or numbers, for digits without 0x) that may have been meant, best first."""
    if _number(query) is not None:
        return []
    found: list[str] = []
    bare = f"0x{query.strip()}"
    if _number(bare) is not None and find(bare, isa):
        found.append(bare)
    names = {word: one.name for one in reversed(all_reasons(isa)) for word in _words_of(one)}
    word, _ = _without_prefix(_normalised(query))
    close = difflib.get_close_matches(word, names, NEAR_COUNT, _NEAR_ENOUGH)
    close += [one for one in names if len(word) > 2 and word in one]
    found += [names[one] for one in close]
    return list(dict.fromkeys(found))[:NEAR_COUNT]


def unknown_message(query: str, isa: str | None) -> str:
    """Return the message for an unknown reason: the value, similar names, the remedy."""
    of_isa = f" of {isa}" if isa else ""
    close = near(query, isa)
    meant = f"; similar: {', '.join(close)}" if close else ""
    all_of_them = "kvmlog explain --list" + (f" --isa {isa}" if isa else "")
    return f"{query!r} is not an exit reason{of_isa}{meant}; `{all_of_them}` lists all"


def _by_number(number: int, isa: str | None) -> list[Reason]:
    found = [one for one in all_reasons(isa) if one.number == number]
    if isa not in (None, "vmx") or number <= lib.KVMLOG_VMX_BASIC_MASK:
        return found
    # A whole VMX exit reason; bits that are no flags make it another table's number.
    basic = number & lib.KVMLOG_VMX_BASIC_MASK
    flags = reason_flags(lib.KVMLOG_ISA_VMX, number)
    if number >> 32 or basic not in vmx.NAMES or not set(flags) <= set(vmx.FLAGS.values()):
        return found
    return [Reason("vmx", basic, vmx.NAMES[basic], tuple(flags)), *found]


def _number(query: str) -> int | None:
    try:
        number = int(query, 0)
    except ValueError:
        return None
    return number if number >= 0 else None


def _normalised(name: str) -> str:
    return "-".join(name.lower().replace("_", " ").replace("-", " ").replace("#", " ").split())


def _without_prefix(word: str) -> tuple[str, str | None]:
    """Strip the header's prefix; return the rest and the table that the prefix stands for."""
    for prefix, owner in _PREFIXES.items():
        if word.startswith(prefix):
            return word.removeprefix(prefix), owner
    return word, None


@functools.cache
def _words_of(reason: Reason) -> tuple[str, ...]:
    """Return the normalised name, and the same without the prefix or suffix of its kind."""
    word = _normalised(reason.name)
    return (word, word.removeprefix("kvm-exit-").removesuffix("-excp"))
