# SPDX-License-Identifier: GPL-2.0-or-later
"""Many hosts at once, through the `kvmlog rpc` of each. From the bottom up:

hosts     the file that lists them
srv       the same from DNS
targets   what Prometheus scrapes of them
access    credentials, shared by the clients of all hosts
ask       one call on all of them, with a deadline for each
calls     what is asked of each
merge     their answers as one
servers   which of them has a VM
tenants   pages of what owners used
computes  what Nova's paths are answered from
server    the JSON port, for OpenStack's clients and Prometheus
preflight, serve   start-up

`log` is the server's log.
"""

from typing import Final

from kvmlog.util.errors import KvmlogError
from kvmlog.util.log import Log

log: Final = Log("kvmlog fleet")


class FleetError(KvmlogError):
    """A list of hosts that cannot be had or used, or a fleet of which no host answers."""
