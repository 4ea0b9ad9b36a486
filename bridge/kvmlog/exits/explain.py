# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds reasons by name, number or beginning, and what there is to say of each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, NamedTuple

from kvmlog.exits import (
    arm64,
    explain_arm64,
    explain_svm,
    explain_user,
    explain_vmx,
    reasons,
    svm,
    userspace,
    vmx,
)
from kvmlog.exits.explanation import RARE, Explanation
from kvmlog.native import lib

# What a KVM_EXIT_* belongs to, in the place of an ISA's name.
KVM: Final = "kvm"
ISAS: Final = ("vmx", "svm", "arm64")

NEAR_COUNT: Final = 5
_NEAR_ENOUGH: Final = 0.6


class Table(NamedTuple):
    """Reasons of one ISA, or KVM_EXIT_*."""

    names: Mapping[int, str]
    meanings: Mapping[int, str]
    explanations: Mapping[int, Explanation]


TABLES: Final[Mapping[str, Table]] = {
    "vmx": Table(vmx.NAMES, explain_vmx.MEANINGS, explain_vmx.EXPLANATIONS),
    "svm": Table(svm.NAMES, explain_svm.MEANINGS, explain_svm.EXPLANATIONS),
    "arm64": Table(arm64.NAMES, explain_arm64.MEANINGS, explain_arm64.EXPLANATIONS),
    KVM: Table(userspace.NAMES, explain_user.MEANINGS, explain_user.EXPLANATIONS),
}

# Beginnings that headers and manuals give the names, and whose reasons these are.
_PREFIXES: Final[Mapping[str, str]] = {
    "kvm-exit-": KVM,
    "exit-reason-": "vmx",
    "svm-exit-": "svm",
    "svm-": "svm",
    "vmexit-": "svm",
    "esr-elx-ec-": "arm64",
}

# Words people use for a reason -> its names in the tables, normalised.
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
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
    """One reason of one table. `flags`: those of a VMX number that was asked for with them."""

    isa: str
    number: int
    name: str
    flags: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What it is, in one line."""
        return TABLES[self.isa].meanings[self.number]

    @property
    def explanation(self) -> Explanation:
        """What it is, what causes a lot of it, what helps; a general text if it is rare."""
        return TABLES[self.isa].explanations.get(self.number, RARE)


def all_reasons(isa: str | None = None) -> list[Reason]:
    """Returns the reasons of one of ISAS, or of all and KVM_EXIT_*, by number in each."""
    chosen = TABLES if isa is None else (isa,)
    return [
        Reason(table, number, name)
        for table in chosen
        for number, name in sorted(TABLES[table].names.items())
    ]


def find(query: str, isa: str | None = None) -> list[Reason]:
    """Returns the reasons that `query` means; none if it is unknown.

    A number (any base as Python writes it), a name in any case with or without its
    header's beginning (KVM_EXIT_, EXIT_REASON_, SVM_EXIT_), another usual word for it,
    or, where no name is equal, the beginning of names.
    """
    number = _number(query)
    if number is not None:
        return _by_number(number, isa)
    word, owner = _shortened(_normalised(query))
    if not word or (isa and owner and isa != owner):
        return []
    candidates = all_reasons(isa or owner)
    aliases = _ALIASES.get(word, ())
    exact = [
        one for one in candidates if word in _words_of(one) or _normalised(one.name) in aliases
    ]
    if exact:
        return exact
    return [one for one in candidates if any(w.startswith(word) for w in _words_of(one))]


def near(query: str, isa: str | None = None) -> list[str]:
    """Returns names (or numbers, for digits without 0x) that may have been meant, best first."""
    if _number(query) is not None:
        return []
    found: list[str] = []
    bare = f"0x{query.strip()}"
    if _number(bare) is not None and find(bare, isa):
        found.append(bare)
    names = {word: one.name for one in reversed(all_reasons(isa)) for word in _words_of(one)}
    word, _ = _shortened(_normalised(query))
    close = difflib.get_close_matches(word, names, NEAR_COUNT, _NEAR_ENOUGH)
    close += [one for one in names if len(word) > 2 and word in one]
    found += [names[one] for one in close]
    return list(dict.fromkeys(found))[:NEAR_COUNT]


def unknown_words(query: str, isa: str | None) -> str:
    """Returns the sentence for a reason that is not known: the value, near ones, the remedy."""
    of_isa = f" of {isa}" if isa else ""
    close = near(query, isa)
    meant = f"; near it: {', '.join(close)}" if close else ""
    option = f" --isa {isa}" if isa else ""
    return f"{query!r} is no exit reason{of_isa}{meant}; `kvmlog explain --list{option}` has all"


def _by_number(number: int, isa: str | None) -> list[Reason]:
    found = [one for one in all_reasons(isa) if one.number == number]
    if isa not in (None, "vmx") or number <= vmx.BASIC_REASON_MASK:
        return found
    # A whole VMX exit reason; bits that are no flags make it another table's number.
    basic = number & vmx.BASIC_REASON_MASK
    flags = reasons.reason_flags(lib.KVMLOG_ISA_VMX, number)
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


def _shortened(word: str) -> tuple[str, str | None]:
    """The word without its header's beginning, and whose that is."""
    for prefix, owner in _PREFIXES.items():
        if word.startswith(prefix):
            return word.removeprefix(prefix), owner
    return word, None


def _words_of(reason: Reason) -> tuple[str, ...]:
    """A reason's name, normalised, and without what all of its kind begin or end with."""
    word = _normalised(reason.name)
    return (word, word.removeprefix("kvm-exit-").removesuffix("-excp"))
