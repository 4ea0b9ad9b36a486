# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's log."""

from kvmlog.util.log import Log

log = Log("kvmlog rpc")
