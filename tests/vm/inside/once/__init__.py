# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of what does not depend on the kernel: on the first one only; `make soak` has all."""
