# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run inside a VM, as root, on a real kernel with KVM (tests/vm boots it)."""
