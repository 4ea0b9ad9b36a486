# SPDX-License-Identifier: GPL-2.0-or-later
"""What an engine polls beside exits: use and state of VMs, taken through libvirt.

`kvmlog vmstats` takes samples and writes them into a file; all others read that file.
"""

from kvmlog.util.log import Log

log = Log("kvmlog vmstats")
