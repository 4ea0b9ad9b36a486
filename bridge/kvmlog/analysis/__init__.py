# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done with recordings after the fact: the extra kvmlog[analysis].

Its commands import it when they run; nothing that a host needs for recording does.
"""
