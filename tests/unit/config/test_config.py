# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file: its values, and the messages for its problems."""

from __future__ import annotations

import argparse
import contextlib
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.config import load
from kvmlog.config.keys import RefusedValueError
from kvmlog.config.load import MAX_BYTES, Config, ConfigError, OptionError, add_options, check
from kvmlog.config.reference import default_file, reference, toml_value
from kvmlog.config.reload import Reload
from kvmlog.config.schema.sections import KEYS, SECTIONS
from tests.support import forking
from tests.support.users import NOBODY, as_root

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def written(folder: Path, text: str) -> str:
    """A configuration file with this text."""
    path = folder / "kvmlog.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def options(command: str, *given: str) -> argparse.Namespace:
    """A command line as `kvmlog bridge` or `kvmlog rpc` parses it."""
    parser = argparse.ArgumentParser()
    add_options(parser, command)
    return parser.parse_args(given)


def test_the_file_goes_over_the_defaults_and_options_over_both(tmp_path: Path) -> None:
    """Each value has its origin."""
    path = written(tmp_path, '[bridge]\nslots = 2048\nsource = "bpf"\n[rpc]\nuser = "x"\n')
    config = Config.of(options("bridge", "--config", path, "--source", "kmod"))
    assert (config.bridge.slots, config.bridge.source, config.rpc.user) == (2048, "kmod", "x")
    assert config.udp.listen == "127.0.0.1:50000"
    origins = [config.origins[name] for name in ("bridge.slots", "bridge.source", "udp.listen")]
    assert origins == [path, "--source", "default"]


@as_root
def test_a_file_that_cannot_be_looked_for_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defaults hold where there is no file, not where its folder is closed to us."""
    monkeypatch.setattr(load, "DEFAULT_CONFIG", str(tmp_path / "none" / "kvmlog.toml"))
    assert Config.load(None).path is None
    monkeypatch.setattr(load, "DEFAULT_CONFIG", written(tmp_path, "[bridge]\n"))
    tmp_path.chmod(0o700)

    def load_it() -> None:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\)"):
            Config.load(None)

    assert forking.run(load_it) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[bridge]\nslot = 2048", "bridge.slot: unknown key; did you mean bridge.slots?"),
        ("[brige]\nslots = 2048", "brige: unknown section; did you mean bridge?"),
        ("slots = 2048", "slots: is outside any section; did you mean bridge.slots?"),
        ("[rpc]\nslots = 2048", "rpc.slots: unknown key; did you mean bridge.slots?"),
        ("bridge = 3", "bridge is a section: write [bridge] on its own line"),
        ('[bridge]\n"a\\nb" = 1', "bridge.'a\\nb': unknown key; known are bridge.source,"),
        ("[bridge]\nslots = 1000", "bridge.slots = 1000: give a power of two from 1024 to"),
        ("[bridge]\nslots = 2048.0", "bridge.slots = 2048.0: give a whole number"),
        (f"[bridge]\nslots = 1{'0' * 400}", "00...: give a smaller number"),
        (f"[budget]\ncpu_percent = 1{'0' * 400}", "00...: give a smaller number"),
        pytest.param(
            f"[bridge]\nring = 0x{'f' * 6_000}", "bridge.ring = ...: give a string", id="hex"
        ),
        ("[bridge]\nslots = true", "bridge.slots = true: give a whole number"),
        ("[bridge]\nslots = -2048", "bridge.slots = -2048: give a power of two"),
        ("[bridge]\nslots = 0", "bridge.slots = 0: give a power of two"),
        ("[bridge]\nstatistics_mib = -1", "bridge.statistics_mib = -1: give "),
        ('[bridge]\nsource = "ebpf"', "bridge.source = 'ebpf': give auto, kmod or bpf"),
        ('[bridge]\nring = "a\\u0000b"', "bridge.ring = 'a\\x00b': give at most 4096 characters"),
        ('[udp]\nlisten = "x"', "udp.listen = 'x': give HOST:PORT with a port from 0 to 65535"),
        ('[rpc]\nlisten = "::1:5"', "rpc.listen = '::1:5': give HOST:PORT"),
        ("[budget]\ncpu_percent = 101", "budget.cpu_percent = 101: give 0 to 100"),
        ("[budget]\ncpu_percent = nan", "budget.cpu_percent = nan: give 0 to 100"),
        ('[budget]\ncpu_percent = "2"', "budget.cpu_percent = '2': give a number"),
        ("[bridge\n", "is not TOML: "),
        ("[bridge]\nslots = 1\nslots = 1", "is not TOML: "),
        ("a = " + "[" * 20_000, "is not TOML: nested too deep"),
        ("a = " + "9" * 5_000, "is not TOML: "),
        ("#" * MAX_BYTES + "\n", f"has more than {MAX_BYTES} bytes; make it shorter"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_file_key_and_remedy(
    tmp_path: Path, text: str, words: str
) -> None:
    """The message is one line."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Config.load(path)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_problem_is_told_and_the_first_says_how_many_more(tmp_path: Path) -> None:
    """`config check` gets every problem, a start the first one and a count."""
    path = written(tmp_path, '[bridge]\nslots = 3\nsouce = "bpf"\n[udp]\nlisten = 5\n')
    with pytest.raises(ConfigError) as caught:
        Config.load(path)
    assert len(caught.value.problems) == 3
    assert str(caught.value).endswith("(and 2 more: kvmlog config check)")


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """Missing, no UTF-8, a FIFO that nobody writes into, a directory."""
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"[bridge]\xff\n")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found = []
    for path in (tmp_path / "missing", bad, fifo, tmp_path):
        with pytest.raises(ConfigError) as caught:
            Config.load(str(path))
        found.append(str(caught.value).removeprefix(f"{path}: "))
    assert found[0].startswith("cannot be read (No such file or directory)")
    assert found[1] == "byte 8 is not UTF-8; save it as UTF-8"
    assert found[2] == "is no regular file; give a TOML file"
    assert found[3] == "cannot be read (Is a directory); name another file"


