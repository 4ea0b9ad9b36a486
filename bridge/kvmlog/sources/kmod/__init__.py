# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel module as a source, over generic netlink."""
