# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON over HTTP, read-only, on a port of its own beside XML-RPC: same callers, roles and limits.

`routes` is what one is; `v1` and `nova` are the tables of them, from which `openapi` makes the
description; `gate` is what each request passes; `listener` and `connection` bound what a peer may
cost; `server` runs it all in a thread. aiohttp is loaded only where the port is on.
"""