def test_an_option_is_checked_as_the_key_is() -> None:
    """The message has the option's name in place of file and key."""
    with pytest.raises(ConfigError, match=r"^--slots 1000: give a power of two from 1024 to "):
        Config.of(options("bridge", "--slots", "1000"))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("vmstats --interval -1", "--interval -1: give 1 to 3600 s"),
        ("vmstats --interval nan", "--interval nan: give 1 to 3600 s"),
        ("vmstats --balloon-period nan", "--balloon-period nan: give a whole number, 0 to 3600 s"),
        ("vmstats --budget 101", "--budget 101: give 0 to 100 %"),
        (
            "vmstats --images srv/images",
            "--images 'srv/images': give a path that begins with \"/\"",
        ),
        ("bridge --budget 2,5", "--budget '2,5': give a number, 0 to 100 %"),
        ("rpc --requests-per-s -1", "--requests-per-s -1: give 0 to 1000000 per second"),
    ],
)
def test_an_option_is_shown_as_it_was_typed(given: str, sentence: str) -> None:
    """Numbers too, with the unit of what is accepted; it is a matter of usage."""
    command, *words = given.split()
    with pytest.raises(OptionError) as caught:
        Config.of(options(command, *words))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", KEYS)
def test_every_default_is_a_value_that_its_key_takes(name: str) -> None:
    """Every default is valid and survives TOML."""
    one = KEYS[name]
    assert one.value(one.default) == one.default
    carried = tomllib.loads(f"x = {toml_value(one.default)}")["x"]
    assert one.value(carried) == one.default
    assert Config().get(name) == one.default


