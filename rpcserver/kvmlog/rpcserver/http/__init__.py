# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP for XML-RPC: connections, bounds, the request as bytes."""
