# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Makefile runs; no test is imported here."""
