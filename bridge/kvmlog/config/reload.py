# SPDX-License-Identifier: GPL-2.0-or-later
"""Reloading the configuration of a running process (SIGHUP)."""

from __future__ import annotations

from collections.abc import Callable

from kvmlog.config.load import Config
from kvmlog.config.schema.sections import KEYS
from kvmlog.util.errors import KvmlogError


class Reload:
    """The configuration of a running process, and the appliers of its live keys.

    command: "bridge" or "rpc", the one whose keys matter. read: loads the configuration again, from
    file and command line; it raises ConfigError.
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
        """Register apply(config), to be called when one of these live keys has changed.

        apply raises KvmlogError and changes nothing when it fails. always: call it even when no
        key has changed, for files that the configuration names.
        """
        for name in names:
            if name not in self._used or not KEYS[name].live:
                raise ValueError(f"{name} is no live key of this process")
        self._appliers.append((names, apply, always))

    def now(self) -> None:
        """Read again, apply, and log the result in one line; nothing is raised."""
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