def test_the_default_file_says_what_holds_without_it(tmp_path: Path) -> None:
    """The default file holds the defaults, as it is and with every key uncommented."""
    lines = [
        line.removeprefix("#") if line.startswith("#") and line[1:2].islower() else line
        for line in default_file().splitlines()
    ]
    assert Config.load(written(tmp_path, default_file())).bridge == Config().bridge
    config = Config.load(written(tmp_path, "\n".join(lines)))
    assert {name: config.get(name) for name in KEYS} == {
        name: one.default for name, one in KEYS.items()
    }
    assert set(config.origins.values()) == {config.path}


def test_the_reference_in_the_documentation_is_the_schema() -> None:
    """`python -m kvmlog.config.reference` prints what has to stand there."""
    assert reference().strip() in OPERATIONS.read_text(encoding="utf-8")


def test_each_section_of_the_schema_is_an_attribute() -> None:
    """Config has one field for each, of its class."""
    config = Config()
    assert {section: type(getattr(config, section)) for section in SECTIONS} == SECTIONS


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(), scalars, max_size=3)


@settings(max_examples=1_000, deadline=None)
@given(values, st.sampled_from(sorted(KEYS)))
def test_any_value_is_taken_or_refused_in_words(value: object, name: str) -> None:
    """No other exception from a key's check; a value that is taken is of the key's type."""
    with contextlib.suppress(RefusedValueError):
        assert type(KEYS[name].value(value)) is KEYS[name].type


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*SECTIONS, "x"]) | st.text(), values, max_size=3))
def test_any_tables_give_values_or_printable_sentences(tables: dict[str, object]) -> None:
    """Untrusted names and values are printable in the messages."""
    _, problems = check("f", tables)
    assert [one for one in problems if not one.isprintable()] == []


class Again:
    """A Reload whose next configuration the test chooses, and its log."""

    def __init__(self, command: str) -> None:
        self.next: Config | ConfigError = Config()
        self.lines: list[str] = []
        self.reload = Reload(command, Config(), self.read, self.lines.append)

    def read(self) -> Config:
        if isinstance(self.next, ConfigError):
            raise self.next
        return self.next


def test_reload_applies_live_keys_and_names_those_that_want_a_restart(tmp_path: Path) -> None:
    """Keys of the other process are ignored."""
    again = Again("bridge")
    applied: list[str] = []
    again.reload.on("udp.listen", apply=lambda config: applied.append(config.udp.listen))
    text = '[udp]\nlisten = "127.0.0.1:7"\n[bridge]\nslots = 1024\n[rpc]\nuser = "x"\n'
    again.next = Config.load(written(tmp_path, text))
    again.reload.now()
    again.reload.now()
    assert applied == ["127.0.0.1:7"]
    assert again.lines == [
        "configuration read again; applied udp.listen; restart to apply bridge.slots",
        "configuration read again; restart to apply bridge.slots",
    ]


def test_reload_of_a_broken_file_changes_nothing() -> None:
    """One line; the next good file is taken."""
    again = Again("rpc")
    again.next = ConfigError(["f: is not TOML: x"])
    again.reload.now()
    again.next = Config()
    again.reload.now()
    assert again.lines == [
        "configuration not read again, all stays as it was: f: is not TOML: x",
        "configuration read again; no key has changed",
    ]


def test_reload_keeps_what_cannot_be_applied(tmp_path: Path) -> None:
    """It is tried again at the next SIGHUP."""
    again = Again("bridge")

    def refuse(config: Config) -> None:
        raise ConfigError([f"{config.udp.listen}: in use"])

    again.reload.on("udp.listen", apply=refuse)
    again.next = Config.load(written(tmp_path, '[udp]\nlisten = "127.0.0.1:7"\n'))
    again.reload.now()
    again.reload.now()
    assert (
        again.lines
        == [
            "not applied, stays as it was: 127.0.0.1:7: in use",
            "configuration read again",
        ]
        * 2
    )
    with pytest.raises(ValueError, match=r"bridge\.slots is no live key"):
        again.reload.on("bridge.slots", apply=refuse)
