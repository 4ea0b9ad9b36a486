# SPDX-License-Identifier: GPL-2.0-or-later
"""Preflight: everything that the bridge needs of its configuration to start."""

from __future__ import annotations

from kvmlog.bridge.udp_server import check_reach
from kvmlog.config.load import Config
from kvmlog.config.problems import collect_problems
from kvmlog.control.udp_address import resolve
from kvmlog.control.udp_auth import read_key
from kvmlog.recording import flight
from kvmlog.util.errors import KvmlogError


def problems(config: Config) -> list[KvmlogError]:
    """Everything for which the bridge does not start, UnreadableError among it for who is not root.

    What the machine lacks (modules, BPF, a free port) is not looked for.
    """
    return collect_problems(config, _reach, _key, _events)


def _reach(config: Config) -> None:
    _, address = resolve(config.udp.listen)
    check_reach(config.udp.listen, address, signed=bool(config.udp.key_file))


def _key(config: Config) -> None:
    if config.udp.key_file:
        read_key(config.udp.key_file)


def _events(config: Config) -> None:
    flight.parse_all(config.recorder.freeze_on)
