# SPDX-License-Identifier: GPL-2.0-or-later
"""The log engine: keeps a source connected to the ring and in the requested state."""
