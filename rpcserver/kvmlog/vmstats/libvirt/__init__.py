# SPDX-License-Identifier: GPL-2.0-or-later
"""All that calls libvirt's binding: connections, polls, events."""
