# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog check`: a plugin for Nagios, Icinga and whatever else runs such plugins.

From the bottom up: status (what a plugin says, and how), ranges, figures (what is measured), vms,
exits, services (how), command.
"""
