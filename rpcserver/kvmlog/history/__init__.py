# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened on this host: services, VMs' lives, actions, faults; kept over restarts.

`kvmlog history` is the only process that writes the file; all others read it.
"""

from kvmlog.util.log import Log

log = Log("kvmlog history")
