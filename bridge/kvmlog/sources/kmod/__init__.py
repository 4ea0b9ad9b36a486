# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel module as a source.

source: KmodSource; family: the generic netlink family, as a socket class of pyroute2's.
"""
