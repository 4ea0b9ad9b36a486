# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of compiled programs: what is taken from it, what is refused, and what stays in it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from kvmlog.native import lib
from kvmlog.sources.bpf import cache as module
from kvmlog.sources.bpf.cache import Cache, RefusedError, compiled_for, key_of
from kvmlog.sources.bpf.compiled import MAGIC, MAPS, MOST_BYTES, Compiled, attached, detached
from kvmlog.sources.bpf.plan import Plan, Program
from kvmlog.util.errors import SourceError

BCC: Final = "bcc 0.26.0"
# lddw r1, map 2; lddw r2, 3 (no map, and its second half looks like one); exit
CODE: Final = bytes.fromhex(
    "1811000002000000 0000000000000000 1802000003000000 1811000007000000 9500000000000000"
)
PLAN: Final = Plan(
    "none",
    0,
    None,
    "returns only",
    {"KVMLOG_ISA": 0},
    (Program("kvmlog_one", "one", lib.KVMLOG_BPF_RAW),),
)
MADE: Final = Compiled({"kvmlog_one": CODE}, BCC)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A folder that is not there yet."""
    return Cache(str(tmp_path / "cache"))


class Compiler:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, plan: Plan) -> Compiled:
        assert plan == PLAN
        self.asked += 1
        return MADE


def kept(cache: Cache) -> Path:
    """The plan's entry, as compiling leaves it."""
    assert compiled_for(PLAN, cache, BCC, Compiler()) == (MADE, False, [])
    return Path(cache.path_of(key_of(PLAN)))


def test_maps_are_numbered_in_the_file_and_have_descriptors_in_the_kernel() -> None:
    """Only instructions that load a map change, and no second half of a wide one."""
    fds = {name: 100 + place for place, name in enumerate(MAPS)}
    code = attached(CODE, fds)
    assert (code[4], code[8:]) == (102, CODE[8:])
    assert detached(code, fds) == CODE


def test_the_second_start_compiles_nothing(cache: Cache) -> None:
    """The same programs come from the file, which everybody may read and only its owner write."""
    old = os.umask(0o077)
    try:
        path = kept(cache)
    finally:
        os.umask(old)
    compiler = Compiler()
    assert compiled_for(PLAN, cache, BCC, compiler) == (MADE, True, [])
    assert compiler.asked == 0
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o644, 0o755)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_without_a_compiler_any_ones_entry_fits(cache: Cache) -> None:
    """An installed one of another version makes the entry anew, and says so."""
    kept(cache)
    compiler = Compiler()
    assert compiled_for(PLAN, cache, None, compiler) == (MADE, True, [])
    compiled, from_cache, said = compiled_for(PLAN, cache, "bcc 0.31.0", compiler)
    assert (compiled, from_cache, compiler.asked) == (MADE, False, 1)
    assert [sentence.partition(": ")[2] for sentence in said] == [
        "compiled by bcc 0.26.0, bcc 0.31.0 is installed: compiled anew"
    ]


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, macros={"KVMLOG_ISA": 1}),
        replace(PLAN, programs=(*PLAN.programs, replace(PLAN.programs[0], function="kvmlog_two"))),
    ],
    ids=["macros", "programs"],
)
def test_what_programs_depend_on_is_in_the_key(other: Plan) -> None:
    """The tracepoints' types are not: they are looked up at each start."""
    assert key_of(other) != key_of(PLAN)
    typed = tuple(replace(p, type_id=7, module="kvm") for p in PLAN.programs)
    assert key_of(replace(PLAN, programs=typed, words="else")) == key_of(PLAN)


def test_the_text_and_all_headers_are_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of any of them, ours or those that stand for the kernel's, makes it another one."""
    before = key_of(PLAN)
    monkeypatch.setattr(module, "program_text", lambda: "int other;")
    assert key_of(PLAN) != before
    monkeypatch.undo()
    header = tmp_path / "more.h"
    header.write_text("/* */", encoding="ascii")
    monkeypatch.setattr(module, "text_files", lambda: [header])
    with_header = key_of(PLAN)
    header.write_text("/* changed */", encoding="ascii")
    assert len({before, with_header, key_of(PLAN)}) == 3
    monkeypatch.undo()
    monkeypatch.setattr(module, "kernel_folder", lambda: tmp_path)
    assert key_of(PLAN) != before


