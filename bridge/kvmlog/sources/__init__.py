# SPDX-License-Identifier: GPL-2.0-or-later
"""The two sources of records, the kernel module and the BPF programs, behind one interface."""
