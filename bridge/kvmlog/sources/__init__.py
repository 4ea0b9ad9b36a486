# SPDX-License-Identifier: GPL-2.0-or-later
"""The two sources of records behind one interface.

base: Source, its configuration and status; kmod: the kernel module; bpf: the BPF programs; btf: the
types of the running kernel.
"""
