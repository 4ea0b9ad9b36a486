# SPDX-License-Identifier: GPL-2.0-or-later
"""What the collector needs of its configuration to start; `kvmlog config check` looks at it too."""

from __future__ import annotations

from kvmlog.config.load import DEFAULT, Config
from kvmlog.config.problems import collect_problems
from kvmlog.util import privileges
from kvmlog.util.errors import KvmlogError
from kvmlog.vmstats.libvirt import uri


def problems(config: Config) -> list[KvmlogError]:
    """Return everything for which the collector does not start.

    What the machine lacks (libvirt's binding, room for the file) is not looked for.
    """
    return collect_problems(config, _user, _uris)


def _user(config: Config) -> None:
    # The default user comes with the installation: the file is not to blame for it.
    if config.origins["vmstats.user"] != DEFAULT:
        privileges.find(config.vmstats.user)


def _uris(config: Config) -> None:
    uri.check(config.vmstats.uris)
