# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog record`.

command: the command; tracing: switching on for it, and back; loop: until when it records; progress:
what it says meanwhile.
"""
