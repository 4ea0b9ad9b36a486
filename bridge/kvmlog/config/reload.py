# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the configuration again while a process runs (SIGHUP)."""

from __future__ import annotations

from collections.abc import Callable

from kvmlog.config.load import Config
from kvmlog.config.schema import KEYS
from kvmlog.util.errors import KvmlogError


class Reload:
    """What a running process has of its configuration, and how it takes another.

    command: "bridge" or "rpc", whose keys count. read: the configuration as it is now, from file
    and command line; it raises ConfigError.
    """

    def __init__(
        self, command: str, config: Config, read: Callable[[], Config], log: Callable[[str], None]
    ) -> None:
        self.config = config
        self._used = [name for name, one in KEYS.items() if command in one.commands]
        self._read = read
        self._log = log
        self._appliers: list[tuple[tuple[str, ...], Callable[[Config], None], bool]] = []
        # The values that this process runs with, by "section.key".
        self._running = {name: config.get(name) for name in self._used}

    def on(self, *names: str, apply: Callable[[Config], None], always: bool = False) -> None:
        """Calls apply(config) when one of these live keys has changed.

        apply raises KvmlogError and leaves everything as it was when it cannot. always: also when
        no key has changed: for files that are named in the configuration.
        """
        for name in names:
            if name not in self._used or not KEYS[name].live:
                raise ValueError(f"{name} is no live key of this process")
        self._appliers.append((names, apply, always))

    def now(self) -> None:
        """Reads again, applies, and logs in one line what came of it; nothing is raised."""
        try:
            config = self._read()
        except KvmlogError as error:
            self._log(f"configuration not read again, all stays as it was: {error}")
            return
        self.config = config
        changed = {name for name in self._used if config.get(name) != self._running[name]}
        applied: list[str] = []
        refused: list[str] = []
        for names, apply, always in self._appliers:
            if not always and not changed.intersection(names):
                continue
            try:
                apply(config)
            except KvmlogError as error:
                refused.extend(names)
                self._log(f"not applied, stays as it was: {error}")
                continue
            applied.extend(name for name in names if name in changed)
            self._running.update({name: config.get(name) for name in names})
        left = sorted(changed.difference(applied, refused))
        words = [f"applied {', '.join(applied)}"] if applied else []
        if left:
            words.append(f"restart to apply {', '.join(left)}")
        if not changed:
            words.append("no key has changed")
        self._log("; ".join(["configuration read again", *words]))
