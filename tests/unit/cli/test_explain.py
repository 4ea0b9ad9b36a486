# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog explain` as it is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kvmlog.cli.main import main


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines that a successful call prints."""
    assert main(["explain", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out.splitlines()


def test_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The text says what it is, what causes many, and what to try, no wider than a terminal."""
    lines = shown(capsys, "npf")
    assert lines[0] == (
        "npf (svm exit 0x400): "
        "The guest touched memory that the nested page tables do not map that way."
    )
    assert [line for line in lines if line and not line.startswith(" ")][1:] == [
        "What it is",
        "A lot of it",
        "What to try",
    ]
    assert [line for line in lines[1:] if len(line) > 88] == []
    assert [line for line in lines if line.startswith("    - ") and "huge pages" in line] != []


def test_one_text_for_reasons_that_share_it(capsys: pytest.CaptureFixture[str]) -> None:
    """HLT of VMX and SVM; the return to the VMM has its own."""
    lines = shown(capsys, "hlt")
    assert lines[0].startswith("HLT (vmx exit 12): ")
    assert lines[1].startswith("hlt (svm exit 0x78): ")
    assert [line[:40] for line in lines if line.startswith("KVM_EXIT_HLT")] == [
        "KVM_EXIT_HLT (return to the VMM 5): The "
    ]
    assert lines.count("What it is") == 2


def test_flags_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Flags of a whole VMX exit reason, as in `dump --json`, are explained."""
    lines = shown(capsys, "0x80000021")
    assert lines[0].startswith("INVALID_STATE (vmx exit 33): ")
    assert lines[1].startswith("    FAILED_VMENTRY: the guest was not entered")


def test_no_remedies_no_title(capsys: pytest.CaptureFixture[str]) -> None:
    """An honest end for what is rare."""
    assert "What to try" not in shown(capsys, "RDRAND")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object per reason and line."""
    objects = [json.loads(line) for line in shown(capsys, "hlt", "--json")]
    assert [(one["isa"], one["reason"], one["name"]) for one in objects] == [
        ("vmx", 12, "HLT"),
        ("svm", 0x78, "hlt"),
        (None, 5, "KVM_EXIT_HLT"),
    ]
    assert {frozenset(one) for one in objects} == {
        frozenset(
            ("isa", "reason", "name", "flags", "meaning", "what", "causes", "remedies"),
        )
    }
    assert objects[0]["remedies"][0].startswith("Host: raise ")


@pytest.mark.parametrize("arguments", [[], ["--list"]])
def test_list(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """All reasons, one line each."""
    lines = shown(capsys, *arguments)
    assert (
        "vmx            12  HLT                           "
        "The guest has nothing to do and executed HLT"
    ) in lines
    kinds = [line.split()[0] for line in lines]
    assert [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind] == [
        "vmx",
        "svm",
        "arm64",
        "kvm",
    ]


def test_list_of_an_isa_and_of_a_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    """And as JSON."""
    assert {line.split()[0] for line in shown(capsys, "--isa", "arm64")} == {"arm64"}
    assert [line.split()[2] for line in shown(capsys, "ept", "--list")] == [
        "EPT_VIOLATION",
        "EPT_MISCONFIG",
    ]
    named = [json.loads(line)["name"] for line in shown(capsys, "--json", "--isa", "svm")]
    assert "npf" in named


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["ept_violaton"],
            "'ept_violaton' is not an exit reason; similar: EPT_VIOLATION; "
            "`kvmlog explain --list` lists all",
        ),
        (["0x3ff"], "'0x3ff' is not an exit reason; `kvmlog explain --list` lists all"),
        (
            ["hlt", "--isa", "arm64"],
            "'hlt' is not an exit reason of arm64; `kvmlog explain --list --isa arm64` lists all",
        ),
        (["a\x1b[2J"], "'a\\x1b[2J' is not an exit reason; `kvmlog explain --list` lists all"),
        (["hlt", "--isa", "mips"], "argument --isa: invalid choice: 'mips' "),
    ],
)
def test_unknown_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """Status 2, the value, what is near, and the remedy; nothing on stdout."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", *arguments])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"kvmlog explain: error: {sentence}" in printed.err


def test_a_closed_pipe_is_no_traceback() -> None:
    """`kvmlog explain | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", "kvmlog.cli.main", "explain"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--port", "0xf4"), "port 0xf4 (debug-exit): QEMU's isa-debug-exit, where kernels "),
        (("--port", "3320"), "port 0xcf8 (pci-config): PCI configuration, address"),
        (("--port", "0x1234"), "port 0x1234: no device that every PC or QEMU has there"),
        (("--gpa", "0xfee000b0"), "gpa 0xfee000b0 (lapic eoi): local APIC in xAPIC mode"),
        (("--gpa", "0xb00fa040"), "gpa 0xb00fa040 (ecam 00:1f.2): likely PCI configuration space"),
    ],
)
def test_a_device(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str
) -> None:
    """A port or an address finds it in the table that records have their names from."""
    (found,) = shown(capsys, *arguments)
    assert found.startswith(line)
    (made,) = map(json.loads, shown(capsys, *arguments, "--json"))
    assert found.startswith(made["detail_words"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "0x10000"), "'0x10000' is no number from 0 to 0xffff; give one, as in 0xcf8"),
        (("--gpa", "lapic"), "'lapic' is no number from 0 to 0xffffffffffffffff"),
        (("--gpa", "0", "--port", "0"), "give one of them alone"),
        (("npf", "--gpa", "0"), "give one of them alone"),
    ],
)
def test_no_device(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    """What cannot be asked is a usage error."""
    with pytest.raises(SystemExit) as end:
        main(["explain", *arguments])
    assert end.value.code == 2
    assert words in capsys.readouterr().err
