# SPDX-License-Identifier: GPL-2.0-or-later
"""The XML-RPC server. From the bottom up, each importing only what stands before it:

faults, limits   fault codes, and the bounds on what a client may cost
http             transport and protocol: connections, HTTP, parsing
auth             who a caller is and what they may do
methods          the RPC methods and their table
service          joins credentials and methods into what http serves
preflight, privileges, main   start-up

`log` is the server's log.
"""

from typing import Final

from kvmlog.util.log import Log

log: Final = Log("kvmlog rpc")
