# SPDX-License-Identifier: GPL-2.0-or-later
"""The loaded configuration: the command line over the file over the defaults."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kvmlog.config.keys import Key, RefusedValueError
from kvmlog.config.schema.sections import KEYS, SECTIONS
from kvmlog.config.schema.serving import FleetKeys, MetricsKeys, RpcKeys
from kvmlog.config.schema.tracing import BridgeKeys, BudgetKeys, RecorderKeys, UdpKeys
from kvmlog.config.schema.vms import HistoryKeys, LimitsKeys, NotifyKeys, VmStatsKeys
from kvmlog.util import ownership
from kvmlog.util.errors import KvmlogError, UsageError

DEFAULT_CONFIG: Final = "/etc/kvmlog/kvmlog.toml"
MAX_BYTES: Final = 64 << 10
DEFAULT: Final = "default"
_SHOWN: Final = 60
_BARE: Final = re.compile(r"[\w.+-]+")


class ConfigError(KvmlogError):
    """The configuration cannot be used. `problems`: a sentence for each problem."""

    def __init__(self, problems: list[str]) -> None:
        more = len(problems) - 1
        rest = f" (and {more} more: kvmlog config check)" if more else ""
        super().__init__(problems[0] + rest)
        self.problems = problems


class OptionError(ConfigError, UsageError):
    """An option's value is refused."""


@dataclass(frozen=True)
class Config:
    """All values by section: config.rpc.listen.

    origins: where each value comes from, "section.key" to "default", the file's path or the option.
    path: the file that was read; None: none.
    """

    bridge: BridgeKeys = field(default_factory=BridgeKeys)
    udp: UdpKeys = field(default_factory=UdpKeys)
    rpc: RpcKeys = field(default_factory=RpcKeys)
    budget: BudgetKeys = field(default_factory=BudgetKeys)
    recorder: RecorderKeys = field(default_factory=RecorderKeys)
    vmstats: VmStatsKeys = field(default_factory=VmStatsKeys)
    history: HistoryKeys = field(default_factory=HistoryKeys)
    notify: NotifyKeys = field(default_factory=NotifyKeys)
    limits: LimitsKeys = field(default_factory=LimitsKeys)
    metrics: MetricsKeys = field(default_factory=MetricsKeys)
    fleet: FleetKeys = field(default_factory=FleetKeys)
    origins: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(KEYS, DEFAULT))
    path: str | None = None

    @classmethod
    def load(cls, path: str | None = None) -> Config:
        """Load the file over the defaults. path None: /etc/kvmlog/kvmlog.toml where it exists.

        ConfigError for a file that is missing, cannot be read, is not TOML, or has an unknown key
        or a wrong value.
        """
        return cls._make(path, {})

    @classmethod
    def of(cls, args: argparse.Namespace) -> Config:
        """Load the file of args.config, and the given options of add_options() over it.

        OptionError for the first option with a wrong value.
        """
        given = {}
        for name, one in KEYS.items():
            typed = getattr(args, name, None) if one.option else None
            if typed is None:
                continue
            try:
                given[name] = one.of_option(typed)
            except RefusedValueError as error:
                raise OptionError([f"{one.option}{_as_typed(one, typed)}: {error}"]) from None
        return cls._make(args.config, given)

    def get(self, name: str) -> Any:
        """Return the value of "section.key"."""
        section, _, key = name.partition(".")
        return getattr(getattr(self, section), key)

    @contextlib.contextmanager
    def checking(self, name: str) -> Iterator[None]:
        """Have an error about the value of "section.key" be OptionError where an option gave it."""
        try:
            yield
        except KvmlogError as error:
            option = KEYS[name].option
            if option is None or self.origins[name] != option:
                raise
            raise OptionError([f"{option}: {error}"]) from None

    @classmethod
    def _make(cls, path: str | None, given: Mapping[str, Any]) -> Config:
        values: dict[str, Any] = {}
        origins = dict.fromkeys(KEYS, DEFAULT)
        problems: list[str] = []
        if path is None and _may_exist(DEFAULT_CONFIG):
            path = DEFAULT_CONFIG
        if path is not None:
            found, problems = check(path, read(path))
            values.update(found)
            origins.update(dict.fromkeys(found, path))
        if problems:
            raise ConfigError(problems)
        values.update(given)
        origins.update({name: str(KEYS[name].option) for name in given})
        sections: dict[str, Any] = {
            section: kind(
                **{
                    one.name: values[name]
                    for name, one in KEYS.items()
                    if one.section == section and name in values
                }
            )
            for section, kind in SECTIONS.items()
        }
        return cls(**sections, origins=origins, path=path)


