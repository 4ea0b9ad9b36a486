# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog vms`.

command: the command; poll: what is known at one time, and the source of that on this host; exits:
the exits of each VM; figures: all figures of a VM by name; columns: the table; output: the forms.
"""