def sealed(body: bytes) -> bytes:
    """A file with this content whose digest is right."""
    return b"\n".join((MAGIC, hashlib.sha256(body).hexdigest().encode(), body, b""))


def of_programs(programs: object) -> bytes:
    """A file of the right key with these programs."""
    return sealed(json.dumps({"key": key_of(PLAN), "compiler": BCC, "programs": programs}).encode())


DAMAGED: Final[dict[str, tuple[Callable[[bytes], bytes], str]]] = {
    "empty": (lambda data: b"", "it is no file of this version's"),
    "truncated": (lambda data: data[:-40], "it is cut short or longer than it was"),
    "longer": (lambda data: data + b"x", "it is cut short or longer than it was"),
    "flipped": (
        lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        "its content is not what was written",
    ),
    "other-version": (lambda data: data.replace(b" 1\n", b" 2\n"), "no file of this version's"),
    "other-key": (lambda data: MADE.to_bytes("0" * 32), "it was compiled from something else"),
    "no-json": (lambda data: sealed(b"["), "it has not the fields that belong there"),
    "no-programs": (lambda data: of_programs([]), "it has not the fields that belong there"),
    "no-base64": (lambda data: of_programs({"kvmlog_one": "?"}), "it has not the fields"),
    "half-an-instruction": (
        lambda data: of_programs({"kvmlog_one": "lQAA"}),
        "kvmlog_one is no whole number of instructions",
    ),
    "unknown-map": (
        lambda data: Compiled({"kvmlog_one": b"\x18\x11\0\0\x08" + CODE[5:]}, BCC).to_bytes(
            key_of(PLAN)
        ),
        "kvmlog_one uses a map that there is not (8)",
    ),
    "other-programs": (
        lambda data: Compiled({"kvmlog_two": CODE}, BCC).to_bytes(key_of(PLAN)),
        "it lacks programs",
    ),
    "huge": (lambda data: data + b"\0" * MOST_BYTES, f"it has more than {MOST_BYTES} bytes"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_entry_is_refused_and_made_anew(cache: Cache, name: str) -> None:
    """The sentence names the file and the cause; the next start finds a good one."""
    change, cause = DAMAGED[name]
    path = kept(cache)
    path.write_bytes(change(path.read_bytes()))
    compiler = Compiler()
    compiled, from_cache, (sentence,) = compiled_for(PLAN, cache, None, compiler)
    assert (compiled, from_cache, compiler.asked) == (MADE, False, 1)
    assert sentence.startswith(f"{path}: ")
    assert cause in sentence
    assert sentence.endswith("; it is not used, and compiled anew")
    assert compiled_for(PLAN, cache, None, compiler) == (MADE, True, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root; run as root")
def test_a_strangers_entry_is_refused_and_made_anew(cache: Cache) -> None:
    """However good it looks: what lies there is loaded into the kernel."""
    path = kept(cache)
    os.chown(path, 65_534, 65_534)
    _, from_cache, (sentence,) = compiled_for(PLAN, cache, None, Compiler())
    assert not from_cache
    assert "it belongs to user 65534, not to root" in sentence
    assert path.stat().st_uid == 0
    assert compiled_for(PLAN, cache, None, Compiler())[1] is True


def test_an_entry_that_others_may_write_is_refused_and_made_anew(cache: Cache) -> None:
    """And so is a symbolic link, or a pipe that would never end."""
    path = kept(cache)
    path.chmod(0o664)
    _, _, (sentence,) = compiled_for(PLAN, cache, None, Compiler())
    assert "others than its owner may write to it (mode 0664); chmod go-w" in sentence
    elsewhere = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(elsewhere)
    _, from_cache, (sentence,) = compiled_for(PLAN, cache, None, Compiler())
    assert (from_cache, path.is_symlink(), elsewhere.exists()) == (False, False, True)
    path.unlink()
    os.mkfifo(path)
    _, from_cache, (sentence,) = compiled_for(PLAN, cache, None, Compiler())
    assert (from_cache, path.is_file()) == (False, True)
    assert "it is no regular file" in sentence


def test_a_folder_that_others_may_write_keeps_nothing(cache: Cache) -> None:
    """Neither read nor written, and said with the remedy; nor is a link to a good one."""
    path = kept(cache)
    path.parent.chmod(0o777)
    before = path.stat().st_mtime_ns
    _, from_cache, said = compiled_for(PLAN, cache, None, Compiler())
    assert from_cache is False
    assert ["chmod go-w" in sentence for sentence in said] == [True, True]
    assert said[1].endswith("compiled programs are not kept, the next start compiles again")
    assert path.stat().st_mtime_ns == before
    path.parent.chmod(0o755)
    link = path.parent.parent / "link"
    link.symlink_to(path.parent)
    with pytest.raises(RefusedError, match="link: "):
        Cache(str(link)).find(key_of(PLAN))


def test_a_compiler_that_fails_costs_no_programs_that_are_kept(cache: Cache) -> None:
    """One of another version is installed: what was compiled before serves on, and it is said."""
    kept(cache)

    def fails(_: Plan) -> Compiled:
        raise SourceError("compiling took too long")

    compiled, from_cache, said = compiled_for(PLAN, cache, "bcc 0.31.0", fails)
    assert (compiled, from_cache) == (MADE, True)
    assert said[-1] == "compiling took too long; what was compiled before is used"
    with pytest.raises(SourceError, match="took too long"):
        compiled_for(PLAN, Cache(""), "bcc 0.31.0", fails)


def test_an_entry_that_is_a_folder_is_refused(cache: Cache) -> None:
    """And leaves no descriptor open."""
    path = kept(cache)
    path.unlink()
    path.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RefusedError, match="no regular file"):
        cache.find(key_of(PLAN))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """The programs are there all the same."""
    nowhere = Cache(str(tmp_path / "none" / "cache"))
    compiled, from_cache, (sentence,) = compiled_for(PLAN, nowhere, BCC, Compiler())
    assert (compiled, from_cache) == (MADE, False)
    assert sentence.startswith(f"{tmp_path}/none/cache: No such file or directory; ")


def test_no_folder_keeps_nothing() -> None:
    """Each start compiles, without a word."""
    assert compiled_for(PLAN, Cache(""), BCC, Compiler()) == (MADE, False, [])
    assert Cache("").entries() == []


def test_the_oldest_entries_go(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, with what a killed writer left; what another one writes now stays."""
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    folder = Path(cache.folder)
    for number in range(5):
        cache.store(f"{number:032}", MADE)
        path = Path(cache.path_of(f"{number:032}"))
        os.utime(path, (time.time() - 100 + number, time.time() - 100 + number))
    left, writing = folder / "a.1.new", folder / "b.2.new"
    left.touch()
    writing.touch()
    os.utime(left, (1, 1))
    cache.store(f"{5:032}", MADE)
    assert {path.name for path in folder.iterdir()} == {
        "b.2.new",
        *(f"{number:032}.bpf" for number in (3, 4, 5)),
    }


def test_entries_are_listed_with_what_is_wrong_with_them(cache: Cache) -> None:
    """The newest first."""
    first, second = "1" * 32, "2" * 32
    cache.store(first, MADE)
    cache.store(second, MADE)
    os.utime(cache.path_of(first), (1, 1))
    Path(cache.path_of(first)).write_bytes(b"")
    os.utime(cache.path_of(first), (1, 1))
    newer, older = cache.entries()
    assert (newer.path, newer.compiler, newer.refused) == (cache.path_of(second), BCC, "")
    assert (older.path, older.made_s, older.compiler) == (cache.path_of(first), 1.0, "")
    assert older.refused == "it is no file of this version's"
