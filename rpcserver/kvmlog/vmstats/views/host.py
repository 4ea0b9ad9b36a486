# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own sample of a host: all figures, in base units that their names tell."""

from __future__ import annotations

from typing import Any

from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.views.figures import figures
from kvmlog.vmstats.views.units import known, seconds_between


def document(host: Host, now: Moment) -> dict[str, Any]:
    """Return the sample; what only the host itself could tell is absent for another one."""
    return known(
        {
            **figures(host),
            "age_s": seconds_between(host.taken, now),
            "balloon_ratio": host.balloon_ratio,
        }
    )