def _may_exist(path: str) -> bool:
    """Return False where there is no such file; True also where it cannot be looked for."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add --config, and the options of all keys that a command uses: "bridge", "rpc", ...

    An option that is not given is None; Config.of() then takes the file's value, or the default.
    Others are the text that was typed, which Config.of() checks.
    """
    parser.add_argument(
        "--config",
        metavar="PATH",
        help=f"configuration file (default: {DEFAULT_CONFIG}, where it exists)",
    )
    for name, one in KEYS.items():
        if one.option is None or command not in one.commands:
            continue
        words: dict[str, Any] = {
            "dest": name,
            "help": f"{one.help} ({_default(one)})".replace("%", "%%"),
        }
        if one.type is bool:
            parser.add_argument(one.option, action=argparse.BooleanOptionalAction, **words)
            continue
        if one.choices:
            words["choices"] = one.choices
        else:
            words["metavar"] = one.metavar or one.name.upper()
        if one.type is tuple:
            words["action"] = "append"
        parser.add_argument(one.option, **words)


def read(path: str) -> dict[str, Any]:
    """Read a file's tables; ConfigError where it cannot be read or is not TOML."""
    try:
        # O_NONBLOCK: a FIFO must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError([f"{path}: is no regular file; give a TOML file"])
            found = ownership.objection(os.fstat(descriptor), links=True)
            if found and os.geteuid() == 0:
                words = "root takes no orders from others; chown it to root, chmod go-w it"
                raise ConfigError([f"{path}: {found}; {words}"])
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be read ({error.strerror}); name another file"]
        ) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: has more than {MAX_BYTES} bytes; make it shorter"])
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8; save it as UTF-8"]) from None
    except (ValueError, RecursionError) as error:
        # RecursionError: thousands of brackets; ValueError: also a number of thousands of digits.
        words = str(error).splitlines()[0] if isinstance(error, ValueError) else "nested too deep"
        raise ConfigError([f"{path}: is not TOML: {words}; correct that line"]) from None


def check(path: str, tables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the values by "section.key", and a sentence for each problem."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for section, table in tables.items():
        if section not in SECTIONS:
            problems.append(f"{path}: {_unknown_section(section, table)}")
            continue
        if not isinstance(table, dict):
            problems.append(f"{path}: {section} is a section: write [{section}] on its own line")
            continue
        for name, given in table.items():
            full = f"{section}.{name}"
            one = KEYS.get(full)
            if one is None:
                problems.append(f"{path}: {_unknown(section, name)}")
                continue
            try:
                values[full] = one.value(given)
            except RefusedValueError as error:
                problems.append(f"{path}: {full} = {_shown(given)}: {error}")
    return values, problems


def _unknown_section(section: str, table: object) -> str:
    """Describe an unknown section, which may be a key outside any section."""
    homes = [full for full, one in KEYS.items() if one.name == section]
    if homes and not isinstance(table, dict):
        return f"{section}: is outside any section; did you mean {' or '.join(homes)}?"
    names = list(SECTIONS)
    return f"{_quoted(section)}: unknown section; {_nearest(section, names, names)}"


def _unknown(section: str, name: str) -> str:
    """Describe an unknown key, with the same one of another section or the nearest of this one."""
    own = [one.name for one in KEYS.values() if one.section == section]
    elsewhere = [full for full, one in KEYS.items() if one.name == name]
    if elsewhere and not difflib.get_close_matches(name, own, 1):
        near = f"did you mean {' or '.join(elsewhere)}?"
    else:
        near = _nearest(name, own, [f"{section}.{one}" for one in own])
    return f"{section}.{_quoted(name)}: unknown key; {near}"


def _nearest(word: str, words: list[str], shown: list[str]) -> str:
    close = difflib.get_close_matches(word, words, 1, 0.5)
    if close:
        return f"did you mean {shown[words.index(close[0])]}?"
    return f"known are {', '.join(shown)}"


def _quoted(word: str) -> str:
    """Return a bare word as it is, anything else quoted."""
    bare = word.isascii() and _BARE.fullmatch(word) is not None
    return word if bare and len(word) <= _SHOWN else _shown(word)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = ascii(value)
    else:
        try:
            text = str(value)
        except (ValueError, RecursionError):
            # Also within a list: a number of thousands of digits, which TOML can have in hex.
            text = "..."
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _as_typed(one: Key, typed: object) -> str:
    """Return " VALUE"; "" for a list, in which the error names the one that is wrong."""
    if one.type is tuple:
        return ""
    if one.type in (int, float):
        return f" {_quoted(str(typed))}"
    return f" {_shown(typed)}"


def _default(one: Key) -> str:
    shown = ", ".join(one.default) if one.type is tuple else one.default
    return f"default: {shown}" if shown not in ("", False) else "default: none"
