# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal, through textual: app shows lines and passes on keys, poller takes samples."""
