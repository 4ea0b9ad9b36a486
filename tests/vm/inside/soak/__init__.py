# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run in `make soak` only: each has a quicker sibling in `make test`."""
