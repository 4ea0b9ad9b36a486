# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat`: the command, its options, its tables."""
