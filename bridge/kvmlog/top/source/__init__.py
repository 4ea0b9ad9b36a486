# SPDX-License-Identifier: GPL-2.0-or-later
"""Where reports and status come from.

base: the interface; local: files and socket of this host; remote: another host's `kvmlog rpc`.
"""
