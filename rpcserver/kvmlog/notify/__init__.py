# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens on a host, told to others: to a webhook, over AMQP. docs/notifications.md.

The journal of the history is the spool: it is on the disk, bounded, and numbered.
"""

from kvmlog.util.log import Log

log = Log("kvmlog notify")
