# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts that the Makefile runs; no test is imported here."""
